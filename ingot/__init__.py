"""Ingot turns one lock file into machine images and framework containers for distributed training."""

# The version of everything; galaxy.yml and the program of efa_exporter repeat it, and a test compares them.
__version__ = "0.2.0"

"""Ingot turns one lock file into machine images and framework containers for distributed training."""

__version__ = "0.1.0"

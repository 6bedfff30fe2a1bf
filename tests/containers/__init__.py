"""Containers as a user builds, runs and judges them."""

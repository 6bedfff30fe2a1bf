"""Whole paths, as a user goes them."""

"""Turns a stack into a lock, records what is missing, and compares locks."""

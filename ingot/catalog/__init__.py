"""The catalog, which people write: components, rules, instance types and settings, read and checked."""

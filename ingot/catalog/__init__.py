"""What people write, read and checked: components, rules, instance types, settings."""

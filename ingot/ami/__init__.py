"""AMIs and their life: built, copied, shared, promoted, collected."""

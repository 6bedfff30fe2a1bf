"""The data that everything else speaks of: frozen records, strict about keys, without behaviour."""

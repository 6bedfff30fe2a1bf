"""The data model: frozen records, strict about keys, without behaviour."""

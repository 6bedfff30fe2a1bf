"""Where bytes come from: package archives, indexes, downloads, signatures and AWS."""

"""Framework containers: built, tested, and compared with the host they run on."""

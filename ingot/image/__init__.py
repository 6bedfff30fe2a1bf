"""Makes one image: built, booted and verified on this machine."""

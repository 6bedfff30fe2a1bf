"""Lets plugins import the collection by its name, as they do on a user's machine."""

import ansible_collections

from ingot import paths

ansible_collections.__path__.append(str(paths.ROOT / "build" / "ansible_collections"))

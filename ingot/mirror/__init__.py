"""A folder that replays a build without a network, and the server for it."""

"""A runtime base made of this machine's own Python."""

"""The Kubernetes API as both of our APIs use it: one connection, watches that last, and reviews of who may do what."""

"""Desired state: the manifests of a release, and the git repository that holds them."""

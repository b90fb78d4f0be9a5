"""Kubernetes as a source of the edge's API: the models of a site as its Deployments, pods and events tell of them."""

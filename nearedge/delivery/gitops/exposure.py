"""How callers outside the cluster reach a model's REST port: an OpenShift Route, or an Ingress of any cluster.

Both lie in components of the base, without a host; a site's overlay adds its own. TLS ends at the router (`edge`): the
server speaks plain HTTP inside the cluster, where the NetworkPolicy says who may, and so no key has to come to the pod
and be renewed there. gRPC is not exposed: it would need HTTP/2 from end to end, which an edge Route gives only with a
certificate of its own.
"""

from nearedge.delivery.gitops import manifests
from nearedge.delivery.gitops.manifests import Object
from nearedge.release.record import Record

TIMEOUT_S = manifests.REQUEST_S + 5
"""A router waits a little longer than the server, whose answer says what was too slow."""


def route(record: Record) -> Object:
    """A Route. Plain HTTP is refused rather than redirected: a redirected POST would come back as a GET."""
    spec = {
        "to": {"kind": "Service", "name": manifests.service_name(record), "weight": 100},
        "port": {"targetPort": "http"},
        "tls": {"termination": "edge", "insecureEdgeTerminationPolicy": "None"},
        "wildcardPolicy": "None",
    }
    return {
        "apiVersion": "route.openshift.io/v1",
        "kind": "Route",
        "metadata": {
            **manifests.metadata(record),
            "annotations": {"haproxy.router.openshift.io/timeout": f"{TIMEOUT_S}s"},
        },
        "spec": spec,
    }


def ingress(record: Record) -> Object:
    """An Ingress of the cluster's default class; ingress-nginx's limits are raised to what the server takes."""
    backend = {"service": {"name": manifests.service_name(record), "port": {"name": "http"}}}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {
            **manifests.metadata(record),
            "annotations": {
                "haproxy.router.openshift.io/timeout": f"{TIMEOUT_S}s",
                "nginx.ingress.kubernetes.io/proxy-body-size": "0",
                "nginx.ingress.kubernetes.io/proxy-read-timeout": str(TIMEOUT_S),
                "route.openshift.io/termination": "edge",
            },
        },
        "spec": {"rules": [{"http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}]},
    }


def host_patches(expose: str, host: str) -> list[Object]:
    """The kustomize patches that give a Route or an Ingress its host at one site; none where there is no host."""
    if not host:
        return []
    if expose == "route":
        return [patch("Route", {"path": "/spec/host", "value": host})]
    if expose == "ingress":
        tls = {"path": "/spec/tls", "value": [{"hosts": [host]}]}
        return [patch("Ingress", {"path": "/spec/rules/0/host", "value": host}, tls)]
    return []


def patch(kind: str, *additions: Object) -> Object:
    """One entry of a kustomization's `patches`: additions to the object of this kind (RFC 6902)."""
    return {"target": {"kind": kind}, "patch": manifests.text([{"op": "add", **addition} for addition in additions])}

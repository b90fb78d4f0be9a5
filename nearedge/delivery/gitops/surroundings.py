"""What stands around a model server's pod, whoever makes the pod: Service, account, NetworkPolicy, disruption budget.

`Pods` says how the pods are found and where they listen; the rest is the same for every flavour, so that callers,
Routes and scrapers need not know which one a site runs.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from nearedge.delivery.gitops.manifests import GRPC_PORT, PORT, Object, labels, metadata, selector, service_name
from nearedge.release.record import Record

CALLERS: tuple[Mapping[str, str], ...] = ({"nearedge.dev/calls-models": "true"},)
"""Labels of namespaces, besides the model's own, whose pods may call a model by REST and gRPC."""
ROUTERS: tuple[Mapping[str, str], ...] = (
    {"network.openshift.io/policy-group": "ingress"},
    {"policy-group.network.openshift.io/host-network": ""},
    {"network.openshift.io/policy-group": "monitoring"},
)
"""Those of OpenShift's routers and Prometheus (its policy groups), which need the REST port alone."""


@dataclass(frozen=True)
class Pods:
    """How the pods of a model are found, and the ports they listen on, by name or number."""

    selector: Mapping[str, str]
    http: str | int = "http"
    grpc: str | int = "grpc"


def of_deployment(record: Record) -> Pods:
    """The pods of our own Deployment."""
    return Pods(selector(record))


def service(record: Record, pods: Pods) -> Object:
    """The model's address inside the cluster."""
    ports = [
        {"name": "http", "port": PORT, "targetPort": pods.http, "appProtocol": "http"},
        {"name": "grpc", "port": GRPC_PORT, "targetPort": pods.grpc, "appProtocol": "kubernetes.io/h2c"},
    ]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": service_name(record), "labels": labels(record)},
        "spec": {"type": "ClusterIP", "selector": dict(pods.selector), "ports": ports},
    }


def service_account(record: Record) -> Object:
    """An account that may do nothing."""
    head: Object = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata(record)}
    return {**head, "automountServiceAccountToken": False}


def network_policy(record: Record, pods: Pods) -> Object:
    """Nothing but requests from the own namespace, those that say they call, routers and monitoring; nothing goes out.

    A policy that selects a pod denies what it does not name. The kubelet's probes need no rule: they come from the
    pod's own node. The server resolves no names and calls nobody, so there is no rule for DNS either.
    """
    http, grpc = ({"protocol": "TCP", "port": port} for port in (pods.http, pods.grpc))
    callers = [{"podSelector": {}}, *namespaces(CALLERS)]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata(record),
        "spec": {
            "podSelector": {"matchLabels": dict(pods.selector)},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [{"from": callers, "ports": [http, grpc]}, {"from": namespaces(ROUTERS), "ports": [http]}],
            "egress": [],
        },
    }


def namespaces(groups: tuple[Mapping[str, str], ...]) -> list[Object]:
    """The peers that are all pods of the namespaces with one of these labels."""
    return [{"namespaceSelector": {"matchLabels": dict(group)}} for group in groups]


def disruption_budget(record: Record, pods: Pods) -> Object:
    """One pod may go at a time, and one that is not ready at any time, so that no drain of a node ever waits for us.

    With one pod that keeps nothing alive, and is not meant to: `minAvailable: 1` would block every drain, and with it
    the node's own upgrade. What it is for: a platform that asks whether each workload has a budget finds one that lets
    go, and a site that runs two pods (a patch of its own) is drained one after the other.
    """
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata(record),
        "spec": {
            "maxUnavailable": 1,
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
            "selector": {"matchLabels": dict(pods.selector)},
        },
    }

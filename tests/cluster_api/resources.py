"""The resources that are served: a table of those that are known, those of CustomResourceDefinitions, those of objects.

What is not in the table is learnt from a CustomResourceDefinition, else from the first object of its kind that a test
applies: its plural is the kind in lower case with an s, and it has a status subresource.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

Object = dict[str, Any]

VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


@dataclass(frozen=True)
class Resource:
    """A resource; `subresources` besides the object itself."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True
    subresources: tuple[str, ...] = ()
    custom: bool = False
    """Of a CustomResourceDefinition: no strategic merge, no update without a resourceVersion."""
    short: tuple[str, ...] = ()
    verbs: tuple[str, ...] = VERBS
    selectable: tuple[str, ...] = field(default=())
    """Fields that a fieldSelector may name, besides metadata's."""

    @property
    def group_version(self) -> str:
        """As in apiVersion."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified(self) -> str:
        """As in messages: plural.group."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def has_status(self) -> bool:
        """Whether the status is written apart."""
        return "status" in self.subresources

    def path(self, namespace: str = "", name: str = "") -> str:
        """Where its objects lie."""
        base = f"/apis/{self.group_version}" if self.group else f"/api/{self.version}"
        base += f"/namespaces/{namespace}" if namespace and self.namespaced else ""
        return f"{base}/{self.plural}" + (f"/{name}" if name else "")


def rows(group_version: str, table: str, *, custom: bool = False) -> Iterator[Resource]:
    """Lines of `Kind plural scope subresources short-names selectable-fields` (- for none)."""
    group, _, version = group_version.rpartition("/")
    for line in table.strip().splitlines():
        kind, plural, scope, subresources, short, selectable = (*line.split(), "-", "-", "-")[:6]
        parts = [() if part == "-" else tuple(part.split(",")) for part in (subresources, short, selectable)]
        yield Resource(group, version, plural, kind, scope == "ns", parts[0], custom, parts[1], VERBS, parts[2])


def reviews(group_version: str, table: str) -> Iterator[Resource]:
    """Kinds that are only created and never kept."""
    group, _, version = group_version.rpartition("/")
    for line in table.split():
        plural = line.lower() + "s"
        yield Resource(group, version, plural, line, line.startswith("Local"), verbs=("create",))


EVENT_FIELDS = (
    "involvedObject.kind,involvedObject.namespace,involvedObject.name,involvedObject.uid,involvedObject.apiVersion,"
    "involvedObject.resourceVersion,involvedObject.fieldPath,reason,reportingComponent,source,type"
)
POD_FIELDS = (
    "spec.nodeName,spec.restartPolicy,spec.schedulerName,spec.serviceAccountName,spec.hostNetwork,status.phase,"
    "status.podIP,status.nominatedNodeName"
)

KNOWN: tuple[Resource, ...] = (
    *rows("v1", f"""
        ConfigMap configmaps ns - cm
        Endpoints endpoints ns - ep
        Event events ns - ev {EVENT_FIELDS}
        LimitRange limitranges ns - limits
        Namespace namespaces cluster status ns status.phase
        Node nodes cluster status no spec.unschedulable
        PersistentVolume persistentvolumes cluster status pv
        PersistentVolumeClaim persistentvolumeclaims ns status pvc
        Pod pods ns status,log po {POD_FIELDS}
        ResourceQuota resourcequotas ns status quota
        Secret secrets ns - - type
        Service services ns status svc spec.clusterIP,spec.type
        ServiceAccount serviceaccounts ns token sa
    """),
    *rows("apps/v1", """
        ControllerRevision controllerrevisions ns
        DaemonSet daemonsets ns status ds
        Deployment deployments ns status deploy
        ReplicaSet replicasets ns status rs status.replicas
        StatefulSet statefulsets ns status sts
    """),
    *rows("batch/v1", """
        CronJob cronjobs ns status cj
        Job jobs ns status - status.successful
    """),
    *rows("autoscaling/v2", "HorizontalPodAutoscaler horizontalpodautoscalers ns status hpa"),
    *rows("coordination.k8s.io/v1", "Lease leases ns"),
    *rows("discovery.k8s.io/v1", "EndpointSlice endpointslices ns"),
    *rows("networking.k8s.io/v1", """
        Ingress ingresses ns status ing
        NetworkPolicy networkpolicies ns - netpol
    """),
    *rows("policy/v1", "PodDisruptionBudget poddisruptionbudgets ns status pdb"),
    *rows("rbac.authorization.k8s.io/v1", """
        ClusterRole clusterroles cluster
        ClusterRoleBinding clusterrolebindings cluster
        Role roles ns
        RoleBinding rolebindings ns
    """),
    *rows("scheduling.k8s.io/v1", "PriorityClass priorityclasses cluster - pc"),
    *rows("storage.k8s.io/v1", "StorageClass storageclasses cluster - sc"),
    *rows("apiextensions.k8s.io/v1", "CustomResourceDefinition customresourcedefinitions cluster status crd"),
    *reviews("authentication.k8s.io/v1", "TokenReview SelfSubjectReview"),
    *reviews("authorization.k8s.io/v1", """
        SubjectAccessReview SelfSubjectAccessReview SelfSubjectRulesReview LocalSubjectAccessReview
    """),
    *rows("tekton.dev/v1", """
        Pipeline pipelines ns
        PipelineRun pipelineruns ns status pr
        Task tasks ns
        TaskRun taskruns ns status tr
    """, custom=True),
    *rows("triggers.tekton.dev/v1beta1", """
        ClusterInterceptor clusterinterceptors cluster status
        EventListener eventlisteners ns status el
        TriggerBinding triggerbindings ns
        TriggerTemplate triggertemplates ns
    """, custom=True),
    *rows("argoproj.io/v1alpha1", """
        Application applications ns - app
        ApplicationSet applicationsets ns status appset
        AppProject appprojects ns - appproj
    """, custom=True),
    *rows("route.openshift.io/v1", "Route routes ns status,custom-host", custom=True),
    *rows("monitoring.coreos.com/v1", """
        PodMonitor podmonitors ns status
        Prometheus prometheuses ns status
        PrometheusRule prometheusrules ns status
        ServiceMonitor servicemonitors ns status
    """, custom=True),
    *rows("serving.kserve.io/v1beta1", "InferenceService inferenceservices ns status isvc", custom=True),
    *rows("serving.kserve.io/v1alpha1", "ServingRuntime servingruntimes ns status", custom=True),
)  # fmt: skip
"""Argo CD's Application has no status subresource: its CustomResourceDefinition says `subresources: {}`."""


class Resources:
    """What is served now."""

    def __init__(self, known: Iterable[Resource] = KNOWN) -> None:
        self.by_path = {(row.group, row.version, row.plural): row for row in known}

    def __iter__(self) -> Iterator[Resource]:
        return iter(list(self.by_path.values()))

    def at(self, group: str, version: str, plural: str) -> Resource | None:
        """The resource of a path."""
        return self.by_path.get((group, version, plural))

    def add(self, resource: Resource) -> Resource:
        """From now on served."""
        self.by_path[resource.group, resource.version, resource.plural] = resource
        return resource

    def drop(self, group: str, plural: str) -> None:
        """No longer served."""
        self.by_path = {key: row for key, row in self.by_path.items() if (row.group, row.plural) != (group, plural)}

    def of_object(self, document: Object) -> Resource:
        """The resource of an object's kind, made up where it is not known."""
        group, _, version = str(document["apiVersion"]).rpartition("/")
        kind = str(document["kind"])
        for row in self:
            if (row.group, row.version, row.kind) == (group, version, kind):
                return row
        namespaced = bool(document.get("metadata", {}).get("namespace"))
        return self.add(Resource(group, version, kind.lower() + "s", kind, namespaced, ("status",), custom=True))

    def define(self, definition: Object) -> None:
        """Serve what a CustomResourceDefinition defines."""
        spec = definition["spec"]
        names = spec["names"]
        self.drop(spec["group"], names["plural"])
        for version in spec["versions"]:
            if not version.get("served", True):
                continue
            subresources = tuple(sorted(set(version.get("subresources") or {}) & {"status"}))
            selectable = tuple(row["jsonPath"].lstrip(".") for row in version.get("selectableFields", ()))
            self.add(Resource(
                spec["group"], version["name"], names["plural"], names["kind"], spec["scope"] == "Namespaced",
                subresources, custom=True, short=tuple(names.get("shortNames", ())), selectable=selectable,
            ))  # fmt: skip

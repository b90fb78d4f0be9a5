"""The kinds of objects that we deal with, and their paths in the Kubernetes API. Objects are plain JSON."""

from typing import Any, NamedTuple
from urllib.parse import quote

from nearedge.api.problems import missing

Object = dict[str, Any]


class Api(NamedTuple):
    """A kind of object: its group (empty: the core's), version and the plural that paths have."""

    group: str
    version: str
    plural: str


PODS = Api("", "v1", "pods")
SERVICES = Api("", "v1", "services")
EVENTS = Api("", "v1", "events")
CONFIG_MAPS = Api("", "v1", "configmaps")
DEPLOYMENTS = Api("apps", "v1", "deployments")
REPLICA_SETS = Api("apps", "v1", "replicasets")
JOBS = Api("batch", "v1", "jobs")
PIPELINES = Api("tekton.dev", "v1", "pipelines")
TASKS = Api("tekton.dev", "v1", "tasks")
PIPELINE_RUNS = Api("tekton.dev", "v1", "pipelineruns")
TASK_RUNS = Api("tekton.dev", "v1", "taskruns")
APPLICATIONS = Api("argoproj.io", "v1alpha1", "applications")
TOKEN_REVIEWS = Api("authentication.k8s.io", "v1", "tokenreviews")
SELF_SUBJECT_REVIEWS = Api("authentication.k8s.io", "v1", "selfsubjectreviews")
SUBJECT_ACCESS_REVIEWS = Api("authorization.k8s.io", "v1", "subjectaccessreviews")
SELF_SUBJECT_ACCESS_REVIEWS = Api("authorization.k8s.io", "v1", "selfsubjectaccessreviews")


def path(api: Api, namespace: str = "", name: str = "", sub: str = "") -> str:
    """The path of a collection, an object, or a subresource of it; no namespace: of the cluster, or all namespaces.

    Raises ProblemError 404 for `.` and `..`, which no object is called: with them a path would lead elsewhere.
    """
    if name in (".", ".."):
        raise missing(f"{api.plural}: none is called {name!r}")
    words = ["apis", api.group] if api.group else ["api"]
    words.append(api.version)
    if namespace:
        words += ["namespaces", namespace]
    words += [word for word in (api.plural, name, sub) if word]
    return "/" + "/".join(quote(word, safe="") for word in words)

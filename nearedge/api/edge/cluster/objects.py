"""What is kept of Deployments, pods and events: the few fields that answers are made of. Times are Unix time."""

import re
from collections.abc import Iterable
from typing import NamedTuple

DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class Condition(NamedTuple):
    """One condition of an object's status."""

    kind: str
    status: str
    reason: str
    message: str
    since: float | None


class Ended(NamedTuple):
    """How a container ended."""

    code: int
    signal: int
    reason: str
    message: str
    began: float | None
    at: float | None


class Container(NamedTuple):
    """A container of a pod. `state` is waiting, running, terminated, or empty where the kubelet has not told yet."""

    name: str
    image: str
    image_id: str
    ready: bool
    restarts: int
    state: str
    reason: str
    message: str
    since: float | None
    ended: Ended | None
    last: Ended | None


class Pod(NamedTuple):
    """A pod of a model. `containers` has that first which serves."""

    name: str
    uid: str
    model: str
    image: str
    created: float
    leaving: bool
    phase: str
    node: str
    address: str
    port: int
    reason: str
    message: str
    conditions: tuple[Condition, ...]
    containers: tuple[Container, ...]

    @property
    def server(self) -> Container:
        """The container that serves."""
        return self.containers[0]

    @property
    def digest(self) -> str | None:
        """Of the image that it asks for."""
        return digest_of(self.image)

    def condition(self, kind: str) -> Condition | None:
        """One of its conditions."""
        return found(self.conditions, kind)

    @property
    def ready(self) -> bool:
        """Whether it takes requests, as the kubelet says."""
        said = self.condition("Ready")
        return said is not None and said.status == "True" and not self.leaving


class Workload(NamedTuple):
    """A Deployment that serves a model: what it asks for, and how far that is."""

    name: str
    uid: str
    model: str
    version: str | None
    image: str
    generation: int
    observed: int
    wanted: int
    updated: int
    available: int
    conditions: tuple[Condition, ...]

    @property
    def digest(self) -> str | None:
        """Of the image that it asks for."""
        return digest_of(self.image)

    def condition(self, kind: str) -> Condition | None:
        """One of its conditions."""
        return found(self.conditions, kind)


class Happening(NamedTuple):
    """An Event of the cluster: `kind` and `name` of what it is about."""

    uid: str
    kind: str
    name: str
    severity: str
    reason: str
    message: str
    times: int
    first: float
    last: float


def found(conditions: Iterable[Condition], kind: str) -> Condition | None:
    """The condition of a kind."""
    return next((one for one in conditions if one.kind == kind), None)


def digest_of(image: str) -> str | None:
    """The digest in an image's name, None where it has none."""
    said = DIGEST.search(image)
    return said[0] if said else None

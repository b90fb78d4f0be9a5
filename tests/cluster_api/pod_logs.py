"""Logs of pods: what stand-ins for kubelets wrote, read by the rules of the kubelet (`validateContainerLogStatus`).

Each container has two logs, that of its current instance and that of the one before. `write` and `rotate` are not of
the real API server, where a container runtime writes; stand-ins that have only the API do the same by

    POST .../pods/NAME/log   {"container": "c", "text": "...", "previous": false, "rotate": false}

(`rotate`: first what is there becomes the earlier log; or as text/plain, with the others in the query), with the right
to `create` `pods/log`, which on a real cluster no role but the administrator's gives.
"""

import threading
import time
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tests.cluster_api import listing, statuses
from tests.cluster_api.resources import Resource

Object = dict[str, Any]

IMAGE = {"ErrImagePull": "image can't be pulled", "ImagePullBackOff": "trying and failing to pull image"}


@dataclass
class Log:
    """One instance's log: the time in ns at which each line began, and the lines; the last may go on."""

    times: list[int] = field(default_factory=list)
    lines: list[bytes] = field(default_factory=list)

    def append(self, text: bytes) -> None:
        """Write at the end; lines written at once have the same time, as CRI-O's conmon gives it to them."""
        now = time.time_ns()
        for part in text.splitlines(keepends=True):
            if self.lines and not self.lines[-1].endswith(b"\n"):
                self.lines[-1] += part
            else:
                self.times.append(now)
                self.lines.append(part)


@dataclass(frozen=True)
class Asked:
    """A request's parameters."""

    container: str = ""
    follow: bool = False
    previous: bool = False
    timestamps: bool = False
    tail: int | None = None
    since_ns: int = 0
    limit: int | None = None


def asked(resource: Resource, name: str, query: dict[str, str]) -> Asked:
    """From a request; 400, 422."""
    faults = []
    for field_name, least in (("tailLines", 0), ("sinceSeconds", 1), ("limitBytes", 1)):
        if field_name in query and listing.number(query, field_name) < least:
            faults.append((field_name, f"Invalid value: {query[field_name]}: must be greater than or equal to {least}"))
    if "sinceSeconds" in query and "sinceTime" in query:
        faults.append(("", "Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified"))
    if faults:
        raise statuses.invalid(resource, name, faults)
    flags = {name: query.get(name, "") in ("1", "true", "True") for name in ("follow", "previous", "timestamps")}
    tail, limit = (listing.number(query, key) if key in query else None for key in ("tailLines", "limitBytes"))
    return Asked(query.get("container", ""), tail=tail, limit=limit, since_ns=since(query), **flags)


def since(query: dict[str, str]) -> int:
    """From when on, in ns; 400."""
    if "sinceSeconds" in query:
        return time.time_ns() - listing.number(query, "sinceSeconds") * 10**9
    if "sinceTime" not in query:
        return 0
    try:
        return int(datetime.fromisoformat(query["sinceTime"]).timestamp() * 10**9)
    except ValueError:
        raise statuses.bad_request(f'parsing time "{query["sinceTime"]}" as RFC 3339') from None


def stamp(time_ns: int) -> str:
    """As kubelets write it: RFC 3339 with ns."""
    whole = datetime.fromtimestamp(time_ns // 10**9, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{whole}.{time_ns % 10**9:09d}Z"


class Logs:
    """All logs, by the pod's uid, container, and whether it is the earlier one."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.logs: dict[tuple[str, str, bool], Log] = {}
        self.changed: Callable[[], None] = lambda: None

    def write(self, pod: Object, container: str, text: str | bytes, *, previous: bool = False) -> None:
        """Append to a container's log."""
        data = text.encode() if isinstance(text, str) else text
        with self.lock:
            self.log(pod, container, previous=previous).append(data)
        self.changed()

    def ordered(self, pod: Object, order: Object) -> None:
        """What a stand-in sends."""
        container = container_of(pod, order.get("container", ""))
        if order.get("rotate") in (True, "true"):
            self.rotate(pod, container)
        if order.get("text"):
            self.write(pod, container, order["text"], previous=order.get("previous") in (True, "true"))

    def rotate(self, pod: Object, container: str) -> None:
        """The container begins anew: its log becomes the earlier one."""
        with self.lock:
            uid = pod["metadata"]["uid"]
            self.logs[uid, container, True] = self.logs.pop((uid, container, False), Log())
        self.changed()

    def log(self, pod: Object, container: str, *, previous: bool) -> Log:
        """One log."""
        return self.logs.setdefault((pod["metadata"]["uid"], container, previous), Log())

    def chosen(self, pod: Object, want: Asked) -> Log | None:
        """The log that is asked for; 400 as a kubelet says; None where the pod is on no node yet."""
        container = container_of(pod, want.container)
        if not pod.get("spec", {}).get("nodeName"):
            return None
        state, last = state_of(pod, container)
        check(pod, container, state, last, previous=want.previous)
        with self.lock:
            if "running" in state or ("terminated" in state and not want.previous):
                return self.log(pod, container, previous=want.previous)
            # Between two instances both questions are about the one that ended, whether or not it was rotated already.
            current = self.log(pod, container, previous=False)
            if "terminated" in state or not current.lines:
                return self.log(pod, container, previous=True)
            return current


def container_of(pod: Object, name: str) -> str:
    """The container that is meant; 400."""
    spec, pod_name = pod.get("spec", {}), pod["metadata"]["name"]
    containers, first = ([row["name"] for row in spec.get(key) or ()] for key in ("containers", "initContainers"))
    if name:
        if name not in (*containers, *first):
            raise statuses.bad_request(f"container {name} is not valid for pod {pod_name}")
        return name
    if len(containers) == 1 and not first:
        return str(containers[0])
    text = f"a container name must be specified for pod {pod_name}, choose one of: [{' '.join(containers)}]"
    raise statuses.bad_request(text + (f" or one of the init containers: [{' '.join(first)}]" if first else ""))


def state_of(pod: Object, container: str) -> tuple[Object, Object]:
    """A container's state and its last state; 400 where the kubelet has not said any."""
    status = pod.get("status", {})
    for key in ("containerStatuses", "initContainerStatuses"):
        for row in status.get(key) or ():
            if row["name"] == container:
                return row.get("state") or {}, row.get("lastState") or {}
    raise statuses.bad_request(f'container "{container}" in pod "{pod["metadata"]["name"]}" is not available')


def check(pod: Object, container: str, state: Object, last: Object, *, previous: bool) -> None:
    """Raise 400 where there can be no such log."""
    name = pod["metadata"]["name"]
    if previous and "terminated" not in last:
        raise statuses.bad_request(f'previous terminated container "{container}" in pod "{name}" not found')
    if previous or "running" in state or "terminated" in state or "terminated" in last:
        return
    begin = f'container "{container}" in pod "{name}" is waiting to start'
    if "waiting" not in state:
        raise statuses.bad_request(f"{begin} - no logs yet")
    reason = state["waiting"].get("reason", "")
    raise statuses.bad_request(f"{begin}: {IMAGE.get(reason, reason)}")


class Reader:
    """Reads a log from where it is asked to begin; `more` gives what came since."""

    def __init__(self, log: Log | None, want: Asked, lock: threading.Lock) -> None:
        self.log, self.want, self.lock = log, want, lock
        self.line, self.column, self.left = 0, 0, want.limit
        if log is None:
            return
        with lock:
            self.line = bisect_left(log.times, want.since_ns) if want.since_ns else 0
            if want.tail is not None:
                self.line = max(self.line, len(log.lines) - want.tail)

    def more(self) -> bytes:
        """What there is now and was not read yet."""
        found = []
        with self.lock:
            while self.log is not None and self.line < len(self.log.lines):
                text = self.log.lines[self.line]
                if self.column == 0 and self.want.timestamps:
                    found.append(stamp(self.log.times[self.line]).encode() + b" ")
                found.append(text[self.column :])
                if not text.endswith(b"\n"):
                    self.column = len(text)
                    break
                self.line, self.column = self.line + 1, 0
        data = b"".join(found)
        if self.left is not None:
            data = data[: self.left]
            self.left -= len(data)
        return data

    def full(self) -> bool:
        """Whether as many bytes were read as were asked for."""
        return self.left == 0


def ended(pod: Object | None, uid: str, container: str) -> bool:
    """Whether nothing more will be written to a container's log: it has ended, or the pod is gone."""
    if pod is None or pod["metadata"]["uid"] != uid:
        return True
    if pod.get("status", {}).get("phase") in ("Succeeded", "Failed"):
        return True
    state, _ = state_of(pod, container)
    return "running" not in state

"""Why a model takes no requests, as the cluster knows it, in a line for a person."""

from collections.abc import Sequence

from nearedge.api.edge.cluster.objects import Container, Ended, Happening, Pod, Workload
from nearedge.api.edge.held import when

SIGNALS = {9: "SIGKILL", 11: "SIGSEGV", 6: "SIGABRT", 4: "SIGILL", 15: "SIGTERM", 7: "SIGBUS"}
IMAGE = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError",
         "RegistryUnavailable", "SignatureValidationFailed")  # fmt: skip
"""Reasons of a waiting container that are about its image (pkg/kubelet/images/types.go)."""
STARTING = ("ContainerCreating", "PodInitializing", "")


def how(ended: Ended) -> str:
    """How a container ended: "ended with exit code 137 (OOMKilled: it took more memory than its limit) at TIME"."""
    signal = ended.signal or (ended.code - 128 if 128 < ended.code < 160 else 0)
    if ended.reason == "OOMKilled":
        why = "OOMKilled: it took more memory than its limit"
    elif ended.reason in ("", "Error", "Completed"):
        why = SIGNALS.get(signal, f"signal {signal}") if signal else ""
    else:
        why = ended.reason
    said = f": {ended.message}" if ended.message else ""
    at = f" at {when(ended.at)}" if ended.at is not None else ""
    return f"ended with exit code {ended.code}{f' ({why})' if why else ''}{at}{said}"


def of_model(workload: Workload | None, pods: Sequence[Pod], happenings: Sequence[Happening]) -> str:
    """Why a model takes no requests; empty where the cluster sees no reason. The newest pod says it.

    `pods` and `happenings` are those of the model, the newest first.
    """
    if workload is None:
        return "" if pods else "the cluster has no Deployment of it"
    if workload.wanted == 0:
        return "its Deployment is scaled to no pod"
    staying = [one for one in pods if not one.leaving]
    found = of_pod(staying[0], happenings) if staying else no_pod(workload, pods)
    return "; ".join(one for one in (found, late(workload)) if one)


def no_pod(workload: Workload, pods: Sequence[Pod]) -> str:
    """Why there is no pod that stays."""
    failed = workload.condition("ReplicaFailure")
    if failed is not None and failed.status == "True":
        return f"its pod is not made ({failed.reason}): {failed.message}"
    if pods:
        return f"its pod {pods[0].name} is going, and the next is not there yet"
    return "it has no pod yet"


def late(workload: Workload) -> str:
    """That the rollout takes longer than it may."""
    found = workload.condition("Progressing")
    if found is None or found.reason != "ProgressDeadlineExceeded":
        return ""
    return "the rollout did not end within its time (progressDeadlineSeconds)"


def of_pod(pod: Pod, happenings: Sequence[Happening] = ()) -> str:
    """Why a pod takes no requests; empty where it does."""
    if pod.ready:
        return ""
    if pod.phase == "Failed":
        return f"pod {pod.name} failed ({pod.reason or 'no reason given'}){': ' + pod.message if pod.message else ''}"
    scheduled = pod.condition("PodScheduled")
    if pod.phase == "Pending" and scheduled is not None and scheduled.status == "False":
        return f"pod {pod.name} is pending ({scheduled.reason}): {scheduled.message or 'no node takes it'}"
    for one in pod.containers:
        if said := of_container(pod, one, happenings):
            return said
    return f"pod {pod.name} is {pod.phase.lower()}"


def of_container(pod: Pod, one: Container, happenings: Sequence[Happening]) -> str:
    """Why a container of a pod takes no requests; empty where it does."""
    name = f"container {one.name} of pod {pod.name}"
    if one.ready:
        return ""
    if one.state == "waiting" and one.reason in IMAGE:
        told = newest(pod, happenings, "Failed", "pull") if one.reason == "ImagePullBackOff" else ""
        return f"the image of {name} cannot be pulled ({one.reason}): {told or one.message or one.image}"
    if one.reason == "CrashLoopBackOff":
        last = how(one.last) if one.last else one.message
        return f"{name} crashes again and again (CrashLoopBackOff, {one.restarts} restarts); the last one {last}"
    if one.state == "terminated" and one.ended is not None:
        return f"{name} {how(one.ended)}"
    if one.state == "waiting" and one.reason not in STARTING:
        return f"{name} does not start ({one.reason}){': ' + one.message if one.message else ''}"
    if one.state == "running":
        told = newest(pod, happenings, "Unhealthy", "")
        return f"{name} runs and is not ready{': ' + told if told else ' yet'}"
    pulling = newest(pod, happenings, "Pulling", "") and not newest(pod, happenings, "Pulled", "")
    return f"{name} {'has its image pulled' if pulling else 'is being made'}"


def newest(pod: Pod, happenings: Sequence[Happening], reason: str, word: str) -> str:
    """The message of the newest event of a reason about a pod that has a word in it."""
    own = (one for one in happenings if (one.kind, one.name, one.reason) == ("Pod", pod.name, reason))
    return next((one.message for one in own if word in one.message), "")

"""Options of `nearedge api core` that say what runs Pipelines, and the engine that they choose."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from nearedge.errors import UsageError

if TYPE_CHECKING:
    from nearedge.api.core.tekton.engine import TektonEngine

CLUSTER_ONLY = ("namespace", "kubeconfig", "context", "cluster_access", "service_account", "fs_group")
LOCAL_ONLY = ("catalog", "tokens")
ACCOUNT, GROUP = "nearedge-pipelines", "1001"


def add_options(options: argparse.ArgumentParser) -> None:
    """Add them. They have no defaults, so that one that is given in vain is noticed."""
    group = options.add_argument_group("what runs Pipelines")
    group.add_argument(
        "--engine", choices=["local", "tekton"], default="local",
        help="the runner on this machine, or Tekton on a cluster (%(default)s)",
    )  # fmt: skip
    group.add_argument("--namespace", help="of the runs; otherwise the pod's own or the kubeconfig's")
    group.add_argument(
        "--kubeconfig", type=Path, metavar="FILE", help="otherwise the pod's account, KUBECONFIG or ~/.kube/config"
    )
    group.add_argument("--context", help="of the kubeconfig; otherwise its current one")
    group.add_argument(
        "--cluster-access", choices=["caller", "service-account"],
        help="caller: the cluster sees each caller's own token, its RBAC decides; service-account: it sees ours, "
        "and says what each caller may do (caller)",
    )  # fmt: skip
    group.add_argument("--service-account", metavar="NAME", help=f"that runs run as ({ACCOUNT})")
    group.add_argument(
        "--fs-group", metavar="GID", help=f"group of the runs' volumes, empty where the cluster sets it ({GROUP})"
    )


def check(given: argparse.Namespace) -> None:
    """Raise UsageError for options of the other engine."""
    wrong, other = (LOCAL_ONLY, "local") if given.engine == "tekton" else (CLUSTER_ONLY, "tekton")
    for name in wrong:
        if getattr(given, name) is not None:
            why = "; a cluster knows its own tokens" if name == "tokens" else ""
            raise UsageError(f"--{name.replace('_', '-')} goes with --engine {other}{why}")


def tekton(given: argparse.Namespace) -> "TektonEngine":
    """The engine on a cluster. Raises UsageError, and InputError where no cluster is configured."""
    from nearedge.api.cluster.connection import Cluster
    from nearedge.api.core.tekton.engine import TektonEngine
    from nearedge.api.core.tekton.pipelineruns import Account
    from nearedge.api.core.tekton.reach import reach
    from nearedge.delivery.access import Access

    group = GROUP if given.fs_group is None else given.fs_group
    if group and not (group.isdecimal() and group.isascii()):
        raise UsageError(f"--fs-group {group}: is no number of a group; leave it empty where the cluster sets it")
    account = Account(given.service_account or ACCOUNT, int(group) if group else None)
    cluster = Cluster.found(given.kubeconfig, given.context or "", given.namespace or "")
    access = Access(given.ca_bundle, given.dockerconfig, given.plain_http)
    as_caller = (given.cluster_access or "caller") == "caller"
    return TektonEngine(reach(cluster, as_caller=as_caller), account, access)

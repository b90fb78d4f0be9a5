"""What the deployment asks Kubernetes for, from what was measured, and whether the site has it."""

import math
from dataclasses import dataclass

from converters.quantities import counted
from nearedge.release.profile import Profile

ROUNDED_TO_MIB = 64
REQUEST_HEADROOM = 1.1
LIMIT_HEADROOM = 1.4
"""Over what was measured: allocators, larger requests and other library builds differ; a limit too near kills."""
ROUNDED_TO_M = 50
CPU_HEADROOM = 1.25
"""Over the cores that inference keeps busy: reading and writing requests is done beside it."""
LATENCY_SHARE = 0.25
"""Of what is busy under full load, so much is asked for where single requests come now and then."""


@dataclass(frozen=True)
class Memory:
    """Kubernetes memory request and limit in MiB."""

    request_mib: int
    limit_mib: int


@dataclass(frozen=True)
class Cpu:
    """Kubernetes CPU request and limit in thousandths of a core."""

    request_m: int
    limit_m: int


def rounded(value: float, to: int) -> int:
    """Up to the next multiple of `to`."""
    return math.ceil(value / to) * to


def memory(server_mib: float) -> Memory:
    """What to ask for, from the peak of the server with this model."""
    return Memory(
        rounded(server_mib * REQUEST_HEADROOM, ROUNDED_TO_MIB), rounded(server_mib * LIMIT_HEADROOM, ROUNDED_TO_MIB)
    )


def cpu(busy_cores: int, site: Profile, goal: str) -> Cpu:
    """What to ask for, from the cores that the model keeps busy under full load, and the share that the site gives one.

    For throughput all that is busy is asked for; for latency a quarter, since a node's models rarely work at once.
    """
    share = round(site.model.cpu * 1000)
    limit = min(share, rounded(busy_cores * CPU_HEADROOM * 1000, ROUNDED_TO_M))
    wanted = busy_cores * 1000 * (1.0 if goal == "throughput" else LATENCY_SHARE)
    return Cpu(min(limit, rounded(wanted, ROUNDED_TO_M)), limit)


def fit(site: Profile, needs: Memory) -> tuple[bool, str]:
    """Whether the model fits the profile's share for one model, and the reason as a sentence."""
    share = site.model.memory_mib
    if needs.limit_mib > share:
        return False, (
            f"the memory limit of {needs.limit_mib} MiB is over the {share} MiB that {site.name} leaves for a model; "
            "choose a smaller precision or a larger site"
        )
    left = share - needs.limit_mib
    return True, (
        f"the memory limit of {needs.limit_mib} MiB leaves {left} of the {share} MiB that {site.name} has for a model; "
        f"{counted(site.threads, 'inference thread')} on its CPU share of {site.model.cpu:g}"
    )

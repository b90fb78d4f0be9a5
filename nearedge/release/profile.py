"""Site profiles: what a node has, what the platform takes of it, and what is left for models."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import Field, ValidationError

from nearedge import catalog
from nearedge.errors import InputError
from nearedge.release.description import first_fault
from nearedge.release.strict import Strict

InstructionSet = Literal["sse42", "avx2", "avx2_vnni", "avx512", "avx512_vnni", "avx512_bf16", "amx"]
INSTRUCTION_SETS: tuple[InstructionSet, ...] = (
    "sse42", "avx2", "avx2_vnni", "avx512", "avx512_vnni", "avx512_bf16", "amx",
)  # fmt: skip
"""From least to most; each holds what comes before it, as far as OpenVINO's kernels care."""


class Share(Strict):
    """A part of a node: CPU in cores, memory in MiB."""

    cpu: Annotated[float, Field(gt=0)]
    memory_mib: Annotated[int, Field(gt=0)]


class Profile(Strict):
    """One kind of site."""

    name: str
    description: str
    node: Share
    platform: Share = Field(description="what the platform itself takes")
    model: Share = Field(description="what one model may take")
    instruction_set: InstructionSet
    disk_gib: Annotated[int, Field(gt=0)]
    link_mbit_s: Annotated[float, Field(gt=0)]
    partial_pulls: bool = Field(
        default=False,
        description="whether the nodes' engines are set to pull the changed chunks of zstd:chunked layers only",
    )

    @property
    def threads(self) -> int:
        """Inference threads that fit the CPU limit of one model."""
        return max(1, int(self.model.cpu))

    @property
    def left_mib(self) -> int:
        """Memory in MiB that the platform leaves of the node."""
        return self.node.memory_mib - self.platform.memory_mib

    @property
    def left_cpu_m(self) -> int:
        """CPU in thousandths of a core that the platform leaves of the node."""
        return round((self.node.cpu - self.platform.cpu) * 1000)

    @property
    def cpu_request_m(self) -> int:
        """CPU that is held for a model where nothing was measured: a quarter of what it may take."""
        return max(50, round(self.model.cpu * 1000) // 4)


def read(name: str, beside: Path | None = None, asked_by: str = "target.profile") -> Profile:
    """The profile `name` of manifests/profiles, or the profile file of that path, relative to the folder `beside`.

    `asked_by` is named in what is raised. Raises InputError where there is none or it is not as it should be.
    """
    if name.endswith((".yaml", ".yml")):
        path = (beside or Path()) / name
    else:
        path = catalog.root() / "manifests" / "profiles" / f"{name}.yaml"
    try:
        return Profile.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        known = ", ".join(sorted(file.stem for file in (catalog.root() / "manifests" / "profiles").glob("*.yaml")))
        raise InputError(f"{asked_by}: no profile {name!r}; there are {known}, or give a .yaml file") from error
    except yaml.YAMLError as error:
        raise InputError(f"{path}: not YAML: {' '.join(str(error).split())}") from error
    except ValidationError as error:
        raise InputError(f"{path}: {first_fault(error)}") from error


def by_site(texts: Iterable[str], beside: Path | None = None) -> dict[str, Profile | None]:
    """The sites that `texts` name, each with its own profile where it is written SITE=PROFILE, else None.

    Raises InputError where a site is named twice with different profiles, or there is no such profile.
    """
    named: dict[str, str] = {}
    for text in texts:
        site, _, profile = text.partition("=")
        if named.setdefault(site, profile) != profile:
            raise InputError(f"site {site!r}: is given twice, with different profiles; give it once")
    return {site: read(profile, beside, f"site {site}") if profile else None for site, profile in named.items()}

"""What the sites of a GitOps repository run already, and what it asks of their nodes."""

import json
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from nearedge.errors import InputError
from nearedge.files import write_text
from nearedge.release.description import first_fault
from nearedge.release.strict import Strict

PATH = "previous/sites.json"
"""Where fetch-model puts it, relative to the workspace; absent where there is no repository to read."""


class Image(Strict):
    """An image that a site runs, as its release record has it."""

    url: str = Field(description="reference without digest")
    digest: str
    layers: list[str] = Field(description="their digests")


class Running(Strict):
    """One model at a site. Memory in MiB, CPU in thousandths of a core; null: nothing says it."""

    name: str
    memory_request_mib: int | None
    memory_limit_mib: int | None
    cpu_request_m: int | None
    cpu_limit_m: int | None
    told_by: Literal["record", "manifests", "unknown"]
    image: str = Field(default="", description="digest of its image, which is in `images`; empty: no record says it")

    @property
    def known(self) -> bool:
        """Whether it is known what the scheduler sets aside for it."""
        return self.memory_request_mib is not None


class Usage(Strict):
    """The models of each site, by the site's name; a site that git does not know is not among them."""

    schema_version: Literal[1] = 1
    sites: dict[str, list[Running]] = Field(default={}, description="sorted by name")
    images: dict[str, Image] = Field(default={}, description="by digest, those that a site runs")

    def others(self, site: str, name: str) -> list[Running]:
        """What runs at `site` besides the model `name`; nothing at a site that is not in git yet."""
        return [one for one in self.sites.get(site, []) if one.name != name]

    def images_at(self, site: str) -> list[Image]:
        """The images whose blobs a site has: those that git says it runs, of every model, each once, by digest."""
        digests = sorted({one.image for one in self.sites.get(site, [])})
        return [self.images[digest] for digest in digests if digest in self.images]


def write(workspace: Path, usage: Usage | None) -> None:
    """Write the file of `workspace` by rename; None: see that there is none."""
    path = workspace / PATH
    if usage is None:
        path.unlink(missing_ok=True)
        return
    write_text(path, json.dumps(usage.model_dump(mode="json"), indent=2, sort_keys=True) + "\n")


def read(workspace: Path) -> Usage:
    """What fetch-model wrote; nothing runs anywhere where it wrote none. Raises InputError for a damaged file."""
    path = workspace / PATH
    try:
        return Usage.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return Usage()
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(f"{path}: not JSON: {error}; run fetch-model again") from error
    except ValidationError as error:
        raise InputError(f"{path}: {first_fault(error)}; run fetch-model again") from error

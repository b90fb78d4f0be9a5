"""The models of a folder, MODELS/<name>/<version>/, and how far each of them is."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from serving_image.batching import Batcher
from serving_image.drift import Drift
from serving_image.faults import NotFoundError
from serving_image.model import Model
from serving_image.pool import Answer, Pool
from serving_image.self_test import Result
from serving_image.tensors import Array, quoted

VERSION = re.compile(r"[1-9][0-9]{0,17}", re.ASCII)

State = Literal["loading", "ready", "failed"]


@dataclass
class Loaded:
    """A model that can compute."""

    model: Model
    pool: Pool
    batcher: Batcher | None = None
    drift: Drift | None = None

    def is_quick(self) -> bool:
        """Whether small requests are likely to be answered without waiting."""
        return self.batcher is None and self.pool.is_quick()

    async def run(self, arrays: Sequence[Array], timeout: float) -> Answer:
        """The answer of one request, batched where the record asks for it. Raises what the pool raises."""
        return await (self.batcher or self.pool).run(arrays, timeout)


@dataclass
class Entry:
    """One version of a model. `loaded` stays set where only its self-test failed."""

    name: str
    version: str
    folder: Path
    state: State = "loading"
    reason: str = "is being loaded"
    loaded: Loaded | None = None
    self_test: Result | None = None
    testing: bool = False

    @property
    def title(self) -> str:
        """How messages name it."""
        return f"model {quoted(self.name)} version {self.version}"


class Repository:
    """What was found in the folder when the server started."""

    def __init__(self, folder: Path, versions: str = "all") -> None:
        """Look for models in `folder`; hidden folders and those without a version are passed over.

        `versions` is latest, all, or a list of numbers such as 1,3, of which every model has to have one.
        """
        self.folder = folder
        self.picked = versions
        self.fault = ""
        self.models: dict[str, dict[str, Entry]] = {}
        try:
            self.scan()
        except OSError as error:
            self.fault = f"{error.filename or folder}: {(error.strerror or 'cannot be read').lower()}"
        if not self.fault and not self.models:
            self.fault = f"{folder} holds no models; expected <name>/<version>/model.xml"

    def scan(self) -> None:
        """Fill `models`, the versions of each in rising order. Raises OSError."""
        for model in sorted(self.folder.iterdir()):
            if model.name.startswith(".") or not model.is_dir():
                continue
            found = [path for path in model.iterdir() if VERSION.fullmatch(path.name) and path.is_dir()]
            if found:
                paths = self.pick(model.name, sorted(found, key=lambda path: int(path.name)))
                self.models[model.name] = {path.name: Entry(model.name, path.name, path) for path in paths}

    def pick(self, name: str, found: list[Path]) -> list[Path]:
        """Those of the versions `found`, in rising order, that are to be served. A model without any is our fault."""
        if self.picked in ("all", "latest"):
            return found if self.picked == "all" else found[-1:]
        wanted = self.picked.split(",")
        paths = [path for path in found if path.name in wanted]
        if not paths:
            there = ", ".join(path.name for path in found)
            self.fault = f"model {quoted(name)} has no version {self.picked.replace(',', ' or ')}; there are {there}"
        return paths

    def entries(self) -> list[Entry]:
        """Every version of every model."""
        return [entry for versions in self.models.values() for entry in versions.values()]

    def versions(self, name: str) -> list[str]:
        """The versions of a model in rising order. Raises NotFoundError."""
        if name not in self.models:
            raise NotFoundError(f"no model {quoted(name)}; there are {', '.join(sorted(self.models)[:20]) or 'none'}")
        return list(self.models[name])

    def entry(self, name: str, version: str | None = None) -> Entry:
        """A version of a model; where none is named the latest that could be loaded. Raises NotFoundError."""
        entries = self.models.get(name)
        if version is None and entries:
            for entry in reversed(entries.values()):
                if entry.loaded is not None:
                    return entry
            return next(reversed(entries.values()))
        found = None if entries is None else entries.get(version or "")
        if found is None:
            versions = ", ".join(self.versions(name)) or "none"
            raise NotFoundError(f"no version {quoted(version or '')} of model {quoted(name)}; there are {versions}")
        return found

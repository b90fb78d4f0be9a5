"""The models of a folder, MODELS/<name>/<version>/, and how far each of them is."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from serving_image.faults import NotFoundError
from serving_image.model import Model
from serving_image.pool import Pool
from serving_image.self_test import Result
from serving_image.tensors import quoted

VERSION = re.compile(r"[1-9][0-9]{0,17}", re.ASCII)

State = Literal["loading", "ready", "failed"]


@dataclass
class Loaded:
    """A model that can compute."""

    model: Model
    pool: Pool


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

    def __init__(self, folder: Path) -> None:
        """Look for models in `folder`; hidden folders and those without a version are passed over."""
        self.folder = folder
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
                self.models[model.name] = {
                    path.name: Entry(model.name, path.name, path)
                    for path in sorted(found, key=lambda path: int(path.name))
                }

    def entries(self) -> list[Entry]:
        """Every version of every model."""
        return [entry for versions in self.models.values() for entry in versions.values()]

    def versions(self, name: str) -> list[str]:
        """The versions of a model in rising order. Raises NotFoundError."""
        if name not in self.models:
            raise NotFoundError(f"no model {quoted(name)}; there are {', '.join(sorted(self.models)[:20]) or 'none'}")
        return list(self.models[name])

    def entry(self, name: str, version: str | None = None) -> Entry:
        """A version of a model, the latest where none is named. Raises NotFoundError."""
        versions = self.versions(name)
        found = self.models[name].get(versions[-1] if version is None else version)
        if found is None:
            raise NotFoundError(
                f"no version {quoted(version or '')} of model {quoted(name)}; there are {', '.join(versions)}"
            )
        return found

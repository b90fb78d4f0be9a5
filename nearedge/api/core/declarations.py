"""The Pipelines and Tasks of the catalog as their YAML declares them."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from nearedge.api.core.models import Declared, Param, Workspace
from nearedge.errors import NearedgeError
from nearedge.runner import load
from nearedge.runner.fields import Document
from nearedge.runner.parse import declared_type

Kind = Literal["Pipeline", "Task"]
KINDS: tuple[Kind, ...] = ("Pipeline", "Task")
VERSION, TITLE = "app.kubernetes.io/version", "tekton.dev/displayName"


@dataclass
class Declarations:
    """What the catalog at `root` holds; a file is read again where it changed. Its methods are for threads."""

    root: Path
    known: dict[Path, tuple[tuple[int, int], Declared]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def every(self) -> list[Declared]:
        """All of them by kind and name. Raises InputError for a file that is no manifest."""
        with self.lock:
            found = {path: self.read(kind, path) for kind in KINDS for path in self.files(kind)}
            self.known = {path: self.known[path] for path in found}
            return list(found.values())

    def files(self, kind: Kind) -> list[Path]:
        """The files of a kind by name."""
        paths = (self.root / load.FOLDERS[kind]).glob("*/*.yaml")
        return sorted(path for path in paths if path.stem == path.parent.name)

    def read(self, kind: Kind, path: Path) -> Declared:
        """What a file declares."""
        state = path.stat()
        sign = (state.st_mtime_ns, state.st_size)
        if path not in self.known or self.known[path][0] != sign:
            self.known[path] = (sign, declared(kind, load.read(path)[0]))
        return self.known[path][1]

    def health(self) -> str:
        """ok, or what is wrong with the catalog."""
        try:
            return "ok" if self.every() else f"{self.root}: holds no Pipeline and no Task"
        except (NearedgeError, OSError) as error:
            return str(error)


def declared(kind: Kind, document: Document) -> Declared:
    """A Pipeline or Task."""
    metadata, spec = document["metadata"], document["spec"]
    return Declared(
        kind=kind,
        name=metadata["name"],
        version=(metadata.get("labels") or {}).get(VERSION, ""),
        title=(metadata.get("annotations") or {}).get(TITLE, metadata["name"]),
        description=line(spec),
        params=[param(item) for item in spec.get("params") or []],
        workspaces=[
            Workspace(name=item["name"], description=line(item), optional=bool(item.get("optional")))
            for item in spec.get("workspaces") or []
        ],
        results={item["name"]: line(item) for item in spec.get("results") or []},
        tasks=list(tasks(spec)) if kind == "Pipeline" else [],
    )


def tasks(spec: Document) -> Iterator[str]:
    """The Tasks of a Pipeline, those of `finally` last."""
    yield from (item["name"] for part in ("tasks", "finally") for item in spec.get(part) or [])


def param(item: Document) -> Param:
    """A param."""
    default = item.get("default")
    kind: Any = declared_type(item, default, item["name"])
    return Param(
        name=item["name"], type=kind, description=line(item), default=default, enum=list(item.get("enum") or [])
    )


def line(item: Document) -> str:
    """The description in one line."""
    return " ".join(str(item.get("description") or "").split())

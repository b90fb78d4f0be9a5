"""Reading manifests: files as `kubectl create -f` takes them, and the catalog for the names they refer to."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from nearedge.errors import InputError, UnsupportedError
from nearedge.runner.fields import Document, sort_fields
from nearedge.runner.tables import KINDS

API_VERSION = "tekton.dev/v1"
FOLDERS = {"Task": "tasks", "Pipeline": "pipelines"}


def read(path: Path) -> list[Document]:
    """The documents of a file, those of a `kind: List` among them.

    Raises InputError for what is no YAML, no manifest or of an unknown kind; FileNotFoundError as it comes.
    """
    try:
        found = list(yaml.safe_load_all(path.read_text(encoding="utf-8")))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: is not YAML: {' '.join(str(error).split())}") from error
    documents = [document for piece in found if piece is not None for document in unpacked(piece, path)]
    if not documents:
        raise InputError(f"{path}: holds no manifest")
    return documents


def unpacked(piece: Any, path: Path) -> Iterator[Document]:  # YAML as it came
    """The manifest itself, or what a List holds."""
    if not isinstance(piece, dict) or not isinstance(piece.get("kind"), str):
        raise InputError(f"{path}: holds a document that is no manifest (apiVersion, kind, metadata, spec)")
    if piece["kind"] == "List":
        for item in piece.get("items") or []:
            yield from unpacked(item, path)
        return
    check_kind(piece, path)
    yield piece


def check_kind(document: Document, path: Path) -> None:
    """Raise UnsupportedError for what the runner does not run, InputError for a manifest without a name."""
    kind, version = document["kind"], document.get("apiVersion")
    if kind not in KINDS or version != API_VERSION:
        known = ", ".join(KINDS)
        raise UnsupportedError(f"{path}: {version} {kind}: the local runner takes {known} of {API_VERSION} only")
    metadata = document.get("metadata")
    if not isinstance(metadata, dict) or not (metadata.get("name") or metadata.get("generateName")):
        raise InputError(f"{path}: {kind} without metadata.name or metadata.generateName")
    if not isinstance(document.get("spec"), dict):
        raise InputError(f"{path}: {kind} {name_of(document)} has no spec")


def name_of(document: Document) -> str:
    """The name of a manifest, or the beginning of the one it will get."""
    return str(document["metadata"].get("name") or document["metadata"]["generateName"])


class Library:
    """Tasks and Pipelines by name: those of the files first, the catalog's then."""

    def __init__(self, documents: Sequence[Document], catalog: Path) -> None:
        """Keep the documents of the files. Raises InputError where two of a kind have one name."""
        self.catalog = catalog
        self.accepted: list[str] = []
        self.files: dict[tuple[str, str], Document] = {}
        self.sorted: set[tuple[str, str]] = set()
        for document in documents:
            key = (document["kind"], name_of(document))
            if key in self.files and document["metadata"].get("name"):
                raise InputError(f"{key[0]} {key[1]}: stands twice in the files; leave one of them out")
            self.files[key] = document

    def holds(self, kind: str, name: str) -> bool:
        """Whether a Task or Pipeline of this name can be had."""
        return (kind, name) in self.files or self.path(kind, name).is_file()

    def path(self, kind: str, name: str) -> Path:
        """Where the catalog would have it. Raises InputError for a name that is none."""
        if not name or "/" in name or name.startswith("."):
            raise InputError(f"{name!r} is no name of a {kind}; for a file use -f")
        return self.catalog / FOLDERS[kind] / name / f"{name}.yaml"

    def spec(self, kind: str, name: str) -> Document:
        """The spec of a Task or Pipeline, its fields sorted.

        Raises InputError where there is none of this name or it has an unknown field, UnsupportedError for a field
        that the runner refuses.
        """
        document = self.files.get((kind, name))
        if document is None:
            path = self.path(kind, name)
            if not path.is_file():
                raise InputError(
                    f"{kind} {name}: neither in the files given nor in the catalog; known: {self.known(kind)}"
                )
            document = read(path)[0]
        self.sort(document)
        return dict(document["spec"])

    def sort(self, document: Document) -> None:
        """Sort the fields of a document once; remember those that have no effect here."""
        kind, name = document["kind"], name_of(document)
        if (kind, name) not in self.sorted:
            self.accepted += sort_fields(document, KINDS[kind], f"{kind} {name}")
            self.sorted.add((kind, name))

    def known(self, kind: str) -> str:
        """The names a person may give, for a message."""
        names = {name for found, name in self.files if found == kind}
        names |= {
            path.stem for path in (self.catalog / FOLDERS[kind]).glob("*/*.yaml") if path.stem == path.parent.name
        }
        return ", ".join(sorted(names)) or "none"

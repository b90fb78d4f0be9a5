"""What every section of a release record is: one file under `release/`, written by its Task, read by the later ones."""

import json
from pathlib import Path
from typing import ClassVar, Literal, TypeVar

from pydantic import ValidationError

from nearedge.errors import InputError, UnsupportedError
from nearedge.files import write_text
from nearedge.release.description import first_fault
from nearedge.release.inputs import Datatype
from nearedge.release.strict import Strict

RECORD_VERSION: Literal[1] = 1
FOLDER = "release"


class Section(Strict):
    """Base of the sections; `section` is the file's stem under `release/`."""

    section: ClassVar[str]


class TensorSpec(Strict):
    """A tensor as clients see it."""

    name: str
    datatype: Datatype
    shape: list[int]


Kind = TypeVar("Kind", bound=Section)


def write(workspace: Path, section: Section) -> Path:
    """Write `section` under `workspace/release` by rename; return the file."""
    path = workspace / FOLDER / f"{section.section}.json"
    body = {"schema_version": RECORD_VERSION, **section.model_dump(mode="json")}
    write_text(path, json.dumps(body, indent=2, sort_keys=True, allow_nan=False) + "\n")
    return path


def read(workspace: Path, kind: type[Kind]) -> Kind:
    """The section of that kind. Raises InputError where it is missing or damaged, UnsupportedError where newer."""
    section = read_optional(workspace, kind)
    if section is None:
        path = workspace / FOLDER / f"{kind.section}.json"
        raise InputError(f"{path}: missing; the Task that writes it has to run first on this workspace")
    return section


def read_optional(workspace: Path, kind: type[Kind]) -> Kind | None:
    """As `read`, None where the section is missing."""
    path = workspace / FOLDER / f"{kind.section}.json"
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(f"{path}: not JSON: {error}; run the Task that writes it again") from error
    return load(document, kind, str(path))


def load(document: object, kind: type[Kind], where: str) -> Kind:
    """A section from its JSON value; `where` names it in messages."""
    if not isinstance(document, dict):
        raise InputError(f"{where}: is no JSON object")
    version = document.get("schema_version")
    if isinstance(version, int) and version > RECORD_VERSION:
        raise UnsupportedError(
            f"{where}: schema_version {version} is newer than this nearedge reads ({RECORD_VERSION}); upgrade nearedge"
        )
    body = {key: value for key, value in document.items() if key != "schema_version"}
    try:
        return kind.model_validate(body)
    except ValidationError as error:
        raise InputError(f"{where}: {first_fault(error)}") from error


def clear(workspace: Path, *kinds: type[Section]) -> None:
    """Remove sections that a Task is about to write anew, so that a failed Task leaves none of an earlier run."""
    for kind in kinds:
        (workspace / FOLDER / f"{kind.section}.json").unlink(missing_ok=True)

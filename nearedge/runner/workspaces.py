"""Workspaces as folders of this machine."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from nearedge.errors import InputError
from nearedge.files import inside
from nearedge.runner.fields import Document
from nearedge.runner.model import Binding, PipelineTask, Workspace
from nearedge.runner.substitution import references

EMPTY_DIR = "emptyDir"


@dataclass(frozen=True)
class Source:
    """What a workspace of a run is.

    A folder, or without one a folder that the run makes and its Tasks share (`temporary`: removed when the run ends
    well), or with `fresh` a new one for each TaskRun.
    """

    folder: Path | None = None
    fresh: bool = False
    temporary: bool = False
    sub_path: str = ""


def given_folder(name: str, text: str) -> Source:
    """The workspace that `-w name=text` gives; `emptyDir` is a folder of the run, any other text a folder, made if new.

    Raises InputError where it is a file, or its parent is not there.
    """
    if text == EMPTY_DIR:
        return Source(temporary=True)
    folder = Path(text).expanduser().absolute()
    if folder.exists() and not folder.is_dir():
        raise InputError(f"workspace {name}: {text} is a file; give a folder")
    if not folder.parent.is_dir():
        raise InputError(f"workspace {name}: {folder.parent} is not there; make it first")
    return Source(folder=folder)


def bound(item: Document, where: str) -> Source:
    """The workspace of a binding in a PipelineRun or TaskRun; kinds that need a cluster are refused before this."""
    sub_path = item.get("subPath") or ""
    if item.get("emptyDir") is not None:
        return Source(fresh=True, sub_path=sub_path)
    if item.get("volumeClaimTemplate") is not None:
        return Source(sub_path=sub_path)
    raise InputError(f"{where}: binds no volume; give a folder with -w {item.get('name')}=DIR")


def check(declared: tuple[Workspace, ...], given: Mapping[str, Source], where: str) -> None:
    """Raise InputError for a workspace that is missing, or one that nobody asks for."""
    for workspace in declared:
        if workspace.name not in given and not workspace.optional:
            raise InputError(f"{where}: needs the workspace {workspace.name}; give it with -w {workspace.name}=DIR")


def unknown(declared: tuple[Workspace, ...], names: Mapping[str, str], where: str) -> None:
    """Raise InputError for a `-w` that names no workspace."""
    known = [workspace.name for workspace in declared]
    for name in names:
        if name not in known:
            raise InputError(f"{where}: has no workspace {name}; known: {', '.join(known) or 'none'}")


def make(sources: Mapping[str, Source], shared: Path) -> dict[str, Source]:
    """The sources with every folder made that a run's Tasks share; those of its own are `shared/NAME`."""
    made = {}
    for name, source in sources.items():
        folder = source.folder
        if folder is None and not source.fresh:
            folder = shared / name
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        made[name] = replace(source, folder=folder)
    return made


def bindings(task: PipelineTask, known: Mapping[str, Source]) -> dict[str, Binding]:
    """The bindings of a Task by its own workspace names.

    A Task that stands in the Pipeline also gets those of the run that it names, as Tekton propagates them.
    """
    found = {binding.name: binding for binding in task.workspaces}
    declared = {workspace.name for workspace in task.task.workspaces}
    if task.embedded:
        used = {reference.key[1] for reference in references(task.task.spec) if reference.key[0] == "workspaces"}
        for name in known:
            if name in used | declared:
                found.setdefault(name, Binding(name, name, ""))
    return {name: binding for name, binding in found.items() if task.embedded or name in declared}


def folder(source: Source, sub_path: str, private: Path) -> Path:
    """The folder that a TaskRun sees, made where a subPath names a new one. Raises InputError where that leads out."""
    base = source.folder
    if base is None:
        private.mkdir(parents=True, exist_ok=True)
        base = Path(tempfile.mkdtemp(dir=private, prefix="emptydir-"))
    for part in (source.sub_path, sub_path):
        if part:
            base = inside(base, part)
            base.mkdir(parents=True, exist_ok=True)
    return base

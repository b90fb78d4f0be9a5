"""Turning a step or a sidecar into a container: every reference replaced by a value or a path of this machine."""

from collections.abc import Mapping
from pathlib import Path

from nearedge.runner import backend, scopes, substitution
from nearedge.runner.fields import Document
from nearedge.runner.process import Container
from nearedge.runner.scopes import Places
from nearedge.runner.substitution import Scope

HOME = "/tekton/home"
WORKSPACE = Path("/workspace")


def prepare(places: Places) -> None:
    """Make the folders of an attempt."""
    for folder in (places.results, places.steps, places.home, places.temporary, places.work):
        folder.mkdir(parents=True, exist_ok=True)


def step(
    document: Document, scope: Scope, places: Places, log: Path, extra: Mapping[str, str], on_host: bool
) -> Container:
    """The container of a step; `extra` is laid under its env. Raises InputError for a reference that does not fit."""
    own = Scope(scope.values | scopes.step_results(document, places))
    (places.steps / document["name"] / "results").mkdir(parents=True, exist_ok=True)
    image = substitution.text(document["image"], own)
    here = on_host or backend.is_ours(image)
    env = {"TMPDIR": str(places.temporary), **extra, **environment(document, own, places)}
    return container(document, own, places, log, env, here)


def sidecar(document: Document, scope: Scope, places: Places, logs: Path, suffix: str) -> Container:
    """The container of a sidecar."""
    log = logs / f"sidecar-{document['name']}{suffix}.log"
    return container(document, scope, places, log, environment(document, scope, places), here=False)


def container(
    document: Document, scope: Scope, places: Places, log: Path, env: Mapping[str, str], here: bool
) -> Container:
    """The container itself; `here` says that it runs on this machine, not in an image of its own."""
    args = substitution.texts(document.get("args") or [], scope)
    command = substitution.texts(document.get("command") or [], scope)
    if document.get("script"):
        command = script(document, scope, places)
    return Container(
        name=document["name"],
        image=substitution.text(document["image"], scope),
        command=tuple(substitution.variables(item, env) for item in command),
        args=tuple(substitution.variables(item, env) for item in args),
        env=env,
        cwd=folder(document, scope, places, here),
        log=log,
        folders=(places.root, *(path for path in places.workspaces.values() if path is not None)),
    )


def environment(document: Document, scope: Scope, places: Places) -> dict[str, str]:
    """The declared env; a value may name those before it, and /tekton/home is a private folder."""
    found: dict[str, str] = {}
    for item in document.get("env") or []:
        value = substitution.variables(substitution.text(item.get("value") or "", scope), found)
        if value == HOME or value.startswith(f"{HOME}/"):
            value = f"{places.home}{value.removeprefix(HOME)}"
        found[item["name"]] = value
    return found


def script(document: Document, scope: Scope, places: Places) -> list[str]:
    """Write the script; the command that runs it.

    Its interpreter is named rather than left to the kernel, which refuses a script that a fork still has open.
    """
    text = backend.script_text(substitution.text(document["script"], scope))
    path = places.root / "scripts" / document["name"]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return [*backend.shebang(text), str(path)]


def folder(document: Document, scope: Scope, places: Places, here: bool) -> Path | None:
    """Where it starts: its workingDir, with /workspace/NAME and relative ones as folders of this machine."""
    text = substitution.text(document.get("workingDir") or "", scope)
    if not text:
        return places.work if here else None
    path = Path(text)
    if not here and path.is_absolute():
        return path
    if path.is_relative_to(WORKSPACE):
        path = path.relative_to(WORKSPACE)
        bound = places.workspaces.get(path.parts[0]) if path.parts else None
        if bound is not None:
            path = bound.joinpath(*path.parts[1:])
    path = places.work / path
    if any(path.is_relative_to(base) for base in (places.work, *filter(None, places.workspaces.values()))):
        path.mkdir(parents=True, exist_ok=True)
    return path

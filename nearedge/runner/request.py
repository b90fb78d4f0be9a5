"""What a person, or a program, asks to run; kept beside the run so that `--resume RUN` needs nothing else."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from nearedge import catalog
from nearedge.errors import InputError, UsageError
from nearedge.runner import store
from nearedge.runner.substitution import Value
from nearedge.runner.workspaces import EMPTY_DIR


@dataclass(frozen=True)
class Request:
    """What a person, or a program, wants to run.

    `target` names a Pipeline or Task of the files or the catalog; without one the runs in the files are run. A param
    given as text is read by its declared type. A workspace is a folder, or `emptyDir` for one of the run's own.
    """

    target: str | None = None
    files: tuple[Path, ...] = ()
    params: Mapping[str, Value] = field(default_factory=dict)
    workspaces: Mapping[str, str] = field(default_factory=dict)
    name: str | None = None
    on_host: bool = False
    catalog: Path = field(default_factory=catalog.root)


def document(asked: Request) -> dict[str, object]:
    """The request as JSON, its paths absolute."""
    return {
        "target": asked.target,
        "files": [str(path.absolute()) for path in asked.files],
        "params": dict(asked.params),
        "workspaces": {
            name: text if text == EMPTY_DIR else str(Path(text).expanduser().absolute())
            for name, text in asked.workspaces.items()
        },
        "on_host": asked.on_host,
        "catalog": str(asked.catalog),
    }


def resumed(asked: Request, name: str) -> Request:
    """The request of the run `name`, with what is asked for now laid over it.

    Raises InputError where there is no such run, UsageError where another name is asked for.
    """
    if asked.name and asked.name != name:
        raise UsageError(f"--name {asked.name}: a resumed run keeps its name {name}")
    try:
        kept = store.existing(name).read_request()
    except InputError as error:
        raise InputError(f"--resume: {error}") from error
    again = bool(asked.target or asked.files)
    return replace(
        asked,
        target=asked.target if again else kept["target"],
        files=asked.files if again else tuple(Path(path) for path in kept["files"]),
        params={**kept["params"], **asked.params},
        workspaces={**kept["workspaces"], **asked.workspaces},
        on_host=asked.on_host or bool(kept["on_host"]),
        name=name,
    )

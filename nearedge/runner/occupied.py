"""A folder that a run writes to is that run's while it runs: two runs on one would mix what they make."""

import fcntl
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from nearedge.errors import InputError
from nearedge.runner.model import Pipeline, PipelineTask
from nearedge.runner.workspaces import Source


def written(pipeline: Pipeline, sources: Mapping[str, Source]) -> list[Path]:
    """The given folders that some Task may write to: it binds the workspace and does not declare it `readOnly`."""
    names = {name for task in pipeline.every() for name in written_by(task)}
    given = (source.folder for name, source in sources.items() if name in names and source.folder is not None)
    return sorted({folder.resolve() for folder in given})


def written_by(task: PipelineTask) -> Iterator[str]:
    """The run's workspaces that one Task may write to."""
    read_only = {item["name"] for item in task.task.spec.get("workspaces") or [] if item.get("readOnly")}
    yield from (binding.workspace for binding in task.workspaces if binding.name not in read_only)


@contextmanager
def held(folders: Iterable[Path]) -> Iterator[None]:
    """Hold the folders for this run, each made if new. Raises InputError for one that another run holds."""
    with ExitStack() as open_folders:
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            open_folders.callback(os.close, descriptor)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise InputError(
                    f"workspace {folder}: another run writes to it now; wait for it, or give this one its own folder"
                ) from None
        yield

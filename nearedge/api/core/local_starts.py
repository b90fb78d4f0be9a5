"""Starting a run of the local runner: checked first, once for each idempotency key, or an earlier one given back."""

import hashlib
import json
import shutil
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from nearedge import __version__
from nearedge import catalog as shipped
from nearedge.api.core import keys, launch, run_files
from nearedge.api.core.declarations import Declarations
from nearedge.api.core.models import NewRun
from nearedge.api.core.run_index import RunIndex
from nearedge.api.problems import conflict
from nearedge.errors import InputError, MachineError
from nearedge.runner import occupied, parse, resume, store
from nearedge.runner.plan import Plan, plans
from nearedge.runner.request import Request
from nearedge.runner.workspaces import EMPTY_DIR

RESERVED = ("events",)
"""Names that are paths of ours."""


@dataclass
class Starts:
    """Starts runs of the Pipelines of `declarations` below `home`. Its methods are for threads."""

    home: Path
    index: RunIndex
    declarations: Declarations
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def keys(self) -> Path:
        """Where idempotency keys are kept."""
        return self.home / "api" / "keys"

    def start(self, wanted: NewRun, key: str) -> tuple[str, bool]:
        """The run's name, and whether it is new. Raises InputError before anything is made, ProblemError 409."""
        if not key:
            return self.begin(wanted, self.checked(wanted), wanted.name)
        if not keys.path_of(self.keys, key).exists():
            self.checked(wanted)
        content = digest(wanted.model_dump(mode="json"))
        with keys.held(self.keys, key) as entry:
            if entry.run and entry.content != content:
                raise conflict("Idempotency-Key: was used for a run of another content; use a new one")
            if entry.run and (entry.done or self.known(entry.run)):
                if not self.known(entry.run):
                    raise conflict(f"Idempotency-Key: its run {entry.run} was deleted; use a new one")
                return entry.run, False
            plan = self.checked(wanted)
            name = entry.run or wanted.name or plan.name
            entry.write(content, name, done=False)
            try:
                name, new = self.begin(wanted, plan, name)
            except BaseException:
                entry.write("", "", done=False)
                raise
            entry.write(content, name, done=True)
            return name, new

    def known(self, name: str) -> bool:
        """Whether there is a run of the name."""
        return self.index.refresh(name) is not None

    def checked(self, wanted: NewRun) -> Plan:
        """The run as it would be. Raises InputError, UnsupportedError; nothing is made."""
        declared = {one.name: one for one in self.declarations.every() if one.kind == "Pipeline"}
        if wanted.pipeline not in declared:
            raise InputError(f"pipeline: no Pipeline {wanted.pipeline!r}; there are: {', '.join(declared) or 'none'}")
        if wanted.name in RESERVED:
            raise InputError(f"name: {wanted.name} is taken; choose another")
        types = {param.name: param.type for param in declared[wanted.pipeline].params}
        for name, value in wanted.params.items():
            launch.carried(name, "" if not isinstance(value, str) else value)
            given = parse.type_of(value)
            if types.get(name, given) != given:
                raise InputError(f"params: {name} is of type {types[name]}, the value given is of type {given}")
        check_folders(wanted.workspaces)
        launch.arguments(wanted.pipeline, "", wanted.params, wanted.workspaces, [])
        request = Request(
            target=wanted.pipeline, files=self.files(wanted.pipeline), params=wanted.params,
            workspaces=wanted.workspaces, name=wanted.name, catalog=self.declarations.root,
        )  # fmt: skip
        try:
            return plans(request)[0]
        except OSError as error:
            raise InputError(f"workspaces: {error.filename}: {(error.strerror or 'cannot be used').lower()}") from error

    def files(self, pipeline: str) -> tuple[Path, ...]:
        """The manifests that the runner has to be given: none where it finds them itself, in the shipped catalog."""
        root = self.declarations.root
        if root.resolve() == shipped.root().resolve():
            return ()
        own = root / "pipelines" / pipeline / f"{pipeline}.yaml"
        return (own, *self.declarations.files("Task"))

    def begin(self, wanted: NewRun, plan: Plan, name: str | None) -> tuple[str, bool]:
        """Start the run, or find one that is the same and may be reused."""
        content = content_of(plan)
        if wanted.reuse:
            self.index.look()
            same = self.index.same(content)
            if same is not None:
                return same.name, False
        name = name or plan.name
        folder = store.folder(name, self.index.root)
        given = launch.arguments(wanted.pipeline, name, wanted.params, wanted.workspaces, self.files(wanted.pipeline))
        with self.lock:
            try:
                folder.path.mkdir(parents=True)
            except FileExistsError as error:
                raise conflict(f"run {name}: is there already; choose another name") from error
            created = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            try:
                run_files.Asked(wanted.pipeline, content, created, dict(wanted.labels)).write(folder)
                launch.launch(folder, given, self.home)
            except OSError as error:
                shutil.rmtree(folder.path, ignore_errors=True)
                raise MachineError(f"run {name}: its process cannot be started: {error.strerror}") from error
        return name, True


def check_folders(workspaces: Mapping[str, str]) -> None:
    """Raise InputError for a workspace that is neither an absolute path nor emptyDir: whose folder would it be?"""
    for name, text in workspaces.items():
        launch.carried(name, text)
        if text != EMPTY_DIR and not Path(text).is_absolute():
            raise InputError(f"workspaces: {name}: give an absolute path of the machine that runs it, or {EMPTY_DIR}")


def content_of(plan: Plan) -> str:
    """A digest of what a run does: Pipeline and Tasks of the catalog, params with defaults, workspaces.

    Of a workspace that no Task writes to, the files are part of it by size and time; of the others, which the run
    itself changes, only the place.
    """
    changed = set(occupied.written(plan.pipeline, plan.sources))
    folders = {name: source.folder.resolve() for name, source in plan.sources.items() if source.folder is not None}
    return digest(
        {
            "version": __version__,
            "pipeline": plan.pipeline.spec,
            "tasks": [task.task.spec for task in plan.pipeline.every()],
            "params": plan.params,
            "workspaces": {name: str(folders.get(name, EMPTY_DIR)) for name in plan.sources},
            "files": {name: resume.look(path) for name, path in folders.items() if path not in changed},
        }
    )


def digest(document: object) -> str:
    """A digest of a JSON value."""
    return hashlib.sha256(json.dumps(document, sort_keys=True, default=str).encode()).hexdigest()

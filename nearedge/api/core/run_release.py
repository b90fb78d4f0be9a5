"""What a run made: the release record and the report, from the folder that was its workspace `release`."""

import stat
from datetime import UTC, datetime
from pathlib import Path

from nearedge.api.core.models import Run
from nearedge.api.problems import missing
from nearedge.errors import InputError
from nearedge.files import inside
from nearedge.release import description, profile, record
from nearedge.release.record import Record
from nearedge.runner.store import RunFolder
from nearedge.runner.workspaces import EMPTY_DIR

WORKSPACE, SECTIONS, SOURCE, REPORT = "release", "release", "source", "report"
SUFFIXES = (".html", ".md", ".png")
LARGEST = 64 << 20
"""Bytes of a file of a report."""
LATER_S = 2.0
"""The runner tells when a run ended to the second."""


def workspace(folder: RunFolder, run: Run) -> Path:
    """The folder of the run's release. Raises ProblemError 404 where there is none, or a later run wrote to it."""
    try:
        given = folder.read_request()["workspaces"].get(WORKSPACE)
    except (InputError, KeyError) as error:
        raise missing(f"run {run.name}: has no workspace {WORKSPACE}") from error
    found = folder.volumes / WORKSPACE if given == EMPTY_DIR else Path(str(given))
    if given is None or not found.is_dir():
        raise missing(f"run {run.name}: has no workspace {WORKSPACE}, or it is gone")
    if changed_since(found, run):
        raise missing(f"run {run.name}: {found} holds what a later run made; ask for that one's")
    return found


def changed_since(found: Path, run: Run) -> bool:
    """Whether the release in a folder is another one by now: another image, or without one files written later."""
    own = run.results.get("IMAGE_DIGEST")
    kept = found / SECTIONS / "image.json"
    if own and kept.is_file():
        return str(own) not in kept.read_text(encoding="utf-8")
    if run.ended is None:
        return False
    ended = datetime.strptime(run.ended, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp()
    times = (path.stat().st_mtime for path in (found / SECTIONS).glob("*.json"))
    return max(times, default=0.0) > ended + LATER_S


def release_record(folder: RunFolder, run: Run) -> Record:
    """The record as far as the run came. Raises ProblemError 404 where it did not come far enough for one."""
    place = workspace(folder, run)
    try:
        if not (place / SECTIONS / "optimization.json").is_file() and (place / record.FETCHED).is_file():
            return record.read(place / record.FETCHED)
        named = str(run.params.get("profile") or "")
        beside = place / SOURCE
        named = named or description.read(beside / description.FILE_NAME).target.profile
        return record.assemble(place, profile.read(named, beside).name)
    except (InputError, FileNotFoundError) as error:
        raise missing(f"run {run.name}: has no release record yet: {error}") from error


def report_files(folder: RunFolder, run: Run) -> list[str]:
    """The names of the report's files. Raises ProblemError 404 where there is none."""
    place = workspace(folder, run) / REPORT
    found = sorted(path.name for path in place.glob("*") if path.suffix in SUFFIXES and not path.is_symlink())
    if not found:
        raise missing(f"run {run.name}: has no report; benchmark-model writes it")
    return found


def report_file(folder: RunFolder, run: Run, name: str) -> bytes:
    """A file of the report. Raises ProblemError 404 for what is none: a link, a folder, another kind."""
    if name not in report_files(folder, run):
        raise missing(f"run {run.name}: its report has no file {name!r}")
    path = inside(workspace(folder, run) / REPORT, name)
    state = path.lstat()
    if not stat.S_ISREG(state.st_mode) or state.st_size > LARGEST:
        raise missing(f"run {run.name}: {name} is no file of a report, or larger than {LARGEST} bytes")
    return path.read_bytes()

"""`nearedge logs RUN [TASK]`: what the steps of a run printed."""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from nearedge.errors import InputError
from nearedge.program import guarded, new_parser
from nearedge.runner import store
from nearedge.runner.store import RunFolder

NAME = "logs"
POLL_S = 0.3


def parser() -> argparse.ArgumentParser:
    """The options."""
    options = new_parser(NAME, "Show what the steps of a run printed.")
    options.add_argument("run", metavar="RUN", help="the run's name; `nearedge runs` lists them")
    options.add_argument("task", nargs="?", metavar="TASK", help="one Task; all of them where it is not given")
    options.add_argument("--follow", action="store_true", help="go on until the run ends")
    return options


def find(folder: RunFolder, task: str | None) -> list[Path]:
    """The logs of a run, or of one Task with all its combinations, in the order in which they were begun."""
    found = [
        path
        for path in (folder.path / "logs").glob("*/*.log")
        if task is None or path.parent.name == task or path.parent.name.startswith(f"{task}.")
    ]
    return sorted(found, key=lambda path: (folder.began(path.parent.name), path.stat().st_mtime_ns))


def title(path: Path) -> str:
    """`[task : step]`, as tkn shows it."""
    return f"[{path.parent.name} : {path.stem}]"


class Printer:
    """Prints logs from where it stopped the last time."""

    def __init__(self) -> None:
        """Nothing printed yet."""
        self.places: dict[Path, int] = {}
        self.last: Path | None = None

    def show(self, path: Path) -> None:
        """Print what is new in a log, under its title where another one was printed before."""
        with path.open("rb") as file:
            file.seek(self.places.get(path, 0))
            text = file.read()
        self.places[path] = self.places.get(path, 0) + len(text)
        if not text:
            return
        if self.last != path:
            print(title(path))
            self.last = path
        print(text.decode(errors="replace"), end="" if text.endswith(b"\n") else "\n", flush=True)


def run(name: str, task: str | None, follow: bool) -> None:
    """Print the logs. Raises InputError where there is no such run, or no log of the Task."""
    folder = store.existing(name)
    known = sorted({path.parent.name for path in (folder.path / "logs").glob("*/*.log")})
    if task is not None and not find(folder, task) and not follow:
        raise InputError(f"run {name}: no log of Task {task}; there are logs of: {', '.join(known) or 'none'}")
    printer = Printer()
    while True:
        running = folder.running()
        for path in find(folder, task):
            printer.show(path)
        if not follow or not running:
            return
        time.sleep(POLL_S)


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the options and print."""
    options = parser().parse_args(argv)
    return guarded(NAME, lambda: run(options.run, options.task, options.follow))


if __name__ == "__main__":
    sys.exit(main())

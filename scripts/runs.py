"""`nearedge runs`: the runs kept on this machine."""

import argparse
import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

from rich.console import Console
from rich.table import Table

from nearedge.program import guarded, new_parser
from nearedge.runner import store
from nearedge.runner.durations import readable
from nearedge.runner.fields import Document
from nearedge.runner.store import RunFolder

NAME = "runs"


def parser() -> argparse.ArgumentParser:
    """The options."""
    options = new_parser(NAME, "List the runs kept on this machine, the newest last.")
    options.add_argument("--json", action="store_true", help="print a JSON list on stdout")
    return options


def when(text: str | None) -> datetime | None:
    """A moment of a status document."""
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC) if text else None


def summary(folder: RunFolder) -> Document:
    """One run: name, Pipeline, how it stands, when it began and how many seconds it took."""
    document = folder.read_run()
    status = document["status"]
    reason = status["conditions"][0]["reason"]
    alive = folder.running()
    if reason == "Running" and not alive:
        reason = "Lost"  # its process ended without a word: killed, or the machine went down
    began, ended = when(status.get("startTime")), when(status.get("completionTime"))
    if alive:
        ended = datetime.now(UTC)
    return {
        "name": document["metadata"]["name"],
        "pipeline": str(document["spec"].get("pipelineRef", {}).get("name", "")),
        "reason": reason,
        "succeeded": status["conditions"][0]["status"] == "True",
        "started": status.get("startTime"),
        "seconds": (ended - began).total_seconds() if began and ended else None,
        "folder": str(folder.path),
    }


def run() -> list[Document]:
    """All runs, the oldest first. Raises InputError where one's document cannot be read."""
    return [summary(folder) for folder in store.every()]


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the options and list."""
    options = parser().parse_args(argv)

    def action() -> None:
        found = run()
        if options.json:
            print(json.dumps(found, indent=2))
            return
        table = Table("RUN", "PIPELINE", "STATUS", "STARTED", "TOOK", box=None, pad_edge=False)
        for item in found:
            took = "" if item["seconds"] is None else readable(item["seconds"])
            table.add_row(item["name"], item["pipeline"], item["reason"], item["started"], took)
        Console(highlight=False, soft_wrap=True).print(table)

    return guarded(NAME, action)


if __name__ == "__main__":
    sys.exit(main())

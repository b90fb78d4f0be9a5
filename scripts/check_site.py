"""`nearedge check-site`: whether what a site is to run fits its node, from the manifests themselves."""

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import yaml

from nearedge.delivery.gitops.site_usage import containers, of_container, within
from nearedge.errors import GateError, InputError
from nearedge.program import guarded, new_parser
from nearedge.release import profile
from nearedge.release.profile import Profile

NAME = "check-site"
DESCRIPTION = """Add up what manifests ask of a site's node and hold it against the site's profile.

  kubectl kustomize manifests/edge/examples/microshift | nearedge check-site --profile=microshift-small
  (kubectl kustomize my-site; for m in sites/site-1/*/; do echo ---; kubectl kustomize $m; done) | nearedge check-site

What the platform itself takes is in the profile. Requests are what the scheduler sets aside; a pod that asks for
nothing is named, since nobody can tell what it takes. The exit status is 3 where the requests do not fit."""


@dataclass(frozen=True)
class Asked:
    """One workload: CPU in thousandths of a core, memory in MiB; `open` where a container asks for nothing."""

    name: str
    cpu_m: int
    memory_mib: int
    open: bool


def parser() -> argparse.ArgumentParser:
    """The options."""
    options = new_parser(NAME, DESCRIPTION)
    options.formatter_class = argparse.RawDescriptionHelpFormatter
    options.add_argument("--profile", default="microshift-small", help="name or file of the profile (%(default)s)")
    options.add_argument("--json", action="store_true", help="print the figures as JSON")
    options.add_argument("files", nargs="*", metavar="FILE", help="built manifests; standard input where none is given")
    return options


def run(texts: Iterable[str]) -> list[Asked]:
    """The workloads in YAML texts. Raises InputError for what is not YAML, or where there is no object at all."""
    found = [document for text in texts for document in documents(text) if document is not None]
    if not found:
        raise InputError("no object is given, so nothing can be said to fit; did kubectl kustomize fail?")
    return [one for one in map(asked, found) if one is not None]


def documents(text: str) -> Iterator[Any]:
    """The documents of a YAML text; those of a List each for itself."""
    try:
        for document in yaml.safe_load_all(text):
            items = within(document, "items") if within(document, "kind") == "List" else None
            yield from items if isinstance(items, list) else [document]
    except yaml.YAMLError as error:
        raise InputError(f"not YAML: {' '.join(str(error).split())}; give what kubectl kustomize prints") from error


def asked(document: Any) -> Asked | None:
    """What one object asks of the node; None for one that runs nothing."""
    found = [of_container(container) for container in containers(document)]
    if not found:
        return None
    cpu, memory = (sum(one.get(key, 0) for one in found) for key in ("cpu_request_m", "memory_request_mib"))
    silent = any("cpu_request_m" not in one or "memory_request_mib" not in one for one in found)
    return Asked(f"{document.get('kind')}/{within(document, 'metadata', 'name')}", cpu, memory, silent)


def table(workloads: Sequence[Asked], site: Profile) -> str:
    """What is asked and what there is, for a person."""
    rows = [(one.name + (" (asks for nothing)" if one.open else ""), one.cpu_m, one.memory_mib) for one in workloads]
    rows.append(("sum", sum(one.cpu_m for one in workloads), sum(one.memory_mib for one in workloads)))
    rows.append((f"left by the platform on {site.name}", site.left_cpu_m, site.left_mib))
    width = max(len(name) for name, _, _ in rows)
    return "\n".join(f"{name:{width}} {cpu:6}m {memory:7} MiB" for name, cpu, memory in rows)


def gate(workloads: Sequence[Asked], site: Profile) -> None:
    """Raise GateError where the requests are more than the platform leaves of the node."""
    cpu, memory = sum(one.cpu_m for one in workloads), sum(one.memory_mib for one in workloads)
    over = [
        f"{asked}{unit} of {there}{unit}"
        for asked, there, unit in ((cpu, site.left_cpu_m, "m CPU"), (memory, site.left_mib, " MiB"))
        if asked > there
    ]
    if over:
        raise GateError(f"{site.name}: {' and '.join(over)} asked for; take a model away or a larger profile")


def read(files: Sequence[str], standard_input: TextIO) -> list[str]:
    """The texts. Raises InputError for a file that is not there."""
    try:
        return [Path(file).read_text(encoding="utf-8") for file in files] or [standard_input.read()]
    except (FileNotFoundError, UnicodeDecodeError) as error:
        raise InputError(f"{error}; give what kubectl kustomize prints") from error


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; the exit status."""
    given = parser().parse_args(argv)

    def action() -> None:
        site = profile.read(given.profile)
        workloads = run(read(given.files, sys.stdin))
        if given.json:
            left = {"cpu_m": site.left_cpu_m, "memory_mib": site.left_mib}
            print(json.dumps({"workloads": [vars(one) for one in workloads], "left": left}, indent=2))
        else:
            print(table(workloads, site))
        gate(workloads, site)

    return guarded(NAME, action)


if __name__ == "__main__":
    sys.exit(main())

"""Bytecode for a runtime base: which files are compiled, and where the result lies in the image."""

import json
import subprocess
import sys
from pathlib import Path, PurePosixPath

from nearedge.errors import MachineError

LIMIT_S = 300.0


def compiled(files: dict[str, Path], scratch: Path, *, keep_source: bool) -> dict[str, list[tuple[str, Path]]]:
    """For each Python file of `files` (name in the image, file here) what lies in the image in its stead.

    With `keep_source` that is the source and `__pycache__`, else the bytecode alone. `scratch` is a folder to work in.
    Raises MachineError where the compiler does not run.
    """
    sources = sorted(name for name in files if name.endswith(".py"))
    targets = {name: scratch / f"{number}.pyc" for number, name in enumerate(sources)}
    plan = [[str(files[name]), str(targets[name]), f"/{name}"] for name in sources]
    refused = set(run(scratch / "plan", plan))
    return {
        name: placed(name, files[name], targets[name], keep=keep_source)
        for name in sources
        if str(files[name]) not in refused
    }


def placed(name: str, source: Path, bytecode: Path, *, keep: bool) -> list[tuple[str, Path]]:
    """Names in the image and files for one module."""
    path = PurePosixPath(name)
    if not keep:
        return [(str(path.with_suffix(".pyc")), bytecode)]
    tag = sys.implementation.cache_tag
    return [(name, source), (str(path.parent / "__pycache__" / f"{path.stem}.{tag}.pyc"), bytecode)]


def run(path: Path, plan: list[list[str]]) -> list[str]:
    """Compile the files of `plan` (written to `path`) in a fresh interpreter; those it refused."""
    path.write_text(json.dumps(plan), encoding="utf-8")
    program = Path(__file__).with_name("bytecode.py")
    try:
        done = subprocess.run(
            [sys.executable, "-S", "-s", "-P", str(program), str(path)],
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
            env={"PYTHONHASHSEED": "0", "LC_ALL": "C.UTF-8"},
        )
    except subprocess.TimeoutExpired as error:
        raise MachineError(f"base image host: compiling took more than {LIMIT_S:.0f} s; try again") from error
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise MachineError(f"base image host: the Python compiler failed: {last[:200]}")
    refused: list[str] = json.loads(done.stdout)
    return refused

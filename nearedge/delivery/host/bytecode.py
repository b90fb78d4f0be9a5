"""Compiles Python files to bytecode whose bytes depend on the files alone; run as a program of its own.

The bytes that `marshal` writes depend on what else is alive in the interpreter, so the work is done in a fresh one, in
a fixed order, with a fixed hash seed. Names in the code are those of the image, not of this machine, and the files are
marked as never to be checked against a source (PEP 552, unchecked hash).

    python -S -s -P bytecode.py PLAN    # PLAN: JSON, a list of [source, target, name in the image]
"""

import json
import py_compile
import sys
from collections.abc import Sequence
from pathlib import Path


def compile_all(plan: Sequence[Sequence[str]]) -> list[str]:
    """Compile each file of `plan`; the sources of those that are no Python (templates) are given back."""
    refused = []
    for source, target, name in plan:
        try:
            mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
            py_compile.compile(source, target, name, doraise=True, invalidation_mode=mode)
        except py_compile.PyCompileError:
            refused.append(source)
    return refused


if __name__ == "__main__":
    print(json.dumps(compile_all(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))))

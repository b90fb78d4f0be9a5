"""Opening a torch.export archive without running what may be hidden in it (docs/adr/0009-untrusted-models.md).

`torch.export.load` unpickles custom objects, falls back to a full unpickling of sample inputs, hands symbolic
expressions to sympy's `eval`, looks operators up as attributes of `torch`, writes names into generated Python, and
executes guards that the archive carries (torch/export/pt2_archive/_package.py, torch/_export/serde/serialize.py,
torch/export/_unlift.py of 2.13). So the archive is checked against what a program of PyTorch's own operators needs,
and all that `torch.load` reads is read with weights_only.
"""

import ast
import json
import logging
import os
import re
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from converters.archive import below
from converters.refusal import explained
from nearedge.errors import InputError, UnsupportedError

FORCE_WEIGHTS_ONLY = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
LARGEST_GRAPH = 256 << 20
PROGRAM = "models/model.json"
REFUSED_ENTRIES = {
    "data/aotinductor/": "compiled machine code",
    "data/constants/custom_obj": "a pickled custom object",
    "data/constants/opaque_obj": "a pickled object",
}
WORD = r"(?:[A-Za-z]\w*|_[A-Za-z]\w*|__i?(?:and|or|xor|lshift|rshift)__)"
TARGETS = re.compile(
    rf"torch\.ops\.(?:aten|prims|prim|quantized_decomposed|torchvision)\.(?!from_file)(?:{WORD})(?:\.{WORD})?"
    r"|torch\.ops\.higher_order\.(?:cond|while_loop|wrap_with_set_grad_enabled|wrap_with_autocast)"
    r"|_operator\.(?:getitem|add|sub|mul|truediv|floordiv|mod|neg|pow|pos|eq|ne|lt|le|gt|ge|and_|or_|not_|xor)"
    r"|math\.(?:ceil|floor|trunc|sqrt|pow)"
    r"|torch\.(?:sym_\w+|_sym_\w+)"
)
PLAIN = re.compile(r"[\w.:+-]*")
VALUE = re.compile(r"[^'\"\\\n\r{}]*")
SYMBOL = re.compile(r"[a-z]{1,4}_?\d+")
FUNCTIONS = re.compile(
    r"Symbol|Integer|Float|Rational|Add|Mul|Pow|Abs|Max|Min|Mod|floor|ceiling|oo|int_oo|true|false|Eq|Ne|Lt|Le|Gt|Ge"
    r"|And|Or|Not|FloorDiv|ModularIndexing|Where|PythonMod|CleanDiv|CeilToInt|FloorToInt|CeilDiv|LShift|RShift"
    r"|PowByNatural|FloatPow|FloatTrueDiv|IntTrueDiv|TruncToFloat|TruncToInt|RoundToInt|RoundDecimal|ToFloat|Identity"
    r"|Equality|Unequality|GreaterThan|LessThan|StrictGreaterThan|StrictLessThan|IsNonOverlappingAndDenseIndicator"
)
NODES = (
    ast.Expression, ast.BoolOp, ast.BinOp, ast.UnaryOp, ast.Compare, ast.Call, ast.Name, ast.Constant, ast.keyword,
    ast.Load, ast.boolop, ast.operator, ast.unaryop, ast.cmpop,
)  # fmt: skip
TREE_TYPES = {None, "builtins.tuple", "builtins.list", "builtins.dict", "collections.OrderedDict"}


def load(path: Path) -> Any:  # a torch.export.ExportedProgram; torch is not imported here
    """The exported program in `path`.

    Raises InputError where the archive is damaged, UnsupportedError where it holds more than PyTorch's own operators.
    """
    check(path)
    from torch import export

    with explained(path, "PyTorch cannot load the exported program"), quietly(), path.open("rb") as file:
        program = export.load(file)
    program._guards_code = []  # Python source from the archive, which module() would execute
    return program


@contextmanager
def quietly() -> Iterator[None]:
    """All `torch.load` inside is with weights_only; PyTorch's own log and warnings stay silent."""
    before, logger = os.environ.get(FORCE_WEIGHTS_ONLY), logging.getLogger("torch")
    level = logger.level
    os.environ[FORCE_WEIGHTS_ONLY] = "1"
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
        if before is None:
            os.environ.pop(FORCE_WEIGHTS_ONLY, None)
        else:
            os.environ[FORCE_WEIGHTS_ONLY] = before


def check(path: Path) -> None:
    """Raise where the archive holds anything but weights and a graph of PyTorch's own operators."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = {below(name): name for name in archive.namelist()}
            _check_entries(path, entries)
            with archive.open(entries[PROGRAM]) as file:
                text = file.read(LARGEST_GRAPH + 1)
        if len(text) > LARGEST_GRAPH:
            raise UnsupportedError(f"{path}: its graph is larger than {LARGEST_GRAPH >> 20} MiB")
        program = json.loads(text)
        _walk(path, "", {key: value for key, value in program.items() if key != "guards_code"})
    except (zipfile.BadZipFile, EOFError, ValueError, RecursionError, AttributeError) as error:
        raise InputError(f"{path}: a damaged torch.export archive ({error}); export it again") from error


def _check_entries(path: Path, entries: dict[str, str]) -> None:
    """Raise where an entry is of a kind that runs code when it is loaded, or the one model is missing."""
    for name in entries:
        for prefix, what in REFUSED_ENTRIES.items():
            if name.startswith(prefix):
                raise UnsupportedError(f"{path}: holds {what} ({name}), which is never loaded; export without it")
    models = [name for name in entries if name.startswith("models/")]
    if models != [PROGRAM]:
        raise UnsupportedError(f"{path}: holds {len(models)} programs; save one with torch.export.save")


def _walk(path: Path, key: str, value: object) -> None:
    """Check every string of the program's JSON by the key that it stands under; metadata is only ever shown."""
    if isinstance(value, dict):
        for inner, one in value.items():
            if inner != "metadata":
                _check_text(path, "name", inner)
                _walk(path, inner, one)
    elif isinstance(value, list):
        for one in value:
            _walk(path, key, one)
    elif isinstance(value, str):
        _check_text(path, key, value)


def _check_text(path: Path, key: str, text: str) -> None:
    """Raise UnsupportedError where a string is not of the kind that its key calls for."""
    if key == "target":
        if not TARGETS.fullmatch(text):
            raise UnsupportedError(
                f"{path}: calls {text[:80]!r}, which is no operator of PyTorch's own; export without it"
            )
    elif key == "expr_str":
        if not harmless(text):
            raise UnsupportedError(f"{path}: its shapes hold {text[:80]!r}, which is no arithmetic; export it again")
    elif key in ("in_spec", "out_spec"):
        _check_tree(path, json.loads(text)[1])
    elif not (VALUE if key in ("as_string", "as_strings") else PLAIN).fullmatch(text):
        raise UnsupportedError(f"{path}: its {key} is {text[:80]!r}, which is no plain name; export it again")


def _check_tree(path: Path, tree: dict[str, Any]) -> None:
    """Raise UnsupportedError where arguments or results are more than nested tuples, lists and dicts of tensors."""
    if tree["type"] not in TREE_TYPES:
        raise UnsupportedError(
            f"{path}: takes or gives a {str(tree['type'])[:80]}; use tensors, tuples, lists and dicts in forward()"
        )
    keys = json.loads(tree["context"]) if tree["context"] else None
    if keys and not all(isinstance(key, str) and key.isidentifier() for key in keys):
        raise UnsupportedError(
            f"{path}: takes or gives a dict whose keys are no plain names; export it with plain names"
        )
    for child in tree["children_spec"]:
        _check_tree(path, child)


def harmless(expression: str) -> bool:
    """Whether an expression is arithmetic on symbols and numbers, by its syntax tree; nothing is evaluated."""
    try:
        tree = ast.parse(expression, mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return all(isinstance(node, NODES) and _harmless(node) for node in ast.walk(tree))


def _harmless(node: ast.AST) -> bool:
    """The rules that a kind of node alone does not settle: which names, calls and constants."""
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name)
    if isinstance(node, ast.Name):
        return FUNCTIONS.fullmatch(node.id) is not None or SYMBOL.fullmatch(node.id) is not None
    if isinstance(node, ast.Constant):
        return isinstance(node.value, bool | int | float) or (
            isinstance(node.value, str) and SYMBOL.fullmatch(node.value) is not None
        )
    return True

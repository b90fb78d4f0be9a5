"""Who may import whom: layers import only downwards, and heavy packages only inside functions."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BASE = ("nearedge", "nearedge.errors", "nearedge.files", "nearedge.progress", "nearedge.program", "nearedge.catalog")
ALLOWED = {
    "serving_image": ("serving_image",),
    "nearedge/release": (*BASE, "nearedge.release"),
    "nearedge/runner": (*BASE, "nearedge.runner"),
    "nearedge/delivery": (*BASE, "nearedge.release", "nearedge.delivery"),
    "nearedge/api": (*BASE, "nearedge.release", "nearedge.runner", "nearedge.delivery", "nearedge.api"),
    "converters": (*BASE, "nearedge.release", "converters"),
    "scripts": (
        *BASE,
        "nearedge.release",
        "nearedge.runner",
        "nearedge.delivery",
        "nearedge.api",
        "converters",
        "scripts",
    ),
}
APIS = {"": (), "cluster": (), "core": ("cluster",), "edge": ("cluster",)}
"""Packages of nearedge.api ("" what lies in it itself), and which of the others each may import."""
OURS = {"nearedge", "converters", "scripts", "serving_image"}
HEAVY = {"torch", "tensorflow", "nncf", "onnx", "onnxruntime", "keras"}
HEAVY_OUTSIDE_THE_SERVER = {*HEAVY, "openvino"}


def imports(tree: ast.AST) -> Iterator[tuple[str, bool]]:
    """Each imported module's name and whether the import stands at the module's top level."""
    top = set(ast.iter_child_nodes(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node in top) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            yield from ((f"{node.module}.{alias.name}", node in top) for alias in node.names)


def files() -> list[tuple[str, Path]]:
    return [(layer, path) for layer in ALLOWED for path in sorted((ROOT / layer).rglob("*.py"))]


@pytest.mark.parametrize(("layer", "path"), files(), ids=lambda value: str(value).removeprefix(str(ROOT)))
def test_imports_go_downwards(layer: str, path: Path) -> None:
    for name, at_top in imports(ast.parse(path.read_text())):
        package = name.partition(".")[0]
        if package in OURS:
            allowed = any(
                name == entry or name.startswith(f"{entry}.") for entry in ALLOWED[layer] if entry != "nearedge"
            )
            assert allowed or name in ("nearedge.__version__", "nearedge.errors", "nearedge.catalog"), name
        heavy = HEAVY if layer == "serving_image" else HEAVY_OUTSIDE_THE_SERVER
        assert not (at_top and package in heavy), f"{name} is imported when the module is"


def test_the_two_apis_know_nothing_of_each_other() -> None:
    seen = set()
    for layer, path in files():
        if layer == "nearedge/api":
            inside = path.relative_to(ROOT / layer).parts
            own = inside[0] if len(inside) > 1 else ""
            names = [name for name, _ in imports(ast.parse(path.read_text())) if name.startswith("nearedge.api.")]
            used = {name.split(".")[2] for name in names}
            assert (used & APIS.keys()) <= {own, *APIS[own]}, path
            seen.add(own)
    assert seen == APIS.keys()


def test_no_module_has_a_name_that_says_nothing() -> None:
    empty = {"utils", "util", "helpers", "helper", "common", "manager", "misc"}
    assert not [path for _, path in files() if path.stem in empty]


def test_modules_stay_short() -> None:
    long = {str(path): len(path.read_text().splitlines()) for _, path in files()}
    assert {path: lines for path, lines in long.items() if lines > 320} == {}

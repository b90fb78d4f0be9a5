"""The user's own Python: what runs, what does not, what is left behind, and one line for each fault."""

import sys
from pathlib import Path

import pytest

from converters import own_code
from converters.own_code import OwnCode
from nearedge.errors import InputError
from nearedge.files import sha256_tree
from nearedge.release.description import parse

MODEL = """
{schema: 1, name: m, code: code, source: {path: w.pt, factory: "pkg.net:build"},
 inputs: [{name: x, shape: [-1, 2], dtype: FP32}], outputs: [{name: y}]}"""


@pytest.fixture
def folder(tmp_path):
    """A package with functions that work and functions that do not."""
    (tmp_path / "code" / "pkg").mkdir(parents=True)
    (tmp_path / "code" / "pkg" / "__init__.py").write_text("")
    (tmp_path / "code" / "pkg" / "values.py").write_text("HERE = 7\n")
    (tmp_path / "code" / "pkg" / "net.py").write_text(
        "from pkg.values import HERE\nimport sys\nNUMBER = 3\nCALLS = []\n"
        "def build():\n    CALLS.append(1)\n    from pkg import late\n    return HERE + late.MORE + len(CALLS)\n"
        "def fails():\n    raise KeyError('two\\nlines')\n"
        "def leaves():\n    sys.exit(0)\n"
        "def memory():\n    raise MemoryError\n"
    )
    (tmp_path / "code" / "pkg" / "late.py").write_text("MORE = 100\n")
    (tmp_path / "code" / "broken.py").write_text("x = 1\nraise RuntimeError('no')\n")
    (tmp_path / "code" / "unread.py").write_text("def f(:\n")
    (tmp_path / "code" / "json.py").write_text("def f():\n    return 1\n")
    return tmp_path


def test_it_runs_and_leaves_nothing_behind(folder):
    before, modules, written = list(sys.path), set(sys.modules), sys.dont_write_bytecode
    whole = sha256_tree(folder / "code")
    function = OwnCode(folder / "code").function("pkg.net:build", "source.factory")
    assert [function(), function()] == [108, 109], "imported once, and what it imports late is found"
    assert (sys.path, sys.dont_write_bytecode) == (before, written)
    assert not {name for name in set(sys.modules) - modules if name.startswith("pkg")}
    assert sha256_tree(folder / "code") == whole, "no bytecode was written"


def test_two_folders_with_the_same_names_do_not_meet(folder, tmp_path):
    other = tmp_path / "other"
    (other / "pkg").mkdir(parents=True)
    (other / "pkg" / "net.py").write_text("def build():\n    return 'other'\n")
    first = OwnCode(folder / "code").function("pkg.net:build", "k")
    second = OwnCode(other).function("pkg.net:build", "k")
    assert [first(), second(), first()] == [108, "other", 109]


FAULTS = {
    "pkg.net:missing": "pkg.net has none of that name",
    "pkg.net:NUMBER": "holds a int there",
    "pkg.none:build": "no pkg/none.py in the folder code",
    "none:build": "no none.py in the folder code",
    "os:system": "no os.py in the folder code",
    "broken:f": r"raised RuntimeError: no \(broken.py line 2\)",
    "unread:f": "raised SyntaxError",
    "json:f": "json is the name of a module that is there already",
}


@pytest.mark.parametrize("name", FAULTS)
def test_what_cannot_be_imported_is_one_line(folder, name):
    with pytest.raises(InputError, match=FAULTS[name]) as caught:
        OwnCode(folder / "code").function(name, "source.factory")
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"source.factory {name}: ")
    assert "broken" not in sys.modules


@pytest.mark.parametrize(
    ("name", "arguments", "text"),
    [
        ("fails", (), r"raised KeyError: 'two\\nlines' \(net.py line 10\)"),
        ("leaves", (), r"raised SystemExit: 0 \(net.py line 12\)"),
        ("build", (1, 2), r"raised TypeError: build\(\) takes 0 positional arguments but 2 were given"),
    ],
)
def test_what_it_raises_is_one_line(folder, name, arguments, text):
    function = OwnCode(folder / "code").function(f"pkg.net:{name}", "metric.name")
    with pytest.raises(InputError, match=text):
        function(*arguments)


def test_memory_is_the_machine_s_fault(folder):
    with pytest.raises(MemoryError):
        OwnCode(folder / "code").function("pkg.net:memory", "k")()


def test_it_runs_only_where_it_was_allowed_and_only_as_it_was(folder):
    described = parse(MODEL, "model.yaml")
    sha256 = sha256_tree(folder / "code")
    found = own_code.allowed(described, sha256, folder)
    assert found is not None and found.folder == folder / "code"
    with pytest.raises(InputError, match=r"source.factory pkg.net:build is Python of its own.*allow-code to 'true'"):
        own_code.allowed(described, "", folder)
    (folder / "code" / "pkg" / "late.py").write_text("MORE = 101\n")
    with pytest.raises(InputError, match="is not the code that fetch-model allowed"):
        own_code.allowed(described, sha256, folder)
    with pytest.raises(InputError, match="is not the code"):
        own_code.allowed(described, sha256, folder / "elsewhere")
    plain = parse(
        MODEL.replace(", factory: ", ", x: ").replace(', x: "pkg.net:build"', "").replace("code: code, ", ""), "m"
    )
    assert own_code.allowed(plain, "", Path("/nowhere")) is None


BAD = {
    "code without a function": (
        MODEL.replace(', factory: "pkg.net:build"', ""),
        "neither source.factory nor metric.name",
    ),
    "a function without code": (MODEL.replace("code: code, ", ""), "name the folder beside model.yaml as code"),
    "a path": (MODEL.replace("pkg.net:build", "../net.py:build"), "source.factory"),
    "an expression": (MODEL.replace("pkg.net:build", "pkg.net:build()"), "source.factory"),
    "a metric without direction": (
        MODEL.replace("inputs:", 'data: {path: d.npz, labels: l}, metric: {name: "a:b", allowed_drop: 1}, inputs:'),
        "say whether higher_is_better",
    ),
    "a direction of ours": (
        MODEL.replace(
            "inputs:",
            "data: {path: d.npz, labels: l}, metric: {name: mae, allowed_drop: 1, higher_is_better: true}, inputs:",
        ),
        "of mae it is known",
    ),
    "fp16 without FP16": (MODEL.replace("inputs:", "precision: fp16, compress_to_fp16: false, inputs:"), "choose one"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_model_yaml_that_contradicts_itself(name):
    text, said = BAD[name]
    with pytest.raises(InputError, match=said):
        parse(text, "model.yaml")

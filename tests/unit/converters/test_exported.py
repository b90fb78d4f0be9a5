"""An exported program is opened only where nothing in it can run code of its own."""

import io
import json
import os
import pickle
import zipfile

import numpy as np
import pytest

from converters import exported, inspection, sources
from nearedge.errors import InputError, UnsupportedError
from tests.models import described

MARK = "owned"


class Evil:
    """A pickle that leaves a file behind when it is loaded."""

    def __reduce__(self):
        return (open, (MARK, "w"))


def rewritten(source, target, change=None, add=None):
    """A copy of an archive with its program changed by `change` and the entries of `add` put in."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        prefix = old.namelist()[0].split("/")[0]
        added = {f"{prefix}/{name}": content for name, content in (add or {}).items()}
        for name in old.namelist():
            if name in added:
                continue
            content = old.read(name)
            if change is not None and name.endswith("models/model.json"):
                program = json.loads(content)
                change(program)
                content = json.dumps(program).encode()
            new.writestr(name, content)
        for name, content in added.items():
            new.writestr(name, content)
    return target


def nodes(program):
    """The nodes of the program's graph."""
    return program["graph_module"]["graph"]["nodes"]


def call(target):
    """A change: the first node calls `target`."""
    return lambda program: nodes(program)[0].update(target=target)


def rename_input(name):
    """A change: the user's input has another name, wherever it is named."""

    def change(program):
        text = json.dumps(program).replace('"image"', json.dumps(name))
        program.clear()
        program.update(json.loads(text))

    return change


def resize(expression):
    """A change: the size of the batch is this expression."""

    def change(program):
        sizes = program["graph_module"]["graph"]["tensor_values"]["image"]["sizes"]
        sizes[0]["as_expr"]["expr_str"] = expression

    return change


def structure(spec):
    """A change: the program takes arguments of this structure."""
    return lambda program: program["graph_module"]["module_call_graph"][0]["signature"].update(in_spec=spec)


TREE = '[1, {"type": %s, "context": %s, "children_spec": []}]'
RUN = f"__import__('os').system('touch {MARK}')"
HOSTILE = {
    "a function of torch": (call("torch.os.system"), "'torch.os.system', which is no operator"),
    "a loader of torch": (call("torch.ops.load_library"), "no operator"),
    "a file as tensor": (call("torch.ops.aten.from_file.default"), "no operator"),
    "an unknown library": (call("torch.ops.acme.run.default"), "no operator"),
    "a way out of an operator": (call("torch.ops.aten.__class__"), "no operator"),
    "an attribute getter": (call("_operator.attrgetter"), "no operator"),
    "an extension": (call("#acme#run"), "no operator"),
    "code as a size": (resize(RUN), "no arithmetic"),
    "an attribute as a size": (resize("s0.__class__"), "no arithmetic"),
    "a lambda as a size": (resize("(lambda: 1)()"), "no arithmetic"),
    "a text as a size": (resize("Symbol('a b')"), "no arithmetic"),
    "no expression": (resize("s0 +"), "no arithmetic"),
    "code as a name": (rename_input(f"x={RUN}"), "no plain name"),
    "a strange class": (structure(TREE % ('"acme.Thing"', '"null"')), "takes or gives a acme.Thing"),
    "strange keys": (structure(TREE % ('"builtins.dict"', json.dumps(f'["{RUN}"]'))), "no plain names"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_program_is_refused(models, tmp_path, monkeypatch, case):
    monkeypatch.chdir(tmp_path)
    change, text = HOSTILE[case]
    path = rewritten(models.path("pt2"), tmp_path / "evil.pt2", change)
    with pytest.raises(UnsupportedError, match=text) as caught:
        exported.load(path)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / MARK).exists()


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        ("data/constants/custom_obj_0", "pickled custom object"),
        ("data/constants/opaque_obj_0", "pickled object"),
        ("data/aotinductor/model/model.so", "compiled machine code"),
        ("models/other.json", "holds 2 programs"),
    ],
)
def test_entries_that_would_run_are_refused(models, tmp_path, entry, text):
    path = rewritten(models.path("pt2"), tmp_path / "evil.pt2", add={entry: pickle.dumps(Evil())})
    with pytest.raises(UnsupportedError, match=text):
        exported.load(path)


def by_torch(what):
    """What `torch.save` makes of it."""
    import torch

    buffer = io.BytesIO()
    torch.save(what, buffer)
    return buffer.getvalue()


@pytest.mark.parametrize("entry", ["data/sample_inputs/model.pt", "data/weights/model.pt", "data/constants/model.pt"])
def test_pickles_that_torch_reads_are_read_as_weights_only(models, tmp_path, monkeypatch, entry):
    monkeypatch.chdir(tmp_path)
    path = rewritten(models.path("pt2"), tmp_path / "evil.pt2", add={entry: by_torch((Evil(),))})
    with pytest.raises(UnsupportedError, match="cannot load"):
        exported.load(path)
    assert not (tmp_path / MARK).exists()


def test_a_weight_marked_as_pickle_is_read_as_weights_only(models, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with zipfile.ZipFile(models.path("pt2")) as archive:
        name = next(name for name in archive.namelist() if name.endswith("model_weights_config.json"))
        config = json.loads(archive.read(name))
    first = next(iter(config["config"].values()))
    first["use_pickle"] = True
    weight = f"data/weights/{first['path_name']}"
    add = {"data/weights/model_weights_config.json": json.dumps(config).encode(), weight: by_torch(Evil())}
    path = rewritten(models.path("pt2"), tmp_path / "evil.pt2", add=add)
    with pytest.raises(UnsupportedError, match="cannot load"):
        exported.load(path)
    assert not (tmp_path / MARK).exists()


def test_torch_itself_would_have_run_it(models, tmp_path, monkeypatch):
    """The reason for all this: without the check and the flag, the sample inputs' pickle runs."""
    import torch

    monkeypatch.chdir(tmp_path)
    add = {"data/sample_inputs/model.pt": by_torch((Evil(),))}
    path = rewritten(models.path("pt2"), tmp_path / "evil.pt2", add=add)
    with pytest.MonkeyPatch.context() as patch, exported.quietly():
        patch.delenv(exported.FORCE_WEIGHTS_ONLY)
        torch.export.load(str(path))
    assert (tmp_path / MARK).exists()


def test_guards_of_the_archive_never_run(models, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = rewritten(models.path("pt2"), tmp_path / "guarded.pt2", lambda program: program.update(guards_code=[RUN]))
    description = described(path, "pt2", "pt2")
    source = sources.load_source(path, "pt2", description)
    assert source.predict({"image": np.zeros((2, 3, 8, 8), "f4")})["linear"].shape == (2, 5)
    from converters import convert

    convert.convert(path, "pt2", description)
    assert not (tmp_path / MARK).exists()


def test_a_plain_program_is_opened_and_leaves_the_environment_as_it_was(models, monkeypatch):
    monkeypatch.delenv(exported.FORCE_WEIGHTS_ONLY, raising=False)
    found = inspection.inspect(models.path("pt2-two"), "pt2")
    assert [(tensor.name, tensor.datatype, tensor.shape) for tensor in found.inputs] == [
        ("ids", "INT64", (2, 6)),
        ("weight", "FP32", (2, 6)),
    ]
    assert exported.FORCE_WEIGHTS_ONLY not in os.environ
    monkeypatch.setenv(exported.FORCE_WEIGHTS_ONLY, "0")
    exported.load(models.path("pt2"))
    assert os.environ[exported.FORCE_WEIGHTS_ONLY] == "0"


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"graph_module": 1, "in_spec": "x"}', b"\xff"])
def test_a_damaged_program_is_the_input_s_fault(models, tmp_path, content):
    path = rewritten(models.path("pt2"), tmp_path / "bad.pt2", add={"models/model.json": content})
    with pytest.raises(InputError, match=r"damaged torch\.export archive"):
        exported.load(path)


def test_a_graph_that_is_too_large_is_not_read(models, monkeypatch):
    monkeypatch.setattr(exported, "LARGEST_GRAPH", 1 << 10)
    with pytest.raises(UnsupportedError, match="larger than 0 MiB"):
        exported.check(models.path("pt2"))


@pytest.mark.parametrize(
    "expression",
    [
        "s0",
        "Symbol('s40', positive=True, integer=True)",
        "2*s0 + Max(1, s1)//3",
        "Eq(Mod(s0, 2), 0)",
        "-u0",
        "1.5*zuf0",
    ],
)
def test_arithmetic_is_harmless(expression):
    assert exported.harmless(expression)


def test_programs_of_varied_operators_pass(tmp_path):
    """Shapes that are computed, several dynamic dimensions, nested arguments and results."""
    import torch

    class Varied(torch.nn.Module):
        def forward(self, pair: tuple[torch.Tensor, torch.Tensor], more: dict[str, torch.Tensor]) -> dict[str, object]:
            a, b = pair
            joined = torch.cat([a, b], 0)[: a.shape[0] * 2 - 1]
            rounded = torch.div(joined, 2.0, rounding_mode="floor")
            flat = torch.einsum("ij,jk->ik", rounded, more["w"]).reshape(-1, a.shape[1] // 2)
            return {"flat": flat, "rest": [joined.sum(), (joined.shape[0] > 3) & joined.bool().any()]}

    dim = torch.export.Dim("rows", min=3, max=100)
    arguments = ((torch.ones(3, 4), torch.ones(3, 4)), {"w": torch.ones(4, 2)})
    program = torch.export.export(Varied(), arguments, dynamic_shapes=(({0: dim}, {0: dim}), {"w": None}))
    with exported.quietly():
        torch.export.save(program, tmp_path / "varied.pt2")
    found = inspection.inspect(tmp_path / "varied.pt2", "pt2")
    assert [tensor.shape for tensor in found.inputs] == [(-1, 4), (-1, 4), (4, 2)]
    assert found.outputs is not None
    assert [tensor.datatype for tensor in found.outputs] == ["FP32", "FP32", "BOOL"]

"""Formats are told by content; what cannot be converted is refused in one line that says what to do."""

import pickle
import subprocess
import sys
import warnings
import zipfile

import pytest

from converters import formats
from nearedge.errors import InputError, UnsupportedError
from tests.models import FORMS, net


@pytest.mark.parametrize("name", FORMS)
def test_a_model_is_recognised_whatever_its_name(models, tmp_path, name):
    path = models.path(name)
    assert formats.recognise(path) == FORMS[name]
    if path.is_file():
        renamed = tmp_path / "something.dat"
        renamed.write_bytes(path.read_bytes())
        assert formats.recognise(renamed) == FORMS[name]


def test_each_format_has_a_framework():
    assert formats.framework_of("pt2") == "pytorch"
    assert formats.framework_of("openvino-ir") == "onnx"
    assert formats.framework_of("tflite") == "tensorflow"


def test_recognising_imports_no_framework(models):
    paths = [str(models.path(name)) for name in ("torchscript", "onnx", "savedmodel")]
    program = (
        "import sys; from pathlib import Path; from converters import formats\n"
        f"[formats.recognise(Path(path)) for path in {paths!r}]\n"
        "print([name for name in ('torch', 'tensorflow', 'onnx', 'openvino', 'numpy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def saved_by_torch(path, what, **options):
    """What `torch.save` writes."""
    import torch

    torch.save(what, path, **options)


class Evil:
    """A pickle that writes a file when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (self.path, "w"))


def keras_weights(path):
    """The weights of a small Keras model without the model."""
    import keras

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what Keras says while it saves is not ours
        keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).save_weights(path.with_name("k.weights.h5"))
    path.write_bytes(path.with_name("k.weights.h5").read_bytes())


def zipped(path, **entries):
    """A zip archive with these entries."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name.replace("__", "/"), content)


def bomb(path):
    """A small archive that would fill the memory."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("m/archive_format", "pt2")
        archive.writestr("m/models/model.json", b"0" * (32 << 20))


SAFETENSORS = b"\x10\0\0\0\0\0\0\0" + b'{"__metadata__":' + b"\0" * 8
WEIGHTS = b'{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}'
WEIGHTS = len(WEIGHTS).to_bytes(8, "little") + WEIGHTS + bytes(8)
BAD = {
    "missing": (lambda _: None, InputError, "no such file"),
    "empty": (lambda p: p.write_bytes(b""), InputError, "empty"),
    "text": (lambda p: p.write_text("# not a model\n" * 9), InputError, "a text file"),
    "umlauts": (lambda p: p.write_text("ä" * 4999), InputError, "a text file"),
    "noise": (lambda p: p.write_bytes(bytes(range(255, 0, -1)) * 9), InputError, "not recognised"),
    "half a character": (lambda p: p.write_bytes(b"\x0a\xff\xff\xff"), InputError, "not recognised"),
    "folder": (lambda p: p.mkdir(), InputError, "without saved_model.pb"),
    "state_dict": (lambda p: saved_by_torch(p, net().state_dict()), InputError, "a state_dict"),
    "old state_dict": (
        lambda p: saved_by_torch(p, net().state_dict(), _use_new_zipfile_serialization=False),
        InputError,
        "a state_dict",
    ),
    "pickled module": (lambda p: saved_by_torch(p, Evil("x")), UnsupportedError, "never opened"),
    "old pickled module": (
        lambda p: saved_by_torch(p, Evil("x"), _use_new_zipfile_serialization=False),
        UnsupportedError,
        "never opened",
    ),
    "plain pickle": (lambda p: p.write_bytes(pickle.dumps(Evil("x"))), UnsupportedError, "never opened"),
    "oldest pickle": (lambda p: p.write_bytes(pickle.dumps(Evil("x"), 2)), UnsupportedError, "never opened"),
    "damaged pickle": (lambda p: p.write_bytes(b"\x80\x04\xff\xff"), UnsupportedError, "never opened"),
    "keras weights": (keras_weights, InputError, "weights alone.*model.save"),
    "hdf5 cut in its superblock": (lambda p: p.write_bytes(b"\x89HDF\r\n\x1a\n\0\0\0"), InputError, "truncated HDF5"),
    "whole safetensors": (lambda p: p.write_bytes(WEIGHTS), InputError, "holds weights .safetensors.*source.factory"),
    "cut safetensors": (lambda p: p.write_bytes(WEIGHTS[:-1]), InputError, "its header says"),
    "safetensors of nothing": (lambda p: p.write_bytes(SAFETENSORS[:9]), InputError, "not recognised"),
    "safetensors": (lambda p: p.write_bytes(SAFETENSORS), InputError, "safetensors"),
    "arrays": (lambda p: zipped(p, **{"x.npy": b"1"}), InputError, "holds no model"),
    "old pt2": (lambda p: zipped(p, **{"serialized_exported_program.json": b"{}"}), UnsupportedError, "2.7"),
    "package": (lambda p: zipped(p, **{"m__archive_format": b"pkg"}), UnsupportedError, "torch.export.save"),
    "bomb": (bomb, InputError, "expands to 32 MiB"),
    "truncated zip": (lambda p: p.write_bytes(b"PK\x03\x04" + b"\0" * 40), InputError, "truncated"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_model_is_refused_in_one_line(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    make, error, text = BAD[name]
    path = tmp_path / "given"
    make(path)
    with pytest.raises(error, match=text) as caught:
        formats.recognise(path)
    assert type(caught.value) is error
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "x").exists(), "the pickle was loaded"


@pytest.mark.parametrize("name", ["onnx", "frozen-pb", "torchscript", "pt2", "keras", "keras-h5"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.99])
def test_a_truncated_file_is_refused(models, tmp_path, name, share):
    content = models.path(name).read_bytes()
    (tmp_path / "cut").write_bytes(content[: int(len(content) * share)])
    with pytest.raises(InputError, match="truncated"):
        formats.recognise(tmp_path / "cut")


def test_a_truncated_saved_model_is_refused(models, tmp_path):
    content = (models.path("savedmodel") / "saved_model.pb").read_bytes()
    (tmp_path / "saved_model.pb").write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match="damaged or truncated"):
        formats.recognise(tmp_path)


def test_a_saved_model_is_its_folder(models, tmp_path):
    with pytest.raises(InputError, match="give its folder"):
        formats.recognise(models.path("savedmodel") / "saved_model.pb")
    (tmp_path / "saved_model.pbtxt").write_text("")
    with pytest.raises(InputError, match="pbtxt"):
        formats.recognise(tmp_path)


def test_signatures_of_a_saved_model(models):
    assert "serving_default" in formats.signatures_of(models.path("savedmodel"))

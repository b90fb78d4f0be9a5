"""Keras's own files: opened without running what is hidden in them, with Keras's names, run by Keras itself."""

import json
import warnings
import zipfile

import numpy as np
import pytest

from converters import convert, inspection, keras_config, sources
from nearedge.errors import InputError, UnsupportedError
from nearedge.release.description import parse

ENDINGS = {"keras": ".keras", "keras-h5": ".h5"}


def saved(model, path):
    """The model written to `path`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what Keras says while it saves is not ours
        model.save(path)
    return path


@pytest.fixture(scope="module")
def bad(tmp_path_factory):
    """Files that hold Python, or need it, or tell too little, by name and format."""
    import keras

    class Own(keras.layers.Layer):
        def call(self, x):
            return x + 1

    folder = tmp_path_factory.mktemp("keras")

    def model(layer):
        return keras.Sequential([keras.Input((2,)), layer, keras.layers.Dense(1)])

    found = {}
    for form, ending in ENDINGS.items():
        found["lambda", form] = saved(model(keras.layers.Lambda(lambda x: x + 1)), folder / f"lambda{ending}")
        found["custom", form] = saved(model(Own()), folder / f"custom{ending}")
        found["unbuilt", form] = saved(keras.Sequential([keras.layers.Dense(1)]), folder / f"unbuilt{ending}")
        found["good", form] = saved(model(keras.layers.Dense(3)), folder / f"good{ending}")
    return found


@pytest.mark.parametrize("form", ENDINGS)
@pytest.mark.parametrize(
    ("name", "error", "text"),
    [
        ("lambda", UnsupportedError, r"holds a Lambda.*write a SavedModel with model.export\(dir\)"),
        ("custom", UnsupportedError, r"Own.*model.export\(dir\)"),
        ("unbuilt", InputError, "does not tell its inputs; give the first layer a keras.Input"),
    ],
)
def test_what_needs_python_is_refused_in_one_line(bad, form, name, error, text):
    with pytest.raises(error, match=text) as caught:
        inspection.inspect(bad[name, form], form)
    assert type(caught.value) is error
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(str(bad[name, form]))


def rewritten(source, target, change):
    """A .keras file whose configuration is changed by `change`, a function of its text."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for entry in old.namelist():
            content = old.read(entry)
            new.writestr(entry, change(content.decode()) if entry == "config.json" else content)
    return target


HOSTILE = {
    "a function of the operating system": ('"module": "os", "class_name": "system", "config": {}', "os.system"),
    "a class of another package": ('"module": "subprocess", "class_name": "Popen", "config": {}', "subprocess.Popen"),
    "a lambda": ('"class_name": "__lambda__", "config": {"value": ["x"]}', "holds a __lambda__"),
    "a pickled module": ('"module": "keras.layers", "class_name": "TorchModuleWrapper", "config": {}', "TorchModule"),
    "another file": (
        '"module": "keras.layers", "class_name": "StringLookup", "config": {"vocabulary": "/etc/passwd"}',
        "vocabulary from another file",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_configuration_may_name_keras_alone(bad, tmp_path, name):
    inner, text = HOSTILE[name]
    path = rewritten(
        bad["good", "keras"],
        tmp_path / "m.keras",
        lambda config: config.replace('"layers": [', f'"layers": [{{{inner}}}, ', 1),
    )
    with pytest.raises(UnsupportedError, match=text):
        inspection.inspect(path, "keras")


@pytest.mark.parametrize(
    "content", ["", "{", "[" * 200_000, '{"class_name": "Nonsense", "module": "keras", "config": {}}', "3"]
)
def test_a_damaged_configuration_is_a_fault_of_the_file(bad, tmp_path, content):
    path = rewritten(bad["good", "keras"], tmp_path / "m.keras", lambda _: content)
    with pytest.raises((InputError, UnsupportedError)) as caught:
        inspection.inspect(path, "keras")
    assert "\n" not in str(caught.value)


def test_a_configuration_may_not_fill_the_memory(bad, monkeypatch):
    monkeypatch.setattr(keras_config, "LARGEST_CONFIG", 100)
    with pytest.raises(InputError, match="its configuration is over"):
        inspection.inspect(bad["good", "keras"], "keras")


@pytest.mark.parametrize("form", ENDINGS)
@pytest.mark.parametrize("at", [0.2, 0.5, 0.8])
def test_damage_in_the_middle_is_never_a_traceback(bad, tmp_path, form, at):
    content = bytearray(bad["good", form].read_bytes())
    place = int(len(content) * at)
    content[place : place + 400] = bytes(400)
    path = tmp_path / f"damaged{ENDINGS[form]}"
    path.write_bytes(content)
    try:
        inspection.inspect(path, form)  # zeros may fall on a weight
    except (InputError, UnsupportedError) as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize("form", ENDINGS)
def test_nested_inputs_odd_names_and_several_outputs(tmp_path, form):
    import keras
    import openvino as ov

    first, second = keras.Input((4,), name="first:1"), keras.Input((2,), name="b", dtype="int32")
    joined = keras.layers.Concatenate()([first, keras.layers.Rescaling(0.5)(second)])
    outputs = [keras.layers.Dense(3, name="one")(joined), keras.layers.Dense(1, name="two")(joined)]
    path = saved(keras.Model({"b": second, "first:1": first}, outputs), tmp_path / f"m{ENDINGS[form]}")
    found = inspection.inspect(path, form)
    shapes = {tensor.name: (tensor.shape, tensor.datatype) for tensor in found.inputs}
    assert shapes == {"first:1": ((-1, 4), "FP32"), "b": ((-1, 2), "INT32")}
    assert [(tensor.name, tensor.shape) for tensor in found.outputs] == [("one", (-1, 3)), ("two", (-1, 1))]
    text = """{schema: 1, name: m, source: {path: m}, outputs: [{name: two}, {name: one}], inputs: [
      {name: b, shape: [-1, 2], dtype: INT32}, {name: "first:1", shape: [-1, 4], dtype: FP32}]}"""
    description = parse(text, "model.yaml")
    source = sources.load_source(path, form, description, threads=1)
    model = convert.convert(path, form, description)
    compiled = ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    for rows in (1, 3):
        feed = {
            "first:1": np.random.default_rng(rows).standard_normal((rows, 4)).astype(np.float32),
            "b": np.arange(2 * rows, dtype=np.int32).reshape(rows, 2),
        }
        expected, given = source.predict(feed), compiled(feed)
        assert {name: array.shape for name, array in expected.items()} == {"two": (rows, 1), "one": (rows, 3)}
        assert all(np.allclose(given[name], array, atol=1e-5) for name, array in expected.items())


def test_a_layer_that_keras_2_wrote_without_module_is_known(bad, tmp_path):
    import h5py

    path = tmp_path / "old.h5"
    path.write_bytes(bad["good", "keras-h5"].read_bytes())
    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["model_config"])

        def strip(one):
            if isinstance(one, dict):
                return {key: strip(value) for key, value in one.items() if key not in ("module", "registered_name")}
            return [strip(value) for value in one] if isinstance(one, list) else one

        file.attrs["model_config"] = json.dumps(strip(config))
    assert inspection.inspect(path, "keras-h5").inputs[0].shape == (-1, 2)

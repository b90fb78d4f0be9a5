"""Drift: the server's bins against the reference that converters/drift.py made of the same model."""

import json
import math
import re

import numpy as np
import pytest

from converters.drift import Watched

ROWS = re.compile(r"nearedge_drift_(rows_total|expected_ratio)\{(.*)\} (\S+)")
LEVEL, LEAST = 0.25, 200
"""What the alert fires at (nearedge/delivery/monitoring), and how many rows it asks for."""


def image(random, count, brighter=0.0):
    return random.random((count, 1, 8, 8), dtype=np.float32) + np.float32(brighter)


@pytest.fixture
def watching(released, tools, tmp_path, start):
    """A server of digits whose record carries the reference of 1000 rows."""
    import openvino as ov

    folder = tools.folder(tmp_path / "models", released.workspaces["digits"], released.releases["digits"])
    compiled = ov.Core().compile_model(str(folder / "model.xml"), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    watched = Watched(lambda feed: {one: compiled(feed)[one] for one in ("logits", "probabilities")}, 1)
    random = np.random.default_rng(1)
    for row in image(random, 1000):
        watched.predict({"image": row[None]})
    found = watched.references({"logits": "class", "probabilities": "probabilities"}, 1000)
    document = json.loads((folder / "release.json").read_text())
    document["drift"] = [one.model_dump() for one in found]
    (folder / "release.json").write_text(json.dumps(document))
    return start(tmp_path / "models").wait_ready()


def counted(server):
    """Rows and expected shares by tensor, in order of the bins."""
    found = {}
    for kind, labels, value in ROWS.findall(server.get("/metrics").text):
        named = dict(re.findall(r'(\w+)="([^"]*)"', labels))
        found.setdefault(named["tensor"], {}).setdefault(kind, {})[int(named["bin"])] = float(value)
    return {
        tensor: tuple(
            [values[kind][at] for at in range(len(values[kind]))] for kind in ("rows_total", "expected_ratio")
        )
        for tensor, values in found.items()
    }


def index(counts, expected):
    """The population stability index, as the recording rule has it."""
    total = sum(counts)
    pairs = [(max(count / total, 0.001), max(share, 0.001)) for count, share in zip(counts, expected, strict=True)]
    return sum((a - e) * math.log(a / e) for a, e in pairs)


def sent(server, batch, **more):
    given = {"name": "image", "datatype": "FP32", "shape": list(batch.shape), "data": batch.ravel().tolist()}
    return server.post("/v2/models/digits/infer", json={"inputs": [given], **more})


def until_fired(server, random, brighter, most):
    """Rows sent, one a request, until the index of any tensor is over LEVEL; None where it never is."""
    for number in range(1, most + 1):
        assert sent(server, image(random, 1, brighter)).status_code == 200
        if number >= LEAST and number % 20 == 0:
            fired = {tensor: index(*values) for tensor, values in counted(server).items()}
            if max(fired.values()) > LEVEL:
                return number, fired
    return None, fired


def test_unshifted_requests_are_silent(watching):
    assert {sum(rows) for rows, _ in counted(watching).values()} == {0}
    number, values = until_fired(watching, np.random.default_rng(2), 0.0, 600)
    assert number is None and set(values) == {"image", "logits", "probabilities"}, values
    assert {sum(rows) for rows, _ in counted(watching).values()} == {600}


def test_brighter_pictures_are_seen_as_soon_as_there_are_enough(watching):
    number, values = until_fired(watching, np.random.default_rng(3), 0.05, 600)
    assert number == LEAST and values["image"] > 2 * LEVEL


def test_every_row_of_a_batch_is_counted(watching):
    assert sent(watching, image(np.random.default_rng(4), 37), outputs=[{"name": "probabilities"}]).status_code == 200
    assert {tensor: sum(rows) for tensor, (rows, _) in counted(watching).items()} == dict.fromkeys(
        ("image", "logits", "probabilities"), 37
    )


def test_without_a_reference_nothing_is_counted(server):
    assert "nearedge_drift" not in server.get("/metrics").text


@pytest.mark.parametrize("wrong", [
    {"edges": [2.0, 1.0], "expected": [0.1, 0.2, 0.7]}, {"edges": [1.0], "expected": [1.0]}, {"edges": ["1"]},
    {"of": "weights"}, {"summary": "median"}, {"batched": 1},
])  # fmt: skip
def test_a_damaged_reference_is_refused(released, tools, tmp_path, start, wrong):
    folder = tools.folder(tmp_path / "models", released.workspaces["digits"], released.releases["digits"])
    document = json.loads((folder / "release.json").read_text())
    good = {"tensor": "image", "of": "input", "summary": "mean", "batched": True, "rows": 100}
    document["drift"] = [good | {"edges": [0.5], "expected": [0.5, 0.5]} | wrong]
    (folder / "release.json").write_text(json.dumps(document))
    found = start(tmp_path / "models").wait_settled()
    assert found["state"] != "ready" and "release.json" in json.dumps(found)

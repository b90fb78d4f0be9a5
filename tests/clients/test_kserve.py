"""KServe's REST and gRPC clients against the real server.

kserve's pins do not go together with ours, so they get an environment of their own under .nearedge/clients (about
450 MB, a minute and a half on first use). That is why these tests are apart: `make test-clients`.
"""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
KSERVE = "kserve==0.21.0"
SPEC = importlib.util.spec_from_file_location("serving_fixtures", ROOT / "tests/unit/serving_image/conftest.py")
serving = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(serving)
released, server = serving.released, serving.server

pytestmark = [pytest.mark.clients, pytest.mark.timeout(1200)]


@pytest.fixture(scope="session")
def python() -> Path:
    """The interpreter of KServe's environment, which is made where it is not there yet."""
    folder = ROOT / ".nearedge/clients" / KSERVE.replace("==", "-")
    found, done = folder / "bin/python", folder / ".installed"
    if not done.exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        subprocess.run([found, "-m", "pip", "install", "-q", "--disable-pip-version-check", KSERVE], check=True)
        done.touch()
    return found


@pytest.fixture(scope="module")
def found(python: Path, server) -> dict[str, Any]:
    """What KServe's clients were told."""
    program = Path(__file__).with_name("talk_to_server.py")
    command = [python, program, str(server.port), str(server.grpc_port)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def expected(found, server) -> dict[str, np.ndarray]:
    """The same inference without any client library."""
    entry = {"name": "image", "datatype": "FP32", "shape": [2, 1, 8, 8], "data": found["image"]}
    outputs = server.post("/v2/models/digits/infer", json={"inputs": [entry]}).json()["outputs"]
    return {output["name"]: np.array(output["data"]).reshape(output["shape"]) for output in outputs}


@pytest.mark.parametrize("protocol", ["rest", "grpc"])
def test_health(found, protocol: str) -> None:
    told = found[protocol]
    assert told["live"] is True and told["ready"] is True and told["model ready"] is True
    assert told.get("absent ready", False) is False


@pytest.mark.parametrize(
    ("protocol", "form"),
    [("rest", form) for form in ("json", "dict", "binary", "binary out", "picked")]
    + [("grpc", form) for form in ("raw", "typed", "picked")],
)
def test_inference(found, expected, protocol: str, form: str) -> None:
    answer = found[protocol]["answers"][form]
    assert (answer["id"], answer["model"]) == ("seven", "digits")
    names = {("rest", "picked"): ["probabilities", "logits"], ("grpc", "picked"): ["probabilities"]}
    assert list(answer["outputs"]) == names.get((protocol, form), ["logits", "probabilities"])
    for name, values in answer["outputs"].items():
        np.testing.assert_allclose(values, expected[name], rtol=1e-5)


@pytest.mark.parametrize(
    ("protocol", "fault", "code", "words"),
    [
        ("rest", "shape", "400", "input 'image': shape is [2, 8, 8]"),
        ("rest", "shape in json", "400", "input 'image': shape is [2, 8, 8]"),
        ("rest", "absent", "404", "no model 'absent'"),
        ("grpc", "shape", "INVALID_ARGUMENT", "input 'image': shape is [2, 8, 8]"),
    ],
)
def test_faults(found, protocol: str, fault: str, code: str, words: str) -> None:
    told = found[protocol]["faults"][fault]
    assert told[0] == code and words in told[1]

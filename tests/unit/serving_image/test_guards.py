"""What guards the server: compressed bodies, the token, the cap on connections, versions, TLS, NaN, the sampled log."""

import gzip
import json
import socket
import subprocess
import zlib
from pathlib import Path

import numpy as np
import pytest
import requests

from serving_image import compression, tensors
from serving_image.auth import Token
from serving_image.faults import BadRequestError, TooLargeError, UnauthorizedError
from serving_image.options import OPTIONS
from serving_image.repository import Repository
from serving_image.tensors import Tensor

ROOT = Path(__file__).parents[3]
INFER = "/v2/models/digits/infer"
BODY = {"inputs": [{"name": "image", "datatype": "FP32", "shape": [1, 1, 8, 8], "data": [0.5] * 64}]}
LARGE = {"inputs": [{"name": "image", "datatype": "FP32", "shape": [99, 1, 8, 8], "data": [0.5] * 6336}]}


@pytest.mark.parametrize(("coding", "squeeze"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_compressed_requests(server, coding: str, squeeze) -> None:
    body = json.dumps(BODY).encode()
    answer = server.post(INFER, data=squeeze(body), headers={"Content-Encoding": coding})
    assert answer.status_code == 200
    answer = server.post(INFER, data=squeeze(body)[:-5], headers={"Content-Encoding": coding})
    assert answer.status_code == 400 and "cut short" in answer.json()["error"]
    answer = server.post(INFER, data=body, headers={"Content-Encoding": coding})
    assert answer.status_code == 400 and "cannot be decompressed" in answer.json()["error"]


def test_a_bomb_is_413_and_nothing_is_made_of_it(server) -> None:
    bomb = gzip.compress(bytes(200 << 20), 1)
    answer = server.post(INFER, data=bomb, headers={"Content-Encoding": "gzip"})
    assert answer.status_code == 413 and "when decompressed" in answer.json()["error"]
    with pytest.raises(TooLargeError):
        compression.expanded(bomb, 31, 1000, "send less")
    with pytest.raises(BadRequestError):
        compression.expanded(gzip.compress(b"a") + b"b", 31, 1000, "send less")


def test_large_answers_are_compressed_for_those_who_accept_it(server) -> None:
    assert server.post(INFER, json=BODY).headers.get("content-encoding") is None
    answer = server.post(INFER, json=LARGE, headers={"Accept-Encoding": "gzip"})
    assert answer.headers["content-encoding"] == "gzip" and len(answer.json()["outputs"][0]["data"]) == 990
    answer = server.post(INFER, json=LARGE, headers={"Accept-Encoding": "identity"})
    assert answer.headers.get("content-encoding") is None and answer.headers["vary"] == "Accept-Encoding"


@pytest.mark.parametrize(("header", "accepted"), [(b"", 0), (b"br, GZIP;q=0.5", 1), (b"gzip; q=0", 0), (b"*", 1)])
def test_accept_encoding(header: bytes, accepted: int) -> None:
    assert compression.accepts_gzip(header) == bool(accepted)


def test_noise_is_not_compressed() -> None:
    import asyncio

    assert asyncio.run(compression.shrunk(np.random.default_rng(1).bytes(100_000))) is None


def test_the_token(released, start, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("s3cret-marker\n")
    server = start(released.models, f"--token-file={tmp_path / 'token'}", "--access-log=all").wait_ready()
    assert server.get("/v2/health/ready").status_code == 200
    for path in ("/v2", "/metrics", "/v2/models/digits"):
        answer = server.get(path)
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert server.get("/v2", headers={"Authorization": "Bearer wrong"}).status_code == 401
    assert server.get("/v2", headers={"Authorization": "bearer s3cret-marker"}).status_code == 200
    assert "s3cret" not in server.log.read_text()


def test_tokens_that_are_none(tmp_path: Path) -> None:
    for text in ("", "two words", "two\nlines"):
        (tmp_path / "token").write_text(text)
        with pytest.raises(ValueError, match="one line"):
            Token(tmp_path / "token")
    (tmp_path / "token").write_text("a")
    with pytest.raises(UnauthorizedError):
        Token(tmp_path / "token").check(None)


def test_over_the_cap_idle_connections_are_closed(released, start) -> None:
    server = start(released.models, "--max-connections=5").wait_ready()
    idle = [socket.create_connection(("127.0.0.1", server.port), timeout=30) for _ in range(40)]
    try:
        assert requests.get(server.url("/v2/health/live"), timeout=10).status_code == 200
    finally:
        for one in idle:
            one.close()


def test_tls(released, start, tmp_path: Path) -> None:
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-days", "2",
         "-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(cert)],
        check=True, capture_output=True,
    )  # fmt: skip
    server = start(released.models, f"--tls-cert={cert}", f"--tls-key={key}").wait_ready()
    answer = requests.post(f"https://localhost:{server.port}{INFER}", json=BODY, verify=str(cert), timeout=20)
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("picked", "found"), [("all", ["1", "2", "10"]), ("latest", ["10"]), ("1,10", ["1", "10"]), ("7", [])]
)
def test_versions(tmp_path: Path, picked: str, found: list[str]) -> None:
    for version in ("1", "2", "10"):
        (tmp_path / "m" / version).mkdir(parents=True)
    repository = Repository(tmp_path, picked)
    assert repository.versions("m") == found
    assert repository.fault == ("" if found else "model 'm' has no version 7; there are 1, 2, 10")


def test_nan_is_refused_with_its_place() -> None:
    with pytest.raises(BadRequestError, match=r"input 'x': holds NaN or infinity at \[0, 1\]"):
        tensors.check_finite(Tensor("x", "FP32", np.array([[0, np.nan]], np.float32)))
    tensors.check_finite(Tensor("x", "INT8", np.array([1], np.int8)))


def test_every_setting_is_in_the_guide() -> None:
    text = (ROOT / "docs/serving.md").read_text()
    for option in OPTIONS:
        assert f"| `--{option.name}` | `{option.variable}` | {option.default or 'none'} | {option.help} |" in text

"""What must be refused, across the programs: exit status, one line that says why, and nothing half-written."""

import io
import os
import subprocess
import tarfile
import tempfile
import threading
import time
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from nearedge.files import sha256_file
from scripts import benchmark_model, convert_model, fetch_model, optimize_model, verify_model

PROGRAMS = {
    "fetch": fetch_model, "convert": convert_model, "verify": verify_model, "optimize": optimize_model,
    "benchmark": benchmark_model,
}  # fmt: skip
MODEL_YAML = """\
schema: 1
name: m
source: {path: model}
inputs: [{name: x, shape: [-1, 4, 4], dtype: FP32}]
outputs: [{name: y}]
"""
STATE_DICT = b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\nq\x00."
MODULE = b"\x80\x02c__main__\nNet\nq\x00)\x81q\x01."
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize 12345\n" % (b"0" * 64)
SAFETENSORS = b"\x10\0\0\0\0\0\0\0" + b'{"__metadata__":' + b"\0" * 8


def contents(folder: Path) -> dict[str, str]:
    """Every file and folder below, with the digest of each file."""
    return {
        str(path.relative_to(folder)): "folder" if path.is_dir() else sha256_file(path)
        for path in sorted(folder.rglob("*"))
    }


def refused(capsys, folder, program, options, status, words):
    """Run the program, which has to fail so and to leave nothing in `folder` that was not there before."""
    before = contents(folder)
    capsys.readouterr()
    assert PROGRAMS[program].main(options) == status
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("nearedge ")]
    assert len(lines) == 1 and words in lines[0] and "Traceback" not in lines[0] and len(lines[0]) < 1000
    assert contents(folder).items() <= before.items()


def zipped(path, **members):
    """A zip file; two underscores in a name are a slash."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "/"), content)


def tarred(path, name, kind=tarfile.REGTYPE, link="", content=b""):
    """A compressed tar of model.yaml and one member more."""
    with tarfile.open(path, "w:gz") as archive:
        for info, body in ((tarfile.TarInfo("model.yaml"), MODEL_YAML.encode()), (tarfile.TarInfo(name), content)):
            if info.name == name:
                info.type, info.linkname = kind, link
            info.size = len(body)
            archive.addfile(info, io.BytesIO(body))


def onnx_model(path, opset, nodes, weights=(), inputs=(), **save):
    """An ONNX model of x [n,4,4] and what else it takes, to y."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4, 4])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    held = [numpy_helper.from_array(array, name) for name, array in weights]
    graph = helper.make_graph(nodes, "g", [x, *inputs], [y], held)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8), path, **save)


def good(path, **save):
    """A model that is well."""
    from onnx import helper

    onnx_model(path, 17, [helper.make_node("Add", ["x", "w"], ["y"])], [("w", np.ones((4, 4), "f4"))], **save)


def conv_16(path):
    """A convolution of opset 16 that OpenVINO has no rule for: its weights have two dimensions."""
    from onnx import helper

    onnx_model(path, 16, [helper.make_node("Conv", ["x", "w"], ["y"])], [("w", np.ones((4, 4), "f4"))])


def if_13(path):
    """A branch of opset 13 on a condition that is no scalar."""
    from onnx import TensorProto, helper

    out = helper.make_tensor_value_info("b", TensorProto.FLOAT, None)
    branch = helper.make_graph([helper.make_node("Identity", ["x"], ["b"])], "branch", [], [out])
    nodes = [
        helper.make_node("Greater", ["x", "w"], ["c"]),
        helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch),
    ]
    onnx_model(path, 13, nodes, [("w", np.zeros((4, 4), "f4"))])


def external(folder, keep):
    """A model whose weights lie in another file, which is there or not."""
    good(folder / "model", save_as_external_data=True, location="weights.bin", size_threshold=0)
    if not keep:
        (folder / "weights.bin").unlink()


def cut(folder, share=0.6):
    """A truncated model."""
    good(folder / "model")
    content = (folder / "model").read_bytes()
    (folder / "model").write_bytes(content[: int(len(content) * share)])


def put(content):
    """The function that writes the model file."""
    return lambda folder: (folder / "model").write_bytes(content)


def folder_of_text(folder):
    """A folder that is no SavedModel."""
    (folder / "model").mkdir()
    (folder / "model" / "README.md").write_text("a model")


def nothing(folder):
    """No damage."""


FETCH = {
    "bare state_dict": (lambda f: zipped(f / "model", **{"m__data.pkl": STATE_DICT}), [], 1,
                        "a state_dict"),
    "pickled Module": (lambda f: zipped(f / "model", **{"m__data.pkl": MODULE}), [], 5, "never opened"),
    "plain pickle": (put(b"\x80\x04\x95\x00"), [], 5, "never opened"),
    "safetensors alone": (put(SAFETENSORS), [], 1, "safetensors"),
    "LFS pointer": (put(LFS), [], 1, "LFS"),
    "empty": (put(b""), [], 1, "the file is empty"),
    "a web page": (put(b"<!doctype html><html>" + b"not found " * 99), [], 1, "a text file, no model"),
    "noise": (put(bytes(range(255, 0, -1)) * 9), [], 1, "not recognised as a model"),
    "truncated": (cut, [], 1, "truncated or damaged onnx"),
    "no weights": (lambda f: external(f, keep=False), [], 1, "weights.bin"),
    "not there": (nothing, [], 1, "model"),
    "a folder that is none": (folder_of_text, [], 1, "without saved_model.pb"),
    "wrong digest": (lambda f: good(f / "model"), [f"--sha256={'0' * 64}"], 1, "is it the right file?"),
    "no digest": (lambda f: good(f / "model"), ["--require-sha256=true"], 1, "no sha256 says what it has to be"),
    "over the cap": (lambda f: good(f / "model"), ["--max-bytes=100"], 1, "more than max-bytes 100"),
    "tar that leads out": (lambda f: tarred(f / "a", "../x"), ["--model=a"], 1, "leads out of the archive"),
    "tar of a link": (lambda f: tarred(f / "a", "x", tarfile.SYMTYPE, "/etc/passwd"), ["--model=a"], 1, "is a link"),
    "tar of a device": (lambda f: tarred(f / "a", "x", tarfile.CHRTYPE), ["--model=a"], 1, "is a link or a device"),
    "tar bomb": (lambda f: tarred(f / "a", "x", content=bytes(1 << 22)), ["--model=a", "--max-bytes=100000"], 1,
                 "unpacks to more than"),
    "zip bomb": (lambda f: zipped(f / "a", **{"model.yaml": MODEL_YAML, "x": bytes(1 << 22)}),
                 ["--model=a", "--max-bytes=100000"], 1, "unpacks to more than"),
    "archive without model.yaml": (lambda f: zipped(f / "a", x="1"), ["--model=a"], 1, "model.yaml"),
    "archive in an archive": (
        lambda f: zipped(f / "a", **{"model.yaml": b"PK\x03\x04"}), ["--model=a"], 1, "model.yaml"
    ),
    "nobody listens": (nothing, ["--model=oci://127.0.0.1:1/m:1"], 4, "127.0.0.1:1"),
    "no such scheme": (nothing, ["--model=ftp://host/m"], 5, "ftp://"),
    "no repository": (lambda f: good(f / "model"), ["--git-url=/nowhere/gitops.git"], 4, "git init --bare"),
}  # fmt: skip


@pytest.mark.parametrize("case", FETCH)
def test_fetch_model_refuses(tmp_path, capsys, monkeypatch, case):
    make, options, status, words = FETCH[case]
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    given, workspace = tmp_path / "given", tmp_path / "release"
    given.mkdir()
    workspace.mkdir()
    (given / "model.yaml").write_text(MODEL_YAML)
    make(given)
    options = [f"--workspace={workspace}", f"--source={given}", *options]
    refused(capsys, workspace, "fetch", options, status, words)


class Refusing(BaseHTTPRequestHandler):
    """Answers with the status that the path's first folder says, or 404; as a proxy and a store, with 403."""

    def do_GET(self):
        first = self.path.split("/")[1]
        self.send_response(403 if "://" in self.path or first == "bucket" else int(first) if first.isdigit() else 404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_CONNECT(self):
        self.send_response(403)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_HEAD = do_POST = do_GET  # noqa: N815  http.server's names

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture(scope="module")
def refusing():
    """Host and port of a server that refuses whatever it is asked."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """A git repository with a model.yaml."""
    folder = tmp_path_factory.mktemp("repository")
    (folder / "model.yaml").write_text(MODEL_YAML)
    who = ["-c", "user.name=n", "-c", "user.email=e@localhost"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "first"]):
        subprocess.run(["git", *who, *words], cwd=folder, check=True)
    return folder


# --model, other options, whether the server is the proxy, how often we wait (None: urllib3 does), words of the line.
REACH = {
    "http 404": ("http://{server}/404/model.yaml", [], False, 0, "status 404; check the URL"),
    "http 403": ("http://{server}/403/m.tgz", [], False, 0, "status 403; is it private?"),
    "http 503": ("http://{server}/503/model.yaml", [], False, 5, "status 503, 6 times; try again later"),
    "http, nobody listens": ("http://127.0.0.1:1/model.yaml", [], False, 5, "6 times; try again later"),
    "S3 that forbids": ("s3://bucket/m", ["--s3-endpoint=http://{server}"], False, 0, "s3://bucket/m"),
    "S3, nobody listens": ("s3://bucket/m", ["--s3-endpoint=http://127.0.0.1:1"], False, 5, "6 times; try again later"),
    "git without that ref": ("git+file://{repository}@v9", [], False, 0, "has no branch, tag or commit 'v9'"),
    "git without that commit": ("git+file://{repository}@" + "1" * 40, [], False, 0, "git fetch: "),
    "git 404": ("git+http://{server}/404/r.git", [], False, 0, "not found"),
    "git 503": ("git+http://{server}/503/r.git", [], False, 5, "503, 6 times; try again later"),
    "git, nobody listens": ("git+http://127.0.0.1:1/r.git", [], False, 5, "6 times; try again later"),
    "https by a proxy that forbids": ("https://host.example/m.tgz", [], True, 5, "proxy cannot be reached or refuses"),
    "http by a proxy that forbids": ("http://host.example/m.tgz", [], True, 0, "status 403"),
    "git by a proxy that forbids": ("git+https://host.example/m.git", [], True, 0, "403"),
    "oci by a proxy that forbids": ("oci://host.example/m:1", [], True, None, "proxy"),
}  # fmt: skip


@pytest.mark.parametrize("case", REACH)
def test_fetch_model_says_what_cannot_be_reached(tmp_path, capsys, monkeypatch, refusing, repository, case):
    model, options, proxied, waits, words = REACH[case]
    for name in [name for name in os.environ if name.startswith("AWS_") or name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("HTTP_PROXY", "HTTPS_PROXY") if proxied else ():
        monkeypatch.setenv(name, f"http://{refusing}")
    slept = []
    monkeypatch.setattr(time, "sleep", slept.append)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    workspace = tmp_path / "release"
    workspace.mkdir()
    given = [f"--model={model}", *options]
    given = [text.format(server=refusing, repository=repository) for text in given]
    refused(capsys, workspace, "fetch", [f"--workspace={workspace}", *given], 4, words)
    assert waits is None or sum(pause >= 1 for pause in slept) == waits
    assert not list(scratch.iterdir())


CONVERT = {
    "Conv-16": (conv_16, 5, "cannot convert the operator Conv-16"),
    "If-13": (if_13, 5, "cannot convert the operator If-13"),
}


@pytest.mark.parametrize("case", CONVERT)
def test_convert_model_names_the_operator_that_openvino_lacks(tmp_path, capsys, case):
    make, status, words = CONVERT[case]
    (tmp_path / "given").mkdir()
    (tmp_path / "given" / "model.yaml").write_text(MODEL_YAML)
    make(tmp_path / "given" / "model")
    workspace = tmp_path / "release"
    assert fetch_model.main([f"--workspace={workspace}", f"--source={tmp_path / 'given'}"]) == 0
    refused(capsys, workspace, "convert", [f"--workspace={workspace}"], status, words)
    assert not (workspace / "ir").exists()


def truncate(path):
    """Leave the first bytes of a file."""
    path.write_bytes(path.read_bytes()[:64])


def objects(path):
    """Data that would have to be unpickled."""
    np.savez(path, image=np.array([{}, []], dtype=object), label=np.zeros(2))


def relabelled(path, change):
    """Data with other labels."""
    arrays = dict(np.load(path))
    np.savez(path, image=arrays["image"], label=change(arrays["label"]))


def usage(folder):
    """A damaged file of what sites run."""
    (folder / "previous").mkdir()
    (folder / "previous" / "sites.json").write_text("{")


LATER = {
    "verify: a truncated .bin": (
        "verify",
        lambda r: truncate(r / "ir/f32/model.bin"),
        [],
        1,
        "is not what convert-model",
    ),
    "verify: a changed .xml": (
        "verify",
        lambda r: truncate(r / "ir/f32/model.xml"),
        [],
        1,
        "is not what convert-model",
    ),
    "verify: no data": ("verify", lambda r: (r / "source/data.npz").unlink(), [], 1, "no such data"),
    "verify: truncated data": ("verify", lambda r: truncate(r / "source/data.npz"), [], 1, "damaged or no numpy data"),
    "verify: pickled data": ("verify", lambda r: objects(r / "source/data.npz"), [], 1, "damaged"),
    "verify: labels are NaN": (
        "verify",
        lambda r: relabelled(r / "source/data.npz", lambda one: one * np.nan),
        [],
        1,
        "hold NaN",
    ),
    "verify: fewer labels": (
        "verify",
        lambda r: relabelled(r / "source/data.npz", lambda one: one[:-1]),
        [],
        1,
        "different numbers of rows",
    ),
    "verify: no model": ("verify", lambda r: (r / "source/model.onnx").unlink(), [], 1, "model.onnx"),
    "optimize: nothing converted": (
        "optimize",
        lambda r: (r / "release/conversion.json").unlink(),
        [],
        1,
        "has to run first",
    ),
    "optimize: bf16 at an old site": ("optimize", nothing, ["--precision=bf16"], 1, "bf16 needs a processor"),
    "optimize: truncated data": (
        "optimize",
        lambda r: truncate(r / "source/data.npz"),
        [],
        1,
        "damaged or no numpy data",
    ),
    "optimize: a newer section": (
        "optimize",
        lambda r: (r / "release/conversion.json").write_text('{"schema_version": 99}'),
        [],
        5,
        "is newer than",
    ),
    "optimize: a damaged section": (
        "optimize",
        lambda r: (r / "release/conversion.json").write_text("{"),
        [],
        1,
        "not JSON",
    ),
    "benchmark: nothing optimised": ("benchmark", nothing, [], 1, "has to run first"),
    "benchmark: damaged sites.json": ("benchmark", usage, ["--", "site-1"], 1, "run fetch-model again"),
}


@pytest.mark.parametrize("case", LATER)
def test_the_later_programs_refuse(release, capsys, case):
    program, damage, options, status, words = LATER[case]
    damage(release)
    stage = ["--stage=f32"] if program == "verify" else []
    refused(capsys, release, program, [f"--workspace={release}", *stage, *options], status, words)

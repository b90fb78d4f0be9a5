"""make examples against a real registry; training and the assembly of a base have tests of their own."""

import json
import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest

from hack import examples
from nearedge.delivery import digest as digests
from nearedge.delivery import oci
from nearedge.delivery.access import Access
from nearedge.delivery.layout import Layout
from nearedge.delivery.reference import parse
from nearedge.delivery.store import open_store


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory):
    """host:port of a registry on this machine."""
    if shutil.which("docker-registry") is None:
        pytest.skip("docker-registry is not installed (apt-get install docker-registry)")
    folder = tmp_path_factory.mktemp("registry")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (folder / "config.yml").write_text(
        f"version: 0.1\nlog: {{level: error}}\nhttp: {{addr: '127.0.0.1:{port}'}}\n"
        f"storage: {{filesystem: {{rootdirectory: {folder}/data}}}}\n"
    )
    argv = ["docker-registry", "serve", str(folder / "config.yml")]
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        end = time.monotonic() + 60
        while not listens(port):
            assert time.monotonic() < end
            time.sleep(0.05)
        yield f"127.0.0.1:{port}"
        process.terminate()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for .nearedge where digits is trained already, and a small layout in the place of the host's base."""
    monkeypatch.setattr(examples, "HOME", tmp_path)
    monkeypatch.setattr(examples, "IMAGES", tmp_path / "images.json")
    folder = tmp_path / "examples" / "digits-1"
    folder.mkdir(parents=True)
    shutil.copy(examples.EXAMPLES / "digits" / "model.yaml", folder)
    (folder / "model.pt2").write_bytes(b"weights")
    monkeypatch.setattr(examples, "host_base", lambda: base(tmp_path / "base"))
    return tmp_path


def base(folder: Path) -> Layout:
    layout = Layout.create(folder)
    settings = {"Entrypoint": ["/python"]}
    rootfs = {"type": "layers", "diff_ids": []}
    content = oci.encode({"os": oci.OS, "architecture": oci.ARCHITECTURE, "config": settings, "rootfs": rootfs})
    config = oci.Descriptor(oci.CONFIG, digests.of_bytes(content), len(content))
    layout.add_bytes(config, content)
    document = {"schemaVersion": 2, "mediaType": oci.MANIFEST, "config": config.to_json(), "layers": []}
    layout.publish(oci.manifest(oci.encode(document), "base"), examples.TAG)
    return layout


def test_base_and_example_are_pushed_once(home: Path, registry: str, capsys: pytest.CaptureFixture[str]) -> None:
    argv = [f"--registry={registry}/edge", "digits"]
    assert examples.main(argv) == 0
    pushed = json.loads(capsys.readouterr().out)
    assert sorted(pushed) == ["digits", "runtime"]
    for text in pushed.values():
        reference = parse(text)
        assert open_store(reference, home, Access()).find(reference.digest) is not None
    assert json.loads((home / "examples.json").read_text()) == {"digits": pushed["digits"]}
    known = json.loads((home / "images.json").read_text())["runtime"]
    assert parse(known).by_digest == pushed["runtime"]
    assert examples.main(argv) == 0
    again = capsys.readouterr()
    assert json.loads(again.out) == pushed
    assert f"{pushed['runtime']} is there" in again.err


def test_a_base_that_is_gone_is_pushed_anew(home: Path, registry: str) -> None:
    gone = f"{registry}/other/nearedge/runtime:0.1.0@sha256:{'9' * 64}"
    (home / "images.json").write_text(json.dumps({"runtime": gone, "core": f"x.io/core@sha256:{'1' * 64}"}))
    pushed = examples.push_base(f"{registry}/other", Access())
    assert not pushed.endswith("9")
    assert sorted(json.loads((home / "images.json").read_text())) == ["core", "runtime"]


def test_training_that_fails_leaves_nothing(
    home: Path, registry: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine" / "bad").mkdir(parents=True)
    (tmp_path / "mine" / "bad" / "train.py").write_text("raise SystemExit('no data here')\n")
    monkeypatch.setattr(examples, "EXAMPLES", tmp_path / "mine")
    assert examples.main([f"--registry={registry}/edge", "bad"]) == 1
    assert "examples/bad/train.py failed: no data here" in capsys.readouterr().err
    assert sorted(path.name for path in (home / "examples").iterdir()) == ["digits-1"]


def test_an_example_there_is_not(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        examples.main(["--registry=127.0.0.1:1", "none"])
    assert left.value.code == 2
    assert "there are diabetes, digits, filetypes" in capsys.readouterr().err
    assert not (home / "examples.json").exists()

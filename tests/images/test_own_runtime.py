"""A runtime that a user changed: built, checked, pushed by the program of build-runtime-image."""

import json
import subprocess

import pytest

from nearedge.errors import InputError
from scripts import build_runtime_image
from scripts.build_runtime_image import Options
from tests.images.test_step_image import without_tag

pytestmark = pytest.mark.images
BEGIN = "ARG BASE_IMAGE\nFROM ${BASE_IMAGE}\nARG WORD=none\nUSER 0\n"


@pytest.fixture
def build(images, registry, tmp_path, monkeypatch):
    """A function that builds on our runtime, from a Containerfile that begins as `BEGIN` does."""
    for name in ("kept", "source"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("NEAREDGE_CONTEXT", str(tmp_path / "kept"))

    def run(text):
        (tmp_path / "source" / "Containerfile").write_text(BEGIN + text)
        base = without_tag(images.references["runtime"])
        options = Options(
            f"{registry}/own/runtime:1", "Containerfile", base, ("WORD=mine",), tmp_path / "source", "overlay"
        )
        return build_runtime_image.run(options), base

    return run


def test_a_changed_runtime_is_pushed(build):
    pushed, base = build("RUN echo $WORD > /opt/word\nUSER 1001\n")
    assert base.endswith(pushed.base_digest)
    inspected = subprocess.run(
        ["skopeo", "inspect", "--config", "--tls-verify=false", f"docker://{pushed.url}"],
        capture_output=True, text=True, check=True, timeout=60,
    ).stdout  # fmt: skip
    labels = json.loads(inspected)["config"]["Labels"]
    assert labels["org.opencontainers.image.base.digest"] == pushed.base_digest


def test_what_is_no_runtime_is_not_pushed(build):
    with pytest.raises(InputError) as refused:
        build('RUN cp /bin/true /opt/true && chmod u+s /opt/true\nENTRYPOINT ["sh"]\n')
    for fault in ("entry point", "its user is '0'", "/opt/true is setuid"):
        assert fault in str(refused.value)


def test_a_server_that_does_not_start_is_found(build):
    with pytest.raises(InputError, match="No module named 'openvino'"):
        build("RUN rm -rf /opt/runtime/packages/openvino\nUSER 1001\n")

"""The program test-serving-image, against the real server."""

import importlib.util
from pathlib import Path

import pytest

from nearedge.release import sections
from scripts import test_serving_image as program

SPEC = importlib.util.spec_from_file_location(
    "serving_fixtures_of_scripts", Path(__file__).parents[1] / "serving_image" / "conftest.py"
)
serving = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(serving)
released, server = serving.released, serving.server


def arguments(workspace: Path, port: int) -> list[str]:
    return [f"--workspace={workspace}", "--serving-image=oci:image:1", f"--port={port}", "--timeout-seconds=30"]


def test_it_writes_its_section_and_results(released, server, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("NEAREDGE_SIDECAR_BACKEND", "process")
    workspace = released.workspaces["digits"]
    results = [f"--result-ready-ms={tmp_path / 'ready'}", f"--result-samples={tmp_path / 'samples'}"]
    assert program.main([*arguments(workspace, server.port), *results]) == 0
    section = sections.read(workspace, sections.TestSection)
    assert (section.image, section.backend, section.samples) == ("oci:image:1", "process", 3)
    assert section.decisions_held == 3
    assert (tmp_path / "samples").read_text() == "3"
    assert int((tmp_path / "ready").read_text()) == round(section.ready_ms)


def test_without_a_runner_it_was_the_kubelet(released, server, monkeypatch) -> None:
    monkeypatch.delenv("NEAREDGE_SIDECAR_BACKEND", raising=False)
    workspace = released.workspaces["mixed"]
    assert program.main(arguments(workspace, server.port)) == 0
    assert sections.read(workspace, sections.TestSection).backend == "kubelet"


def test_a_gate_that_does_not_hold_leaves_no_section(released, server, capsys) -> None:
    workspace = released.workspaces["mixed"]
    assert program.main(arguments(workspace, server.port)) == 0
    options = [option for option in arguments(workspace, 1) if "timeout" not in option]
    assert program.main([*options, "--timeout-seconds=0"]) == 3
    assert sections.read_optional(workspace, sections.TestSection) is None
    assert "nothing answers" in capsys.readouterr().err


def test_a_missing_section_is_named(tmp_path: Path, capsys) -> None:
    assert program.main(arguments(tmp_path, 1)) == 1
    assert "source.json: missing" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--port=0", "no port"),
        ("--port=x", "no port"),
        ("--timeout-seconds=x", "no number"),
        ("--timeout-seconds=-1", "0 to"),
    ],
)
def test_wrong_usage(option: str, message: str, capsys) -> None:
    given = [one for one in arguments(Path(), 1) if not one.startswith(option.partition("=")[0])]
    with pytest.raises(SystemExit) as caught:
        program.main([*given, option])
    assert caught.value.code == 2
    assert message in capsys.readouterr().err

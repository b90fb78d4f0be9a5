"""The command line: what it lists it has, what it has it lists."""

import importlib
from pathlib import Path

import pytest

from nearedge import __version__
from scripts import nearedge

SCRIPTS = Path(nearedge.__file__).parent
COMMANDS = nearedge.ON_ONE_MACHINE | nearedge.STEPS


def test_every_program_is_listed_and_every_listed_one_is_there() -> None:
    programs = {path.stem.replace("_", "-") for path in SCRIPTS.glob("*.py")} - {"--init--", "nearedge"}
    parts = {name for name in programs if name.startswith("api-")}  # of the command api
    assert programs - parts == set(COMMANDS)


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_each_has_help_that_teaches(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        nearedge.main([command, "--help"])
    assert left.value.code == 0
    text = capsys.readouterr().out
    assert f"nearedge {command}" in text
    assert "exit status" in text
    parser = importlib.import_module(f"scripts.{command.replace('-', '_')}").parser()
    for action in parser._actions:
        assert action.help, f"{command}: {action.dest} has no help"


def test_help_version_and_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert nearedge.main(["--help"]) == 0
    assert "convert-model" in capsys.readouterr().out
    assert nearedge.main(["--version"]) == 0
    assert capsys.readouterr().out == f"nearedge {__version__}\n"
    assert nearedge.main([]) == 2
    capsys.readouterr()
    assert nearedge.main(["conver-model"]) == 2
    assert "no command 'conver-model'" in capsys.readouterr().err

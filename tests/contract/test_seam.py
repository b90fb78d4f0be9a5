"""The seam between YAML and programs: what a Task passes is what its program's real option parser takes."""

import importlib
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
TASKS = sorted(path for path in (ROOT / "tasks").glob("*/*.yaml") if path.stem == path.parent.name)
REFERENCE = re.compile(r"\$\(([^()]+)\)")
NETWORK_ENVIRONMENT = {"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"}


def spec_of(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text())["spec"]


def own_steps(spec: dict[str, Any]) -> list[dict[str, Any]]:
    return [step for step in spec["steps"] if step["command"][0] == "nearedge"]


def parser_of(step: dict[str, Any]) -> Any:
    return importlib.import_module(f"scripts.{step['command'][1].replace('-', '_')}").parser()


def values_of(spec: dict[str, Any]) -> dict[str, Any]:
    """Each reference a Task may make with a value for it: defaults, else a value of the declared type."""
    values: dict[str, Any] = {}
    for param in spec.get("params", []):
        kind, name = param["type"], param["name"]
        if kind == "string":
            values[f"params.{name}"] = param.get("default", (param.get("enum") or ["given"])[0])
        elif kind == "array":
            values[f"params.{name}[*]"] = param.get("default", ["one", "two"])
        else:
            for key in param["properties"]:
                values[f"params.{name}.{key}"] = param.get("default", {}).get(key, "given")
    for workspace in spec.get("workspaces", []):
        values[f"workspaces.{workspace['name']}.path"] = "" if workspace.get("optional") else "/workspace"
        values[f"workspaces.{workspace['name']}.bound"] = "false" if workspace.get("optional") else "true"
    for result in spec.get("results", []):
        values[f"results.{result['name']}.path"] = f"/tekton/results/{result['name']}"
    return values


def filled(args: list[str], values: dict[str, Any]) -> list[str]:
    """The args as Tekton hands them over. A reference to something undeclared is a KeyError."""
    out: list[str] = []
    for arg in args:
        whole = REFERENCE.fullmatch(arg)
        if whole and whole[1].endswith("[*]"):
            out += values[whole[1]]
        else:
            out.append(REFERENCE.sub(lambda match: str(values[match[1]]), arg))
    return out


def references_in(node: Any) -> set[str]:
    if isinstance(node, dict):
        return set().union(*(references_in(value) for value in node.values()))
    if isinstance(node, list):
        return set().union(*(references_in(value) for value in node))
    return set(REFERENCE.findall(node)) if isinstance(node, str) else set()


@pytest.mark.parametrize("path", TASKS, ids=lambda path: path.stem)
def test_the_program_takes_what_the_task_passes(path: Path) -> None:
    spec = spec_of(path)
    for step in own_steps(spec):
        options = parser_of(step).parse_args(filled(step["args"], values_of(spec)))
        assert options is not None


@pytest.mark.parametrize("path", TASKS, ids=lambda path: path.stem)
def test_every_param_is_used_and_every_reference_declared(path: Path) -> None:
    spec = spec_of(path)
    used = references_in({key: spec.get(key) for key in ("steps", "sidecars", "stepTemplate", "volumes")})
    undeclared = used - set(values_of(spec))
    assert not undeclared
    for param in spec.get("params", []):
        prefix = f"params.{param['name']}"
        mentions = {name for name in used if name == prefix or name.startswith((prefix + ".", prefix + "["))}
        assert mentions, f"param {param['name']} is not used"
        if param["type"] == "object":
            assert mentions == {f"{prefix}.{key}" for key in param["properties"]}


@pytest.mark.parametrize("path", TASKS, ids=lambda path: path.stem)
def test_every_result_and_workspace_has_its_flag(path: Path) -> None:
    spec = spec_of(path)
    args = [arg for step in spec["steps"] for arg in step["args"]]
    for result in spec.get("results", []):
        flag = f"--result-{result['name'].lower().replace('_', '-')}=$(results.{result['name']}.path)"
        assert flag in args
    for workspace in spec.get("workspaces", []):
        assert any(f"$(workspaces.{workspace['name']}.path)" in arg for arg in args), workspace["name"]


@pytest.mark.parametrize("path", TASKS, ids=lambda path: path.stem)
def test_every_flag_of_the_program_is_passed(path: Path) -> None:
    spec = spec_of(path)
    for step in own_steps(spec):
        passed = {arg.partition("=")[0] for arg in step["args"]}
        for action in parser_of(step)._actions:
            if action.option_strings and "--help" not in action.option_strings:
                assert passed & set(action.option_strings), f"the Task never passes {action.option_strings[-1]}"


@pytest.mark.parametrize("path", TASKS, ids=lambda path: path.stem)
def test_a_value_is_passed_in_the_same_argument_as_its_flag(path: Path) -> None:
    for step in spec_of(path)["steps"]:
        seen_separator = False
        for arg in step["args"]:
            seen_separator = seen_separator or arg == "--"
            assert seen_separator or arg.startswith("--"), f"{arg} could be taken for an option"

"""docs/api.md: every curl example is run against the API, and does what the text says; options are told."""

import argparse
import re
import subprocess
from pathlib import Path

from scripts import api, api_edge, api_fleet

ROOT = Path(__file__).parents[5]
TEXT, EDGE = ((ROOT / "docs" / name).read_text() for name in ("api.md", "api-edge.md"))
EXPECTED = {"record": 404, "report": 404, "report.html": 404, "retry": 409, "cancel": 409}
"""The run of the examples has ended well, and has no workspace release."""


def examples():
    """The commands, in order; lines that end with a backslash go on."""
    blocks = re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return [line for line in lines if line.startswith("curl") and "$TOKEN" not in line and "$CORE" in line]


def test_there_are_examples_of_each_group():
    text = "\n".join(examples())
    for part in (
        "/pipelines",
        "/tasks",
        "POST",
        "state=",
        "/events",
        "follow=true",
        "cancel",
        "retry",
        "DELETE",
        "/report",
    ):
        assert part in text


def test_the_examples_do_what_they_say(alone, tmp_path):
    ordered = sorted(examples(), key=lambda line: ("DELETE" in line, "POST" not in line or "/runs/" in line))
    for line in ordered:
        command = f"{line} -s -o answer -w '%{{http_code}}'"
        done = subprocess.run(
            ["sh", "-c", command.replace(" -O ", " ")], env={"CORE": alone.url, "PATH": "/usr/bin:/bin"}, cwd=tmp_path,
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        path = re.search(r"\$CORE(/[^ \"?]*)", line)[1]
        expected = EXPECTED.get(path.rsplit("/", 1)[-1], 201 if "-d '" in line else 204 if "DELETE" in line else 200)
        assert (line, done.stdout) == (line, str(expected))
        if "-d '" in line:
            alone.ended("first")


def options(parser):
    """What may be given."""
    return {name for action in parser._actions for name in action.option_strings if name.startswith("--")}


def test_the_options_are_told():
    """Those of git and Prometheus are in releases-api.md, which leaves some to --help."""
    fleet = argparse.ArgumentParser()
    api_fleet.add_options(fleet)
    for text, given in ((TEXT, options(api.parser()) - options(fleet)), (EDGE, options(api_edge.parser()))):
        assert not [name for name in given - {"--help"} if not re.search(rf"{name}(?![a-z-])", text)]

"""The core's API on a port of this machine, on a catalog of small Pipelines whose steps are shells."""

import json
import textwrap
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from nearedge.api.access import Access
from nearedge.api.core.core_app import Settings, core_app
from nearedge.api.core.local_engine import LocalEngine
from tests.served import served

PREFIX = "/api/v1"
TASK = """
apiVersion: tekton.dev/v1
kind: Task
metadata: {name: say, labels: {app.kubernetes.io/version: "1.2"}}
spec:
  description: Prints.
  params:
    - {name: text, type: string, description: What to print.}
  results:
    - {name: said, description: What was printed.}
  steps:
    - name: print
      image: nearedge/core:0.1.0
      command: [sh, -c]
      args: ['echo "$1"; printf %s "$1" > $(results.said.path)', sh, $(params.text)]
"""
GREET = """
apiVersion: tekton.dev/v1
kind: Pipeline
metadata: {name: greet, labels: {app.kubernetes.io/version: "0.3"}, annotations: {tekton.dev/displayName: Greet}}
spec:
  description: Greets.
  params:
    - {name: who, type: string, description: Whom to greet.}
    - {name: tone, type: string, description: How., default: kind, enum: [kind, stern]}
    - {name: more, type: array, description: Further words., default: []}
    - {name: marks, type: object, description: Signs., default: {end: "!"}, properties: {end: {type: string}}}
  workspaces:
    - {name: source, description: Read only., optional: true}
  results:
    - {name: greeting, description: The greeting., value: $(tasks.say.results.said)}
  tasks:
    - name: say
      taskRef: {name: say}
      params: [{name: text, value: "hello $(params.who)$(params.marks.end)"}]
    - name: never
      when: [{input: $(params.tone), operator: in, values: [stern]}]
      taskSpec:
        steps: [{name: s, image: nearedge/core:0.1.0, command: ["true"]}]
"""
HOLD = """
apiVersion: tekton.dev/v1
kind: Pipeline
metadata: {name: hold}
spec:
  description: Prints lines, and waits for a file.
  params:
    - {name: file, type: string, description: File to wait for.}
    - {name: fail, type: string, description: Exit status., default: "0"}
  workspaces:
    - {name: source, description: Read only., optional: true}
  tasks:
    - name: first
      taskSpec:
        steps: [{name: s, image: nearedge/core:0.1.0, command: [sh, -c], args: ["echo one"]}]
    - name: wait
      runAfter: [first]
      taskSpec:
        steps:
          - name: s
            image: nearedge/core:0.1.0
            command: [sh, -c]
            args:
              - |
                echo begin
                until [ -e "$(params.file)" ]; do sleep 0.05; done
                cat "$(params.file)"
                exit $(params.fail)
"""
NEVER_S = 60.0
"""Seconds after which what should have come will not come."""


def write_catalog(root: Path) -> Path:
    """A catalog of these."""
    for kind, name, text in (("tasks", "say", TASK), ("pipelines", "greet", GREET), ("pipelines", "hold", HOLD)):
        (root / kind / name).mkdir(parents=True)
        (root / kind / name / f"{name}.yaml").write_text(textwrap.dedent(text))
    return root


@dataclass
class Core:
    """A server, and how a client asks it."""

    url: str
    home: Path
    engine: LocalEngine
    session: requests.Session = field(default_factory=requests.Session)

    def ask(self, method: str, path: str, **more: Any) -> requests.Response:
        """An answer."""
        return self.session.request(method, f"{self.url}{PREFIX}{path}", timeout=NEVER_S, **more)

    def get(self, path: str, **more: Any) -> Any:
        """The document of an answer that is fine."""
        answer = self.ask("GET", path, **more)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def start(self, pipeline: str = "greet", headers: dict[str, str] | None = None, **wanted: Any) -> requests.Response:
        """Start a run."""
        params = wanted.pop("params", {"who": "you"})
        return self.ask("POST", "/runs", json={"pipeline": pipeline, "params": params, **wanted}, headers=headers)

    def ended(self, name: str, state: str | None = None) -> dict[str, Any]:
        """The run, once it has ended, or is in `state`."""
        return self.until(name, *([state] if state else ["Succeeded", "Failed", "Cancelled", "Lost"]))

    def until(self, name: str, *states: str) -> dict[str, Any]:
        """The run, once it is in one of the states."""
        deadline = time.monotonic() + NEVER_S
        while True:
            run = self.get(f"/runs/{name}")
            if run["state"] in states:
                return run
            assert time.monotonic() < deadline, run
            time.sleep(0.05)

    def events(self, path: str, headers: dict[str, str] | None = None) -> Iterator[tuple[str, Any, str]]:
        """Kind, data and number of the events of a stream."""
        asked = {"Accept": "text/event-stream", **(headers or {})}
        with requests.get(f"{self.url}{PREFIX}{path}", headers=asked, stream=True, timeout=NEVER_S) as answer:
            assert answer.status_code == 200, answer.text
            assert answer.headers["content-type"].startswith("text/event-stream")
            fields: dict[str, str] = {}
            for line in answer.iter_lines(chunk_size=1, decode_unicode=True):
                name, _, value = line.partition(": ")
                if line and name:
                    fields[name] = value
                elif not line and "event" in fields:
                    yield fields["event"], json.loads(fields["data"]), fields.get("id", "")
                    fields = {}


@contextmanager
def serving(home: Path, catalog: Path, access: Access | None = None) -> Iterator[Core]:
    """The API, until the block ends; runs go on behind it."""
    engine = LocalEngine(home, catalog)
    app = core_app(engine, access or Access(), Settings(home))
    home.parent.mkdir(parents=True, exist_ok=True)
    app.log = (home.parent / f"{home.name}.log").open("a")
    with closing(app.log), served(app) as url:
        core = Core(url, home, engine)
        try:
            yield core
        finally:
            core.session.close()

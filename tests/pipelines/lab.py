"""Small Pipelines of shell steps, run for real by the engine in this process."""

import textwrap
from dataclasses import dataclass, field
from pathlib import Path

from nearedge.runner import engine, store
from nearedge.runner.plan import plans
from nearedge.runner.request import Request


@dataclass
class Lab:
    """A folder with manifests, and the runs made there."""

    folder: Path
    events: list = field(default_factory=list)

    @property
    def root(self) -> Path:
        return self.folder / "runs"

    def write(self, text: str, name: str = "manifest.yaml") -> Path:
        path = self.folder / name
        path.write_text(textwrap.dedent(text))
        return path

    def plan(self, text: str = "", **asked):
        asked.setdefault("files", (self.write(text),) if text else ())
        return plans(Request(**{"on_host": True, "catalog": self.folder / "catalog", **asked}))[0]

    def run(self, text: str = "", again: bool = False, parallel: int = 8, control=None, **asked):
        """Run a manifest; what came of it."""
        plan = self.plan(text, **asked)
        return engine.start(plan, self.events.append, again=again, root=self.root, parallel=parallel, control=control)

    def kept(self, result) -> dict:
        """run.json."""
        return store.existing(result.name, self.root).read_run()

    def child(self, result, label: str) -> dict:
        """taskruns/LABEL.json."""
        return store.existing(result.name, self.root).taskruns()[label]

    def log(self, result, label: str, step: str = "s") -> str:
        return (result.folder / "logs" / label / f"{step}.log").read_text()


def states(result) -> dict[str, str]:
    """The state of each Task, in Tekton's words."""
    return {name: task.state.value for name, task in result.tasks.items()}


def skips(result) -> dict[str, str]:
    """The skipped Tasks and why."""
    return {name: task.skipped.name for name, task in result.tasks.items() if task.skipped}


def shell(name: str, script: str, *lines: str) -> str:
    """A Task of a Pipeline that runs one line of shell; `lines` are further fields of it."""
    more = "".join(f"\n            {line}" for line in lines)
    return f"""
          - name: {name}{more}
            taskSpec:
              results: [{{name: r, type: string}}]
              steps:
                - {{name: s, image: i, command: [sh, -c], args: ['{script}']}}"""


def pipeline(*tasks: str, final: tuple[str, ...] = (), top: str = "") -> str:
    """A PipelineRun of such Tasks."""
    end = f"\n        finally:{''.join(final)}" if final else ""
    return f"""
    apiVersion: tekton.dev/v1
    kind: PipelineRun
    metadata: {{generateName: lab-}}
    spec:
      {top}
      pipelineSpec:
        tasks:{"".join(tasks)}{end}
    """

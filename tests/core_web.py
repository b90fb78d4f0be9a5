"""What the tests of the core's pages look at: a small Pipeline with a report, two releases in git, two sites."""

import io
import textwrap
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from fastapi import FastAPI

from nearedge.api.access import Access
from nearedge.api.application import new_app, watched
from nearedge.api.audit import Audit
from nearedge.api.core.engine import Engine
from nearedge.api.core.fleet_source import FleetSettings, FleetSource
from nearedge.api.core.local_engine import LocalEngine
from nearedge.api.core.moving import doing
from nearedge.api.core.site_health import Condition, Conditions, Running
from nearedge.api.core.web import routes
from nearedge.api.kept import Seen
from nearedge.api.observed import Observed
from nearedge.api.origin import SameOrigin
from nearedge.delivery import git
from nearedge.delivery.gitops import publish, render
from nearedge.delivery.gitops.message import message
from nearedge.files import write_text
from nearedge.release import profile as profiles
from nearedge.release import record as records
from nearedge.release.record import Record
from tests.served import served

RECORD = Path(__file__).parent / "unit" / "delivery" / "data" / "release.json"
NEVER_S = 60.0
"""Seconds after which what should have come will not come."""
MEASURE = """
apiVersion: tekton.dev/v1
kind: Pipeline
metadata: {name: measure, labels: {app.kubernetes.io/version: "0.1.0"}, annotations: {tekton.dev/displayName: Measure a model}}
spec:
  description: Reads a model a few times and writes a report of it.
  params:
    - {name: model, type: string, description: What to measure.}
    - {name: goal, type: string, default: latency, enum: [latency, throughput], description: What to look for.}
    - {name: thorough, type: string, default: "false", description: "'true' to take longer."}
    - {name: sites, type: array, default: [], description: Where it shall run.}
  workspaces:
    - {name: release, description: Where the report is written.}
    - {name: source, optional: true, description: Where the model lies.}
  results:
    - {name: figure, description: What was measured., value: $(tasks.measure.results.figure)}
  tasks:
    - name: fetch
      taskSpec:
        steps: [{name: get, image: nearedge/core:0.1.0, command: [sh, -c], args: [echo fetching; echo fetched]}]
    - name: measure
      runAfter: [fetch]
      params: [{name: model, value: $(params.model)}]
      workspaces: [{name: release, workspace: release}]
      taskSpec:
        params: [{name: model, type: string}]
        workspaces: [{name: release}]
        results: [{name: figure, type: string}]
        steps:
          - name: time
            image: nearedge/core:0.1.0
            command: [sh, -c]
            args:
              - |
                for turn in 1 2; do echo "turn $turn: $1"; done
                while [ -e $(workspaces.release.path)/hold ]; do sleep 0.1; done
                echo "turn 3: $1"
                case "$1" in broken*) echo "$1: does not load" >&2; exit 1;; esac
                mkdir -p $(workspaces.release.path)/report
                printf '<!doctype html><html lang="en"><title>Report</title><style>h1{color:rgb(0,100,0)}</style><h1>Report of %s</h1>' "$1" \\
                  > $(workspaces.release.path)/report/report.html
                printf '12 ms' > $(results.figure.path)
              - sh
              - $(params.model)
"""  # noqa: E501  (a Pipeline, and its report on one line)


def write_catalog(root: Path) -> Path:
    """A catalog of that Pipeline."""
    folder = root / "pipelines" / "measure"
    folder.mkdir(parents=True)
    (folder / "measure.yaml").write_text(textwrap.dedent(MEASURE))
    (root / "tasks").mkdir()
    return root


def version(text: str, digest: str, p99_ms: float, name: str = "digits") -> Record:
    """A release of a model."""
    found = records.read(RECORD)
    image, benchmark = found.evidence.image, found.evidence.benchmark
    assert image is not None
    assert benchmark is not None
    timings = [
        one.model_copy(update={"p99_ms": p99_ms}) if one.name == "deployed" else one for one in benchmark.timings
    ]
    evidence = found.evidence.model_copy(
        update={
            "image": image.model_copy(update={"digest": f"sha256:{digest * 64}"}),
            "benchmark": benchmark.model_copy(update={"timings": timings}),
        }
    )
    return Record(identity=found.identity.model_copy(update={"name": name, "version": text}), evidence=evidence)


LONG = "wake-word-of-the-loading-bay-with-a-name-as-long-as-names-get"
MANY = tuple(f"store-{number:02}-of-a-region-whose-sites-have-long-names-too" for number in range(1, 41))
DIGITS = ((version("1", "a", 4.0), ("edge-1", "edge-2")), (version("2", "b", 3.2), ("edge-1",)))
"""Version 1 at both sites, then version 2 at the first."""


def published(folder: Path, *more: tuple[Record, Sequence[str]]) -> Path:
    """A GitOps repository of DIGITS and `more` releases, each for its sites; a minute lies between each two."""
    remote = folder / "gitops.git"
    publish.create_local(remote, "main")
    for minute, (record, sites) in enumerate((*DIGITS, *more)):
        tree = folder / f"tree-{minute}"
        for path, text in render.render(record, profiles.read("microshift-small"), sites).items():
            write_text(tree / path, text)
        with git.session(git.Access()) as client:
            then = f"2026-11-23T10:{minute:02}:00Z"
            client.environment |= {"GIT_AUTHOR_DATE": then, "GIT_COMMITTER_DATE": then}
            author = publish.Author("Ada", "ada@example.com")
            publish.publish(client, publish.Target(str(remote), "main"), publish.rendered(tree), author, message)
    return remote


class Watched(FleetSource):
    """A fleet whose Prometheus says this: edge-1 still runs version 1 and is not ready, edge-2 is as it should be."""

    health: Seen[Conditions] = Seen(
        {
            ("edge-1", "digits"): Condition(
                (Running("1", f"sha256:{'a' * 64}", None),), {"ready": 0.0, "available_1h": 0.97, "p99_s": 0.021}
            ),
            ("edge-2", "digits"): Condition(
                (Running("1", f"sha256:{'a' * 64}", None),),
                {"ready": 1.0, "available_1h": 1.0, "available_30d": 0.9995, "p99_s": 0.0043},
            ),
        },
        1_790_000_000.0, "", stale=False,
    )  # fmt: skip

    async def conditions(self) -> Seen[Conditions]:
        """That."""
        return self.health


def fleet(folder: Path, remote: Path, *, watched_by_prometheus: bool = True) -> FleetSource:
    """What the pages know of the repository."""
    kind = Watched if watched_by_prometheus else FleetSource
    return kind(FleetSettings(folder / "state", str(remote), git_every_s=3600.0))


def application(engine: Engine, access: Access, source: FleetSource | None = None) -> tuple[FastAPI, Observed]:
    """The pages as the core's API serves them."""
    app = new_app("pages", "", access, engine.health)
    app.state.audit = io.StringIO()
    routes.install(app, engine, access, doing(source, Audit(app.state.audit)) if source else None)
    app.add_middleware(SameOrigin, loopback=access.open)
    return app, watched(app, "pages")


@dataclass
class Served:
    """The pages on a port of this machine."""

    url: str
    engine: LocalEngine
    folder: Path

    def workspace(self) -> str:
        """A folder for a run's release."""
        folder = self.folder / "releases" / str(time.monotonic_ns())
        folder.mkdir(parents=True)
        return str(folder)


@contextmanager
def serving(folder: Path, access: Access | None = None) -> Iterator[Served]:
    """The pages with a local engine and that repository, until the block ends."""
    engine = LocalEngine(folder / "home", write_catalog(folder / "catalog"))
    remote = published(folder, (version("2026.11", "c", 11.5, LONG), MANY))
    _, app = application(engine, access or Access(), fleet(folder, remote))
    app.log = (folder / "pages.log").open("a")
    with closing(app.log), served(app) as url:
        yield Served(url, engine, folder)

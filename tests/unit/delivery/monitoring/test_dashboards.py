"""Every query of the dashboards against a real Prometheus that scrapes the real server and evaluates the real rules."""

import contextlib
import importlib.util
import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from hack import dashboards
from nearedge.delivery.monitoring import dashboard, drift, objects, panels, promise
from nearedge.release import profile as profiles
from nearedge.release import record as records

ROOT = Path(__file__).resolve().parents[4]
SPEC = importlib.util.spec_from_file_location("serving_fixtures", ROOT / "tests/unit/serving_image/conftest.py")
assert SPEC and SPEC.loader
serving = importlib.util.module_from_spec(SPEC)
sys.modules[SPEC.name] = serving
SPEC.loader.exec_module(serving)

RECORD = records.read(Path(__file__).parents[1] / "data" / "release.json")
PROFILE = profiles.read("microshift-small")
DIGEST = "sha256:" + "d" * 64
MODELS = ("digits", "mixed")
WATCHED = "digits"
REFERENCE = records.DriftReference(
    tensor="image", of="input", summary="mean", batched=True, edges=[0.5], expected=[0.5, 0.5], rows=1000
)
PATIENCE_S = 90
ALL = ".+"
"""What the console puts in for all values of a variable; Grafana puts in what the dashboard says, `.*`."""
Result = list[dict[str, Any]]


class Prometheus:
    """A Prometheus on a loopback port."""

    def __init__(self, port: int) -> None:
        self.session = requests.Session()
        self.session.trust_env = False
        self.url = f"http://127.0.0.1:{port}/api/v1/"

    def ask(self, path: str, **parameters: str) -> Any:
        answer = self.session.get(self.url + path, params=parameters, timeout=10)
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    def query(self, expression: str) -> Result:
        """The samples of now that are numbers."""
        found: Result = self.ask("query", query=expression)["result"]
        return [sample for sample in found if sample["value"][1] != "NaN"]


def configuration(folder: Path, target: str) -> Path:
    """Prometheus' configuration: scrapes and evaluates each second; the labels are those that a cluster adds."""
    labels = {"site": "edge-1", "namespace": "models", "pod": "digits-1"}
    groups = []
    for name in MODELS:
        own = {"name": name, "drift": [REFERENCE] if name == WATCHED else []}
        record = RECORD.model_copy(update={"identity": RECORD.identity.model_copy(update=own)})
        groups += [group | {"interval": "1s"} for group in objects.groups(promise.of(record, PROFILE))]
    (folder / "rules.yaml").write_text(yaml.safe_dump({"groups": groups}))
    job = {"job_name": "models", "static_configs": [{"targets": [target], "labels": labels}]}
    timing = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    path = folder / "prometheus.yaml"
    path.write_text(yaml.safe_dump({"global": timing, "rule_files": ["rules.yaml"], "scrape_configs": [job]}))
    return path


@contextlib.contextmanager
def prometheus(folder: Path, target: str) -> Iterator[Prometheus]:
    """A Prometheus that scrapes `target`, ended with the block."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        "prometheus", f"--config.file={configuration(folder, target)}", f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address=127.0.0.1:{port}",
    ]  # fmt: skip
    with (folder / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            yield Prometheus(port)
        finally:
            process.terminate()
            process.wait(20)


def load(server: Any) -> None:
    """Requests for both models, of which some of the second's are wrong."""
    rows = [0.25] * (64 * 8) + [0.75] * (64 * 8)  # as the reference has them: half below 0.5, half above
    right = {"inputs": [{"name": "image", "datatype": "FP32", "shape": [16, 1, 8, 8], "data": rows}]}
    for _ in range(5):
        assert server.post("/v2/models/digits/infer", json=right).status_code == 200
        assert server.post("/v2/models/mixed/infer", json=right).status_code == 400
    ids = {"name": "ids", "datatype": "INT64", "shape": [1, 4], "data": [1, 2, 3, 4]}
    mask = {"name": "mask", "datatype": "BOOL", "shape": [1, 4], "data": [True] * 4}
    assert server.post("/v2/models/mixed/infer", json={"inputs": [ids, mask]}).status_code == 200


@pytest.fixture(scope="module")
def scraped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """Prometheus, once it has what came of the server's rules and of requests that go on meanwhile."""
    if shutil.which("prometheus") is None:
        pytest.skip("prometheus is not installed (apt-get install prometheus)")
    root = tmp_path_factory.mktemp("scraped")
    for release in (serving.digits(), serving.mixed()):
        serving.write_workspace(root / release.name, release)
        serving.write_folder(root / "models", root / release.name, release)
    path = root / "models" / WATCHED / "1" / "release.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"drift": [REFERENCE.model_dump()]}))
    with serving.started(root / "models", root / "log", NEAREDGE_IMAGE_DIGEST=DIGEST) as server:
        server.wait_ready()
        (root / "prometheus").mkdir()
        with prometheus(root / "prometheus", f"127.0.0.1:{server.port}") as found:
            waiting = [one for model in MODELS for one in expressions(console(), model)]
            deadline = time.monotonic() + PATIENCE_S
            while waiting and time.monotonic() < deadline:
                load(server)
                time.sleep(0.5)
                with contextlib.suppress(requests.ConnectionError):
                    waiting = [one for one in waiting if not found.query(one)]
            yield found


def console() -> dict[str, Any]:
    """The dashboard for OpenShift's console, as it is checked in."""
    document = yaml.safe_load((ROOT / "manifests/core/dashboards/console.yaml").read_text())
    assert document["metadata"]["namespace"] == "openshift-config-managed"
    assert document["metadata"]["labels"] == {"console.openshift.io/dashboard": "true"}
    board: dict[str, Any] = json.loads(document["data"]["nearedge.json"])
    return board


def grafana() -> dict[str, Any]:
    """The fleet's dashboard for Grafana, as it is checked in."""
    document = yaml.safe_load((ROOT / "manifests/core/dashboards/grafana.yaml").read_text())
    board: dict[str, Any] = json.loads(document["data"]["nearedge.json"])
    return board


def shown(board: dict[str, Any]) -> list[dict[str, Any]]:
    """The panels of a dashboard of either kind."""
    rows = [panel for row in board.get("rows", []) for panel in row["panels"]]
    return rows or [panel for panel in board["panels"] if panel["type"] != "row"]


def expressions(board: dict[str, Any], model: str) -> list[str]:
    """All queries, the variables put in."""
    texts = [target["expr"] for panel in shown(board) for target in panel["targets"]]
    values = {"$model": model, "$site": ALL, "$__range": "300s"}
    for name, value in values.items():
        texts = [text.replace(name, value) for text in texts]
    assert texts and not [text for text in texts if "$" in text]
    return [text for text in texts if model in (ALL, WATCHED) or drift.INDEX not in text]


BOARDS = {"console": console(), "grafana": grafana(), "of one model": dashboard.of("digits")}


@pytest.mark.parametrize("model", [ALL, *MODELS])
@pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
def test_every_panel_shows_data(scraped: Prometheus, board: dict[str, Any], model: str) -> None:
    assert [one for one in expressions(board, model) if not scraped.query(one)] == []


def test_the_variables_have_values(scraped: Prometheus) -> None:
    for variable in grafana()["templating"]["list"]:
        if variable["type"] == "query":
            series, _, label = variable["query"].removeprefix("label_values(").rstrip(")").partition(", ")
            values = {sample["metric"][label] for sample in scraped.query(series)}
            assert values == ({"edge-1"} if label == "site" else set(MODELS))


def test_all_rules_evaluate_and_none_fires(scraped: Prometheus) -> None:
    rules = [rule for group in scraped.ask("rules")["groups"] for rule in group["rules"]]
    assert len(rules) > 80 and [rule for rule in rules if rule["health"] != "ok"] == []
    firing = {sample["metric"]["alertname"] for sample in scraped.query('ALERTS{alertstate="firing"}')}
    assert not firing


def test_figures_are_those_of_the_server(scraped: Prometheus) -> None:
    only = '{model="digits"}'
    assert [one["value"][1] for one in scraped.query(f"model:nearedge_ready:max{only}")] == ["1"]
    assert [one["value"][1] for one in scraped.query(f"model:nearedge_pulled_bytes:constant{only}")] == ["61000000"]
    (memory,) = scraped.query(f"model:nearedge_memory_bytes:max{only}")
    assert 20e6 < float(memory["value"][1]) < 1e9 and memory["metric"]["site"] == "edge-1"


@pytest.mark.parametrize("board", [grafana(), console()], ids=["grafana", "console"])
def test_the_dashboards_show_the_panels(board: dict[str, Any]) -> None:
    assert [panel["title"] for panel in shown(board)] == [panel.title for panel in panels.PANELS]
    assert board["uid"] == "nearedge" and len({panel["id"] for panel in shown(board)}) == len(panels.PANELS)


def test_the_console_gets_what_it_understands() -> None:
    kinds = {"graph", "singlestat", "table"}
    assert {panel["type"] for panel in shown(console())} == kinds == set(dashboards.CONSOLE_TYPES.values())
    for row in console()["rows"]:
        assert sum(panel["span"] for panel in row["panels"]) % 6 == 0 and all(p["span"] <= 12 for p in row["panels"])


def test_the_dashboard_of_a_model_is_held_to_it() -> None:
    board = dashboard.of("digits")
    variables = {one["name"]: one for one in board["templating"]["list"]}
    assert variables["model"]["type"] == "constant" and variables["model"]["query"] == "digits"
    assert (board["title"], board["uid"]) == ("nearedge: digits", "nearedge-digits")
    long = [dashboard.identifier(f"{'m' * 60}-{end}") for end in "ab"]
    assert len(set(long)) == 2 and all(len(uid) <= 40 for uid in long)


def test_what_is_checked_in_is_what_would_be_made_now() -> None:
    assert [path.name for path, text in dashboards.files() if path.read_text() != text] == []

"""model-to-edge on the examples and on a model unlike them: real figures, the same digest, one commit an upgrade."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

from nearedge import catalog
from nearedge.release import record
from nearedge.release.sections import Precision
from tests.core_api import serving
from tests.pipelines.refusing_proxy import Proxy
from tests.pipelines.site import Site

F32_LARGEST_RELATIVE = 1e-4
FIGURES = re.compile(r"p50|p99|seconds|_ms|rss|spread|throughput|machine|cores|commit")


def keys(node: object) -> set[str]:
    """Every key anywhere in a JSON value."""
    if isinstance(node, dict):
        return set(node).union(*(keys(value) for value in node.values()))
    return set().union(*(keys(value) for value in node)) if isinstance(node, list) else set()


def test_nobody_is_asked_who_was_not_named(released: Site, refusing_proxy: Proxy) -> None:
    """Telemetry and other surprises: the whole Pipeline ran behind a proxy that notes and refuses every host."""
    assert released.section("optimization")["candidates"]
    assert refusing_proxy.asked == []
    environment = {**os.environ, "HTTP_PROXY": refusing_proxy.address, "http_proxy": refusing_proxy.address}
    control = "import requests; requests.get('http://somebody.invalid/')"
    subprocess.run([sys.executable, "-c", control], capture_output=True, check=False, env=environment)
    assert any("somebody.invalid" in line for line in refusing_proxy.asked), "the proxy itself sees nothing"


def test_digits_keep_their_accuracy_and_their_answers(released: Site) -> None:
    deployed, first = released.section("verification-deployed"), released.section("verification-f32")
    metric = deployed["metric"]
    assert metric["name"] == "accuracy"
    assert metric["rows"] == 540
    assert metric["source"] >= 0.97
    assert metric["drop"] <= 0.01
    assert metric["drop"] == pytest.approx(metric["source"] - metric["converted"])
    assert all(output["max_relative"] < F32_LARGEST_RELATIVE for output in first["outputs"])
    assert all(output["top1_agreement"] == 1.0 for output in first["outputs"])
    assert not first["synthetic"]


def test_every_candidate_has_an_outcome_and_one_is_chosen(released: Site) -> None:
    section = released.section("optimization")
    outcomes = {candidate["precision"]: candidate["outcome"] for candidate in section["candidates"]}
    assert set(outcomes) == set(Precision.__args__)
    assert [name for name, outcome in outcomes.items() if outcome.startswith("chosen")] == [section["precision"]]
    assert "avx2" in outcomes["bf16"]


def test_the_benchmark_compares_three_in_one_run(released: Site) -> None:
    section = released.section("benchmark")
    timings = {timing["name"]: timing for timing in section["timings"]}
    assert set(timings) == {"source", "f32", "deployed"}
    for timing in timings.values():
        assert 0 < timing["p50_ms"] <= timing["p90_ms"] <= timing["p99_ms"] <= timing["max_ms"]
    assert section["speedup_f32"] == timings["f32"]["faster"]["value"]
    assert section["peak_rss_mib"] > 30
    assert section["memory_limit_mib"] >= section["memory_request_mib"] >= section["peak_rss_mib"]
    report = (released.release / "report" / "report.html").read_text()
    assert "<script src" not in report
    assert "http://" not in report.replace("http://www.w3.org", "")
    assert "accuracy" in report.lower() and "How the latencies are spread" in report and "site-1" in report
    assert {"latency.png", "parity.png"} <= {path.name for path in (released.release / "report").iterdir()}


def test_the_image_holds_the_identity_and_no_figures(released: Site) -> None:
    identity = record.assemble(released.release, "microshift-small").identity
    text = json.loads(record.dump(identity))
    del text["runtime"]["max_wait_ms"]  # a setting: how the server is to batch
    assert not {key for key in keys(text) if FIGURES.search(key)}
    image = released.section("image")
    assert image["base_kind"] == "host"
    assert identity.golden is not None
    assert identity.golden.count == 8
    index = json.loads((released.release / "image" / "index.json").read_text())
    assert image["digest"] in [manifest["digest"] for manifest in index["manifests"]]
    test = released.section("test")
    assert test["image"].endswith(image["digest"])
    assert test["decisions_held"] == test["samples"] >= 8


def test_git_holds_the_release_by_digest(released: Site) -> None:
    digest = released.section("image")["digest"]
    names = released.git("ls-tree", "-r", "--name-only", "main").splitlines()
    assert "models/digits/base/kustomization.yaml" in names
    assert "sites/site-1/digits/kustomization.yaml" in names
    manifests = [released.git("show", f"main:{name}") for name in names if name.endswith(".yaml")]
    assert any(digest in text for text in manifests)
    held = json.loads(released.git("show", "main:models/digits/base/release.json"))
    assert held["evidence"]["image"]["digest"] == digest
    message = released.git("log", "-1", "--format=%B", "main")
    assert "digits" in message
    assert "accuracy" in message


def test_the_same_again_builds_nothing_and_commits_nothing(
    released: Site, trained: Callable[..., Path], tmp_path: Path
) -> None:
    source = shutil.copytree(trained("digits"), tmp_path / "digits")
    with (source / "model.yaml").open("a") as text:
        text.write("# a comment changes nothing\n")
    digest, head = released.section("image")["digest"], released.git("rev-parse", "main")
    blobs = sorted(path.name for path in (released.release / "image" / "blobs" / "sha256").iterdir())
    done = released.run(source)
    assert done.returncode == 0, done.stdout + done.stderr
    assert released.section("image")["digest"] == digest
    assert released.section("optimization")["reused"] is True
    assert released.git("rev-parse", "main") == head
    assert sorted(path.name for path in (released.release / "image" / "blobs" / "sha256").iterdir()) == blobs


def test_a_release_is_shown_and_packed_by_http(released: Site, tmp_path: Path) -> None:
    with serving(released.home / ".nearedge", catalog.root()) as core:
        (run,) = core.get("/runs", params={"pipeline": "model-to-edge", "limit": 1})["items"]
        assert run["state"] == "Succeeded"
        record = core.get(f"/runs/{run['name']}/record")
        assert record["identity"]["name"] == "digits"
        assert (
            record["evidence"]["image"]["digest"] == core.get(f"/runs/{run['name']}/results")["results"]["IMAGE_DIGEST"]
        )
        files = {one["name"] for one in core.get(f"/runs/{run['name']}/report")["files"]}
        assert {"report.html", "report.md", "latency.png"} <= files
        report = core.ask("GET", f"/runs/{run['name']}/report/report.html")
        assert "accuracy" in report.text.lower() and "sandbox" in report.headers["content-security-policy"]
        workspace = tmp_path / "release"
        workspace.mkdir()
        shutil.copytree(released.release / "image", workspace / "image")
        started = core.start(
            "mirror-offline", name="packed", workspaces={"release": str(workspace)},
            params={"mode": "export", "images": ["oci:image:test"]},
        )  # fmt: skip
        assert started.status_code == 201, started.text
        seen = [data["state"] for kind, data, _ in core.events("/runs/packed/events") if kind == "run"]
        assert seen[-1] == "Succeeded", core.ask("GET", "/runs/packed/logs").text
        assert (workspace / "bundle.tar").stat().st_size > 1_000_000
        assert "bundle.tar" in core.ask("GET", "/runs/packed/logs", params={"task": "bundle-out"}).text


def chosen(site: Site) -> str:
    """The param that asks for the precision of the release that is there."""
    return f"-p=precision={site.section('optimization')['precision']}"


def test_another_place_gives_the_same_digest(released: Site, site: Site, trained: Callable[..., Path]) -> None:
    done = site.run(trained("digits"), chosen(released))
    assert done.returncode == 0, done.stdout + done.stderr
    assert site.section("optimization")["precision"] == released.section("optimization")["precision"]
    assert site.section("image")["digest"] == released.section("image")["digest"]


def test_an_upgrade_is_one_commit_of_digest_record_and_figures(again: Site, trained: Callable[..., Path]) -> None:
    before, first = again.git("rev-parse", "main"), again.section("image")
    done = again.run(trained("digits", 2), chosen(again))
    assert done.returncode == 0, done.stdout + done.stderr
    image = again.section("image")
    assert image["digest"] != first["digest"]
    assert again.git("rev-list", "--count", f"{before}..main") == "1"
    changed = set(again.git("diff", "--name-only", before, "main").splitlines())
    assert "models/digits/base/release.json" in changed
    assert len(changed) <= 3
    assert all(name.startswith("models/digits/base/") for name in changed)
    model = [
        layer["size_bytes"]
        for layer in image["layers"]
        if layer["digest"] not in {i["digest"] for i in first["layers"]}
    ]
    assert image["upgrade_bytes"] is not None
    assert sum(model) <= image["upgrade_bytes"] <= sum(model) + 65536


@pytest.mark.parametrize(
    ("example", "metric", "at_least", "at_most"),
    [("diabetes", "mae", 30.0, 55.0), ("filetypes", "accuracy", 0.95, 1.0)],
)
def test_the_other_frameworks(
    site: Site, trained: Callable[..., Path], example: str, metric: str, at_least: float, at_most: float
) -> None:
    done = site.run(trained(example), "-p=budget-seconds=10")
    assert done.returncode == 0, done.stdout + done.stderr
    result = site.section("verification-deployed")["metric"]
    assert result["name"] == metric
    assert at_least <= result["source"] <= at_most
    assert result["drop"] <= result["allowed_drop"]
    parity = site.section("verification-f32")["outputs"]
    assert all(output["max_relative"] < F32_LARGEST_RELATIVE for output in parity)


def two_headed(path: Path) -> None:
    """An ONNX model unlike the examples: a picture NHWC and a row of int64 in, a class and two values out, no batch."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    random = np.random.default_rng(7)
    weights = {
        "kernel": random.normal(size=(4, 3, 3, 3)).astype(np.float32),
        "dense": random.normal(size=(4, 5)).astype(np.float32),
        "table": random.normal(size=(11, 2)).astype(np.float32),
    }
    nodes = [
        helper.make_node("Transpose", ["picture"], ["nchw"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["nchw", "kernel"], ["map"]),
        helper.make_node("Relu", ["map"], ["positive"]),
        helper.make_node("GlobalAveragePool", ["positive"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("MatMul", ["flat", "dense"], ["kind"]),
        helper.make_node("Gather", ["table", "codes"], ["values"]),
    ]
    graph = helper.make_graph(
        nodes,
        "two-headed",
        [
            helper.make_tensor_value_info("picture", TensorProto.FLOAT, [1, 12, 10, 3]),
            helper.make_tensor_value_info("codes", TensorProto.INT64, [1, 4]),
        ],
        [
            helper.make_tensor_value_info("kind", TensorProto.FLOAT, [1, 5]),
            helper.make_tensor_value_info("values", TensorProto.FLOAT, [1, 4, 2]),
        ],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, path)


def test_your_own_model_needs_nothing_but_what_init_writes(site: Site, tmp_path: Path) -> None:
    two_headed(tmp_path / "two-headed.onnx")
    done = site.nearedge("init", str(tmp_path / "two-headed.onnx"))
    assert done.returncode == 0, done.stderr
    description = yaml.safe_load((tmp_path / "model.yaml").read_text())
    assert [tensor["shape"] for tensor in description["inputs"]] == [[1, 12, 10, 3], [1, 4]]
    done = site.run(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    section = site.section("verification-deployed")
    assert section["synthetic"] is True
    assert section["metric"] is None
    assert {output["name"] for output in section["outputs"]} == {"kind", "values"}
    assert site.section("test")["samples"] == 0
    chosen = {item["precision"]: item["outcome"] for item in site.section("optimization")["candidates"]}
    assert "calibration" in chosen["int8"]


def test_a_changed_description_is_another_release(again: Site, trained: Callable[..., Path], tmp_path: Path) -> None:
    source = shutil.copytree(trained("digits"), tmp_path / "digits")
    text = (source / "model.yaml").read_text()
    assert "count: 8" in text
    (source / "model.yaml").write_text(text.replace("count: 8", "count: 4"))
    first = again.section("image")["digest"]
    assert again.run(source, chosen(again)).returncode == 0
    assert again.section("image")["digest"] != first

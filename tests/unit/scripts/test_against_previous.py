"""--against=previous from end to end: the deployed model comes out of its image and is timed beside the new one."""

import shutil
import subprocess

import numpy as np
import pytest

from nearedge.delivery.layout import Layout
from nearedge.files import sha256_file, write_text
from nearedge.release import record, sections
from nearedge.release.sections import BenchmarkSection, OptimizationSection
from scripts import benchmark_model, build_serving_image, fetch_model, optimize_model, verify_model


@pytest.fixture(scope="module")
def released(digits_release, small_base, tmp_path_factory):
    """A workspace with a whole release: its image in a layout, its record on the branch main of gitops.git."""
    workspace = shutil.copytree(digits_release, tmp_path_factory.mktemp("released") / "release")
    assert optimize_model.main([f"--workspace={workspace}", "--precision=fp16"]) == 0
    assert verify_model.main([f"--workspace={workspace}", "--stage=deployed"]) == 0
    assert bench(workspace) == 0
    small_base(Layout.create(workspace / "base"), "1")
    target = ["--serving-image=oci:image:1", "--base-image=oci:base:1", "--allow-layout=true", "--attach=false"]
    assert build_serving_image.main([f"--workspace={workspace}", *target]) == 0
    work = workspace / "work"
    write_text(work / "models/digits/base/release.json", record.dump(record.assemble(workspace, "microshift-small")))
    git(work, "init", "-q", "-b", "main")
    git(work, "add", ".")
    git(work, "commit", "-qm", "first")
    git(workspace, "clone", "-q", "--bare", str(work), "gitops.git")
    return workspace


@pytest.fixture
def next_one(released, tmp_path):
    """A function that fetches the same model again and puts the Tasks' files of the release where they would be."""

    def start(*options, image=True):
        workspace = shutil.copytree(released, tmp_path / "next")
        if not image:
            shutil.rmtree(workspace / "image")
        given = shutil.copytree(released / "source", tmp_path / "given")
        assert fetch_model.main([f"--workspace={workspace}", f"--source={given}", *options]) == 0
        shutil.copytree(released / "ir", workspace / "ir")
        for path in (released / "release").iterdir():
            if path.name != "source.json":
                shutil.copy(path, workspace / "release")
        return workspace

    return start


def git(at, *arguments):
    who = ["-c", "user.name=n", "-c", "user.email=e@localhost"]
    subprocess.run(["git", *who, *arguments], cwd=at, check=True)


def bench(workspace, *more):
    return benchmark_model.main([f"--workspace={workspace}", "--seconds=0.2", *more])


def burden(workspace):
    """Make the deployed IR a hundred times as slow: ten products of 256 by 256 matrices that add nothing."""
    import openvino as ov
    from openvino import opset13 as ops

    xml = workspace / "ir/deployed/model.xml"
    model = ov.Core().read_model(xml)
    parameter, result = model.get_parameters()[0], model.get_results()[0]
    axes = list(range(len(parameter.get_partial_shape())))
    matrix = np.random.default_rng(1).normal(0, 1 / 16, (256, 256)).astype(np.float32)
    load = ops.multiply(ops.constant(matrix), ops.reduce_mean(ops.convert(parameter, np.float32), axes))
    for _ in range(10):
        load = ops.matmul(load, ops.constant(matrix), False, False)
    nothing = ops.multiply(ops.reduce_mean(load, [0, 1]), ops.constant(np.float32(1e-30)))
    before = result.input(0).get_source_output()
    names = before.get_names()
    after = ops.add(before, nothing)
    result.input(0).replace_source_output(after.output(0))
    before.set_names(set())
    after.output(0).set_names(names)
    model.validate_nodes_and_infer_types()
    ov.save_model(model, workspace / "slow.xml", compress_to_fp16=False)
    for kind in ("xml", "bin"):
        (workspace / f"slow.{kind}").replace(xml.with_suffix(f".{kind}"))
    hashes = {f"{kind}_sha256": sha256_file(xml.with_suffix(f".{kind}")) for kind in ("xml", "bin")}
    sections.write(workspace, sections.read(workspace, OptimizationSection).model_copy(update=hashes))


def test_a_new_model_that_is_surely_slower_stops_the_release(next_one, capsys):
    workspace = next_one("--fetch-previous=true")
    deployed = record.read_previous(workspace).identity.ir
    assert sha256_file(workspace / "previous/model/model.bin") == deployed.bin_sha256
    assert bench(workspace, "--against=previous", "--allowed-slowdown=100") == 0, "the same model is not stopped"
    found = sections.read(workspace, BenchmarkSection).against
    assert found.retimed and found.release == "version 1, fp16, from previous/model"
    burden(workspace)
    assert bench(workspace, "--against=previous", "--allowed-slowdown=0.1") == 3
    assert "regression: " in capsys.readouterr().err
    found = sections.read(workspace, BenchmarkSection).against
    assert found.retimed and found.faster.high < 0.5
    assert (workspace / "report/report.md").is_file()


def test_only_the_record_is_fetched_where_nobody_asks_for_more(next_one):
    workspace = next_one()
    assert record.read_previous(workspace) is not None and not (workspace / "previous/model").exists()


def test_where_the_image_is_gone_recorded_figures_are_shown_and_nothing_stops(next_one, capsys):
    workspace = next_one("--fetch-previous=true", image=False)
    assert "warning: the deployed model cannot be had" in capsys.readouterr().err
    assert not (workspace / "previous/model").exists() and record.read_previous(workspace) is not None
    burden(workspace)
    assert bench(workspace, "--against=previous", "--allowed-slowdown=0") == 0
    found = sections.read(workspace, BenchmarkSection).against
    assert not found.retimed and found.faster.value < 0.5
    assert "nothing is gated" in capsys.readouterr().err

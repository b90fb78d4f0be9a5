"""The step program on a release whose sections are real and whose weights are random bytes: it never reads the IR."""

import json
import tarfile
from pathlib import Path

import pytest

from nearedge.delivery import evidence_attached, oci, referrers
from nearedge.delivery.layout import Layout
from nearedge.files import sha256_file
from nearedge.release import record, sections
from scripts import build_serving_image as program

YAML = """
schema: 1
name: tiny
version: "3"
source: {path: model.onnx}
inputs: [{name: x, shape: [1, 4], dtype: FP32}]
outputs: [{name: y}]
"""
SPEC = sections.TensorSpec(name="x", datatype="FP32", shape=[1, 4])
RUNTIME = sections.RuntimeConfiguration(inference_precision="f32", performance_hint="LATENCY", streams=1, threads=2)
THRESHOLDS = sections.Thresholds(max_relative=0.01, min_cosine=0.99, min_top1_agreement=0.99)


def verification(drop=0.0):
    metric = sections.MetricResult(
        name="accuracy", source=0.98, converted=0.98 - drop, drop=drop, allowed_drop=0.01, rows=100
    )
    return sections.VerificationDeployedSection(
        precision="f32", instruction_set="avx2", samples=8, synthetic=False, outputs=[], thresholds=THRESHOLDS,
        metric=metric,
    )  # fmt: skip


def write_model(workspace: Path, seed: int) -> None:
    folder = workspace / "ir" / "deployed"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.xml").write_text(f"<net seed='{seed}'/>")
    (folder / "model.bin").write_bytes(bytes((seed * n * n) % 251 for n in range(70_000)))
    found = {"xml_sha256": sha256_file(folder / "model.xml"), "bin_sha256": sha256_file(folder / "model.bin")}
    sections.write(workspace, sections.OptimizationSection(
        requested="auto", precision="f32", runtime=RUNTIME, inputs=[SPEC], outputs=[SPEC], size_bytes=70_000,
        candidates=[], reused=False, **found,
    ))  # fmt: skip


def write_release(workspace: Path, seed: int = 1) -> Path:
    (workspace / "source").mkdir(parents=True, exist_ok=True)
    (workspace / "source" / "model.yaml").write_text(YAML)
    sections.write(workspace, sections.SourceSection(
        name="tiny", version="3", format="onnx", framework="onnx", sha256="0" * 64, size_bytes=1,
        description_sha256="1" * 64, data_sha256="", origin="here",
    ))  # fmt: skip
    sections.write(workspace, sections.ConversionSection(
        openvino="2026.4.1", inputs=[SPEC], outputs=[SPEC], xml_sha256="2" * 64, bin_sha256="3" * 64, size_bytes=1,
        seconds=0.1 * seed,
    ))  # fmt: skip
    write_model(workspace, seed)
    sections.write(workspace, verification())
    return workspace


def write_golden(workspace: Path) -> None:
    path = workspace / "golden" / "golden.npz"
    path.parent.mkdir()
    path.write_bytes(b"golden" * 100)
    sections.write(workspace, sections.GoldenSection(
        sha256=sha256_file(path), count=1, size_bytes=600, instruction_set="avx2", tolerances=[],
    ))  # fmt: skip


@pytest.fixture
def base(small_base):
    """The function that puts a small runtime base into a workspace as oci:base:1."""
    return lambda workspace: small_base(Layout.create(workspace / "base"), "1")


@pytest.fixture
def workspace(tmp_path, base):
    found = write_release(tmp_path / "release")
    base(found)
    return found


def options(*more, target="oci:image:1", base="oci:base:1", allow="true"):
    return [f"--serving-image={target}", f"--base-image={base}", f"--allow-layout={allow}", *more]


def members(layout: Layout, manifest: oci.Manifest):
    found = {}
    for layer in manifest.layers:
        with tarfile.open(layout.path(layer.digest)) as archive:
            found |= {entry.name: entry for entry in archive}
    return found


def test_the_image_holds_the_model_and_its_identity(workspace, tmp_path, capsys):
    results = {name: tmp_path / name for name in ("image-url", "image-digest", "upgrade-bytes")}
    flags = [f"--result-{name}={path}" for name, path in results.items()]
    assert program.main([f"--workspace={workspace}", *options(*flags), "--ca-bundle=", "--dockerconfig="]) == 0
    layout = Layout.open(workspace / "image")
    manifest = layout.resolve("1")
    assert results["image-url"].read_text() == "oci:image:1"
    assert results["image-digest"].read_text() == manifest.descriptor.digest
    assert results["upgrade-bytes"].read_text() == ""
    found = members(layout, manifest)
    assert {"models/tiny/3/model.xml", "models/tiny/3/model.bin", "models/tiny/3/release.json"} <= found.keys()
    assert (found["models/tiny/3/model.bin"].mode, found["models/tiny/3"].mode) == (0o644, 0o755)
    with tarfile.open(layout.path(manifest.layers[-1].digest)) as archive:
        identity = json.loads(archive.extractfile("models/tiny/3/release.json").read())
    assert identity == json.loads(record.dump(record.identity(workspace, "microshift-small")))
    section = sections.read(workspace, sections.ImageSection)
    assert (section.base_kind, section.digest) == ("layout", manifest.descriptor.digest)
    assert section.base.startswith("oci:base:1@sha256:")
    assert section.size_bytes == manifest.size
    assert [layer.title for layer in section.layers] == ["runtime", "model", "release identity"]
    assert "built oci:image:1@sha256:" in capsys.readouterr().err


def test_a_second_build_is_nothing_new(workspace, capsys):
    first = program.run(workspace, program.Options("oci:image:1", "oci:base:1", allow_layout=True))
    second = program.run(workspace, program.Options("oci:image:1", "oci:base:1", allow_layout=True))
    assert (second.digest, second.uploaded_bytes) == (first.digest, 0)
    assert "nothing new" in capsys.readouterr().err


def test_measured_figures_do_not_change_the_digest(workspace, tmp_path, base):
    first = program.run(workspace, program.Options("oci:image:1", "oci:base:1", allow_layout=True))
    other = write_release(tmp_path / "other")
    base(other)
    seconds = sections.read(other, sections.ConversionSection).model_copy(update={"seconds": 99.0})
    sections.write(other, seconds)
    assert program.run(other, program.Options("oci:x:y", "oci:base:1", allow_layout=True)).digest == first.digest


def test_golden_samples_are_a_layer_of_their_own(workspace):
    write_golden(workspace)
    section = program.run(workspace, program.Options("oci:image:1", "oci:base:1", allow_layout=True))
    assert [layer.title for layer in section.layers] == ["runtime", "model", "golden samples", "release identity"]


def test_an_upgrade_pulls_the_new_layers_only(workspace):
    chosen = program.Options("oci:image:1", "oci:base:1", allow_layout=True)
    program.run(workspace, chosen)
    before = record.assemble(workspace, "microshift-small")
    (workspace / "previous").mkdir()
    (workspace / record.PREVIOUS).write_text(record.dump(before))
    assert program.run(workspace, chosen).upgrade_bytes == 0
    write_model(workspace, seed=7)
    section = program.run(workspace, chosen)
    base_bytes = section.layers[0].size_bytes
    assert section.upgrade_bytes == section.size_bytes - base_bytes


def test_the_tag_is_the_version_where_none_is_given(workspace):
    section = program.run(workspace, program.Options("oci:image", "oci:base:1", allow_layout=True))
    assert section.url == "oci:image:3"


def test_base_image_host_is_this_machines_python(workspace, small_base, monkeypatch, tmp_path):
    layout = Layout.create(tmp_path / "host")
    small_base(layout, "base")
    monkeypatch.setattr("nearedge.delivery.host.host_base.host_base", lambda _cache: layout)
    section = program.run(workspace, program.Options("oci:image:1", "host", allow_layout=True))
    assert section.base_kind == "host"
    assert section.base.startswith("host@sha256:")


def without_gate(workspace):
    sections.clear(workspace, sections.VerificationDeployedSection)


def lost_accuracy(workspace):
    sections.write(workspace, verification(drop=0.02))


def other_weights(workspace):
    path = workspace / "ir" / "deployed" / "model.bin"
    path.write_bytes(path.read_bytes()[:-1] + b"!")


def no_weights(workspace):
    (workspace / "ir" / "deployed" / "model.bin").unlink()


def no_description(workspace):
    (workspace / "source" / "model.yaml").unlink()


@pytest.mark.parametrize(
    ("damage", "status", "said"),
    [
        (without_gate, 3, "the accuracy gate has not been passed"),
        (lost_accuracy, 3, "accuracy drops by 0.02"),
        (other_weights, 1, "is not the file that was proven"),
        (no_weights, 1, "model.bin: no such file"),
        (no_description, 1, "model.yaml: no such file"),
    ],
)
def test_what_was_not_proven_is_not_built(workspace, capsys, damage, status, said):
    program.run(workspace, program.Options("oci:image:1", "oci:base:1", allow_layout=True))
    capsys.readouterr()
    damage(workspace)
    assert program.main([f"--workspace={workspace}", *options(target="oci:new:1")]) == status
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert sections.read_optional(workspace, sections.ImageSection) is None
    assert not (workspace / "new" / "index.json").exists() or Layout.open(workspace / "new").tags() == []
    assert not list(workspace.glob(".image-*"))


@pytest.mark.parametrize(
    ("flags", "status", "said"),
    [
        (options(allow="false"), 1, "not allowed here"),
        (options(target="oci:../out:1"), 1, "leads out of"),
        (options(target="oci:/tmp/out:1"), 1, "relative to the workspace"),
        (options(target="oci:source:1"), 1, "holds files that are no OCI layout"),
        (options(target=f"oci:image:1@sha256:{'0' * 64}"), 1, "name the target by tag"),
        (options(base="oci:base:none"), 4, "holds no 'none'; it holds '1'"),
        (options(base="oci:nowhere:1"), 1, "is no OCI layout"),
        (options(base="nearedge/runtime:0.1.0"), 1, "names no registry"),
        (options(base="127.0.0.1:1/nearedge/runtime:0.1.0"), 4, "127.0.0.1:1: connection refused"),
    ],
)
def test_wrong_references_are_one_line(workspace, capsys, flags, status, said):
    assert program.main([f"--workspace={workspace}", *flags]) == status
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_wrong_usage():
    with pytest.raises(SystemExit) as stopped:
        program.main(["--workspace=x"])
    assert stopped.value.code == 2


def test_the_bill_of_materials_lies_beside_the_sections(workspace):
    section = program.run(workspace, program.Options("oci:image:1", "oci:base:1", allow_layout=True))
    bill = json.loads((workspace / "release/sbom.json").read_text())
    assert bill["metadata"]["component"]["hashes"] == [{"alg": "SHA-256", "content": section.digest.partition(":")[2]}]
    (model,) = [one for one in bill["components"] if one["type"] == "machine-learning-model"]
    optimization = sections.read(workspace, sections.OptimizationSection)
    assert model["components"][0]["hashes"][0]["content"] == optimization.xml_sha256


def test_tags_annotations_and_compression_by_option(workspace, tmp_path):
    more = ["--compression=zstd", f"--result-uploaded-bytes={tmp_path}/sent", "--", "stable", "com.example.team=seals"]
    assert program.main([f"--workspace={workspace}", *options(*more)]) == 0
    layout = Layout.open(workspace / "image")
    assert layout.tags() == ["1", "stable"]
    manifest = layout.resolve("stable")
    assert manifest.annotations["com.example.team"] == "seals"
    assert manifest.layers[-1].media_type == oci.LAYER_ZSTD
    section = sections.read(workspace, sections.ImageSection)
    assert int((tmp_path / "sent").read_text()) == section.uploaded_bytes > manifest.layers[-1].size


def test_a_tag_that_is_none(workspace, capsys):
    assert program.main([f"--workspace={workspace}", *options("--", "a/b")]) == 1
    assert "is no tag" in capsys.readouterr().err


def test_sbom_and_record_are_attached_once(workspace, tmp_path):
    assert program.main([f"--workspace={workspace}", *options()]) == 0
    layout = Layout.open(workspace / "image")
    subject = layout.resolve("1").descriptor
    found = {entry["artifactType"]: layout.resolve(entry["digest"]) for entry in referrers.listed(layout, subject)}
    bill, whole = (layout.read(found[kind].layers[0], 1 << 20) for kind in (referrers.SBOM_TYPE, referrers.RECORD_TYPE))
    assert bill == (workspace / program.SBOM).read_bytes()
    (tmp_path / "release.json").write_bytes(whole)
    assert record.read(tmp_path / "release.json").evidence.image.digest == subject.digest
    before = (layout.folder / "index.json").read_bytes()
    seconds = sections.read(workspace, sections.ConversionSection).model_copy(update={"seconds": 99.0})
    sections.write(workspace, seconds)
    assert program.main([f"--workspace={workspace}", *options()]) == 0
    assert (layout.folder / "index.json").read_bytes() == before


def test_the_report_is_attached_where_there_is_one(workspace):
    (workspace / "report").mkdir()
    (workspace / "report" / "report.html").write_text("<!doctype html><p>all figures</p>")
    assert program.main([f"--workspace={workspace}", *options()]) == 0
    layout = Layout.open(workspace / "image")
    assert evidence_attached.report(layout, layout.resolve("1")) == b"<!doctype html><p>all figures</p>"


def test_nothing_is_attached_where_that_is_not_wanted(workspace):
    assert program.main([f"--workspace={workspace}", *options("--attach=false")]) == 0
    layout = Layout.open(workspace / "image")
    assert referrers.listed(layout, layout.resolve("1").descriptor) == []


@pytest.mark.parametrize("layout", ["sharded", "layered"])
def test_the_weights_lie_in_pieces_where_that_is_wanted(workspace, layout):
    assert program.main([f"--workspace={workspace}", *options(f"--layout={layout}")]) == 0
    section = sections.read(workspace, sections.ImageSection)
    assert (section.flavour, section.layout) == ("serving", layout)
    titles = ["model"] if layout == "sharded" else ["model", "weights 1"]
    assert [layer.title for layer in section.layers] == ["runtime", *titles, "release identity"]
    manifest = Layout.open(workspace / "image").resolve("1")
    annotated = [layer for layer in manifest.layers if any("zstd-chunked" in name for name in layer.annotations)]
    assert len(annotated) == (layout == "sharded")
    again = program.run(workspace, program.Options("oci:image:2", "oci:base:1", allow_layout=True, layout=layout))
    assert again.digest == section.digest


def test_a_modelcar_is_the_model_alone(workspace, capsys):
    given = options("--flavour=modelcar", base="registry.invalid/never:asked")
    assert program.main([f"--workspace={workspace}", *given]) == 0
    section = sections.read(workspace, sections.ImageSection)
    assert (section.flavour, section.layout, section.base_kind) == ("modelcar", "single", "scratch")
    assert [layer.title for layer in section.layers] == ["model", "release identity"]
    layout = Layout.open(workspace / "image")
    manifest = layout.resolve("1")
    found = members(layout, manifest)
    files = {f"models/tiny/3/{name}" for name in ("model.xml", "model.bin", "release.json")}
    assert set(found) == {*files, "models", "models/tiny", "models/tiny/3", "models/3"}
    assert (found["models/3"].issym(), found["models/3"].linkname) == (True, "tiny/3")
    config = json.loads(layout.read(manifest.config, 1 << 20))
    assert (config["os"], config["architecture"], len(config["rootfs"]["diff_ids"])) == ("linux", "amd64", 2)
    assert not {"Entrypoint", "Cmd", "User"} & config["config"].keys()
    labels = config["config"]["Labels"]
    assert labels["io.nearedge.model"] == "tiny"
    assert "io.nearedge.runtime" not in labels
    assert "KServe's sidecar needs a modelcar-base with sh" in capsys.readouterr().err
    bill = json.loads((workspace / program.SBOM).read_text())
    assert [one["type"] for one in bill["components"]] == ["machine-learning-model"]
    again = program.run(workspace, program.Options("oci:two:2", "x", allow_layout=True, flavour="modelcar"))
    assert again.digest == section.digest


def test_a_modelcar_on_a_base_that_starts_nothing(workspace, small_base):
    small_base(Layout.create(workspace / "shell"), "1", config={"Entrypoint": None})
    given = options("--flavour=modelcar", "--modelcar-base=oci:shell:1")
    assert program.main([f"--workspace={workspace}", *given]) == 0
    section = sections.read(workspace, sections.ImageSection)
    assert (section.base_kind, section.base.partition("@")[0]) == ("layout", "oci:shell:1")
    assert [layer.title for layer in section.layers] == ["runtime", "model", "release identity"]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["--flavour=modelcar", "--layout=sharded"], "layout sharded: a modelcar needs single"),
        (["--flavour=modelcar", "--layout=layered"], "layout layered: a modelcar needs single"),
        (["--modelcar-base=x/y:1"], "modelcar-base is given, but the flavour is serving"),
        (["--base-image="], "base-image is empty; name the runtime base"),
    ],
)
def test_what_does_not_go_together_is_one_line(workspace, capsys, given, words):
    assert program.main([f"--workspace={workspace}", *options(*given)]) == 1
    assert words in capsys.readouterr().err
    assert not (workspace / "image").exists()


@pytest.mark.parametrize("given", ["--flavour=kserve", "--layout=chunks"])
def test_other_flavours_and_layouts_are_wrong_usage(workspace, given):
    with pytest.raises(SystemExit):
        program.main([f"--workspace={workspace}", *options(given)])

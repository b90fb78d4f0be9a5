"""A model that comes with Python of its own: refused unless allowed, recorded, run by each Task, never when changed."""

import json
import shutil

import numpy as np
import pytest
import yaml

from converters import accuracy_control, candidates, execution, samples, timing, workspace
from converters.timed_process import Subject
from nearedge.errors import InputError
from nearedge.files import sha256_tree
from nearedge.release import record, sections
from nearedge.release.sections import ConversionSection, OptimizationSection, SourceSection, VerificationF32Section
from scripts import convert_model, fetch_model, optimize_model, verify_model
from tests.models import net

JUDGE = """
def score(answers, labels):
    assert answers.shape == (300, 10) and labels.shape == (300,), (answers.shape, labels.shape)
    return (answers.argmax(1) == labels).mean()

def wrong(answers, labels):
    return -score(answers, labels)

def text(answers, labels):
    return "good"
"""
NET = """
import torch

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.c = torch.nn.Conv2d(3, 4, 3)
        self.d = torch.nn.Linear(4 * 36, 5)

    def forward(self, image):
        return self.d(torch.relu(self.c(image)).flatten(1))
"""
MODEL = """
schema: 1
name: m
source: {path: w.pt, factory: "net:Net"}
code: mine
inputs: [{name: image, shape: [-1, 3, 8, 8], dtype: FP32}]
outputs: [{name: logits}]
"""


@pytest.fixture
def judged(digits_release, tmp_path):
    """The digits with a metric of their own: a folder to fetch from."""
    given = shutil.copytree(digits_release / "source", tmp_path / "given")
    (given / "code" / "__pycache__").mkdir(parents=True)
    (given / "code" / "__pycache__" / "judge.cpython-311.pyc").write_bytes(b"not of this machine")
    (given / "code" / "judge.py").write_text(JUDGE)
    change(given, name="judge:score")
    return given


@pytest.fixture
def weights(tmp_path):
    """Weights with a factory: a folder to fetch from."""
    import torch

    given = tmp_path / "weights"
    (given / "mine").mkdir(parents=True)
    (given / "mine" / "net.py").write_text(NET)
    (given / "model.yaml").write_text(MODEL)
    torch.save(net().state_dict(), given / "w.pt")
    return given


def change(given, name, higher=True):
    """Another function as the metric."""
    document = yaml.safe_load((given / "model.yaml").read_text())
    document["metric"] |= {"name": name, "higher_is_better": higher}
    (given / "model.yaml").write_text(yaml.safe_dump(document | {"code": "code"}))


def fetch(given, root, *options):
    """Run fetch-model; its exit status."""
    return fetch_model.main([f"--workspace={root}", f"--source={given}", *options])


def started(given, tmp_path):
    """A workspace after fetch-model with code allowed, and convert-model."""
    root = tmp_path / "run"
    assert fetch(given, root, "--allow-code=true") == 0
    assert convert_model.main([f"--workspace={root}"]) == 0
    return root


def test_code_is_refused_with_what_would_run(judged, weights, tmp_path, capsys):
    root = tmp_path / "run"
    assert fetch(weights, root) == 1
    said = capsys.readouterr().err
    assert "source.factory net:Net would run as Python" in said and "from its folder mine (1 file, sha256 " in said
    assert "set the Pipeline's param allow-code to 'true'" in said
    assert fetch(judged, root, "--allow-code=false") == 1
    assert "metric.name judge:score would run as Python" in capsys.readouterr().err
    assert not (root / "source").exists() and not (root / "release").exists()


def test_a_metric_of_one_s_own_is_measured_recorded_and_held(judged, tmp_path, capsys):
    root = started(judged, tmp_path)
    section = sections.read(root, SourceSection)
    assert section.code_sha256 == sha256_tree(root / "source" / "code")
    assert not (root / "source" / "code" / "__pycache__").exists(), "no bytecode is taken along"
    assert "may run its own Python (sha256" in capsys.readouterr().err
    assert verify_model.main([f"--workspace={root}", "--stage=f32"]) == 0
    metric = sections.read(root, VerificationF32Section).metric
    assert (metric.name, metric.own, metric.rows) == ("judge:score", True, 300) and metric.source > 0.95
    assert "judge:score 0.9" in capsys.readouterr().err
    assert optimize_model.main([f"--workspace={root}", "--precision=int8"]) == 0
    made = {one.precision: one.metric for one in sections.read(root, OptimizationSection).candidates}
    assert made["f32"] == pytest.approx(metric.source, abs=0.01) and made["int8"] > 0.9
    assert sha256_tree(root / "source" / "code") == section.code_sha256
    (root / "source" / "code" / "judge.py").write_text(JUDGE.replace("mean()", "max()"))
    for stage in ("f32", "deployed"):
        assert verify_model.main([f"--workspace={root}", f"--stage={stage}"]) == 1
        assert "is not the code that fetch-model allowed" in capsys.readouterr().err
    assert fetch(judged, root, "--allow-code=true") == 0, "fetched again, it is as it was"
    assert sections.read(root, SourceSection) == section
    (judged / "code" / "judge.py").write_text(JUDGE + "# changed\n")
    assert fetch(judged, root, "--allow-code=true") == 0
    changed = sections.read(root, SourceSection)
    assert changed.code_sha256 != section.code_sha256 and changed.sha256 == section.sha256


def test_layers_are_held_by_decisions_where_the_metric_is_of_all_rows(judged, tmp_path):
    work = workspace.read(started(judged, tmp_path))
    rows = samples.calibration(work.description, work.folder)
    control = accuracy_control.prepare(work.description, work.f32(), rows)
    assert control is not None and (control.metric, control.output) == ("accuracy", "logits")


@pytest.mark.parametrize(
    ("name", "status", "text"),
    [
        ("judge:text", 1, "metric.name judge:text: gave 'good'; it has to give one finite number"),
        ("judge:absent", 1, "metric.name judge:absent: judge has none of that name"),
        ("judge:JUDGED", 1, "judge has none of that name"),
        ("other:score", 1, "no other.py in the folder code"),
    ],
)
def test_a_metric_that_fails_is_one_line(judged, tmp_path, capsys, name, status, text):
    change(judged, name)
    root = started(judged, tmp_path)
    assert verify_model.main([f"--workspace={root}", "--stage=f32"]) == status
    assert text in capsys.readouterr().err
    assert not (root / "release" / "verification-f32.json").exists()


def test_the_code_is_part_of_the_identity(weights, tmp_path):
    root = started(weights, tmp_path)
    source = sections.read(root, SourceSection)
    assert source.framework == "pytorch" and source.code_sha256
    before = record.SourceIdentity(
        format=source.format, framework=source.framework, sha256=source.sha256,
        description_sha256=source.description_sha256, data_sha256="",
    )  # fmt: skip
    assert before.code_sha256 == "", "an older record had none"


def test_no_task_runs_code_that_the_section_does_not_allow(weights, tmp_path, capsys):
    root = started(weights, tmp_path)
    path = root / "release" / "source.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"code_sha256": ""}))
    for program, options in ((verify_model, ["--stage=f32"]), (convert_model, [])):
        assert program.main([f"--workspace={root}", *options]) == 1
        assert "fetch-model was not told to allow" in capsys.readouterr().err
    with pytest.raises(InputError, match="not told to allow"):
        timing.interleaved([subject(root)], [0], 0.1, tmp_path, {})


def subject(root):
    """The weights as they are timed."""
    feeds = [{"image": np.zeros((1, 3, 8, 8), np.float32)}]
    at = root / "source"
    return Subject("source", "source", at / "w.pt", feeds, format="state-dict", description=at / "model.yaml")


def test_weights_are_timed_with_their_factory(weights, tmp_path):
    found = timing.interleaved(
        [subject(started(weights, tmp_path))], workspace.machine.usable_cores()[:1], 0.2, tmp_path, {}
    )
    assert found["source"].p50_ms() > 0


@pytest.mark.parametrize(("compress", "element"), [(True, "f16"), (False, "f32")])
def test_fp16_compression_can_be_switched_off(weights, tmp_path, compress, element):
    text = (weights / "model.yaml").read_text()
    (weights / "model.yaml").write_text(f"{text}\ncompress_to_fp16: {str(compress).lower()}\n")
    root = started(weights, tmp_path)
    work = workspace.read(root)
    xml = candidates.make(work.description, "bf16", work.f32(), None, tmp_path / "made")
    constants = [one for one in execution.read(xml).get_ops() if one.get_type_name() == "Constant"]
    kinds = {one.get_element_type().get_type_name() for one in constants}
    assert element in kinds and ("f16" in kinds) == compress
    assert sections.read(root, ConversionSection).size_bytes > 0
    if not compress:
        assert optimize_model.main([f"--workspace={root}", "--precision=fp16"]) == 1

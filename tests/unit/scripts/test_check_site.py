"""check-site: the sum of requests against a profile."""

import io
import json

import pytest

from scripts import check_site

POD = """
kind: Deployment
metadata: {{name: {name}}}
spec:
  replicas: {replicas}
  template:
    spec:
      containers:
        - resources: {{requests: {{cpu: {cpu}, memory: {memory}}}}}
"""


def said(monkeypatch, capsys, text, *options):
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    status = check_site.main(list(options))
    return status, *capsys.readouterr()


def test_what_fits_is_shown(monkeypatch, capsys):
    text = POD.format(name="a", replicas=2, cpu="250m", memory="256Mi") + "---\nkind: Service\nspec: {}\n"
    status, out, _ = said(monkeypatch, capsys, text)
    assert status == 0
    assert [line.split()[-3:] for line in out.splitlines()] == [
        ["500m", "512", "MiB"], ["500m", "512", "MiB"], ["1500m", "2048", "MiB"],
    ]  # fmt: skip


@pytest.mark.parametrize(("cpu", "memory", "words"), [
    ("2", "64Mi", "2000m CPU of 1500m CPU asked for"),
    ("100m", "3Gi", "3072 MiB of 2048 MiB asked for"),
])  # fmt: skip
def test_what_does_not_fit_ends_with_3(monkeypatch, capsys, cpu, memory, words):
    status, out, err = said(monkeypatch, capsys, POD.format(name="a", replicas=1, cpu=cpu, memory=memory))
    assert status == 3 and words in err and "Deployment/a" in out


def test_a_larger_profile_holds_it(monkeypatch, capsys):
    text = POD.format(name="a", replicas=1, cpu="2", memory="3Gi")
    status, out, _ = said(monkeypatch, capsys, text, "--profile=sno-small", "--json")
    assert status == 0 and json.loads(out)["workloads"][0]["memory_mib"] == 3072


def test_who_asks_for_nothing_is_named(monkeypatch, capsys):
    text = "kind: List\nitems:\n  - {kind: Pod, metadata: {name: p}, spec: {containers: [{name: c}]}}\n"
    assert "Pod/p (asks for nothing)" in said(monkeypatch, capsys, text)[1]


def test_several_files_are_added_up(tmp_path, capsys):
    for name in ("a", "b"):
        (tmp_path / name).write_text(POD.format(name=name, replicas=1, cpu="100m", memory="64Mi"))
    assert check_site.main([str(tmp_path / "a"), str(tmp_path / "b")]) == 0
    assert " 200m     128 MiB" in capsys.readouterr().out


@pytest.mark.parametrize(("text", "words"), [
    ("a: [", "not YAML"), ("", "no object is given"), ("---\n---\n", "no object is given"),
])  # fmt: skip
def test_bad_input_is_one_line(monkeypatch, capsys, text, words):
    """A kubectl kustomize that failed prints nothing, and nothing fits every site."""
    status, _, err = said(monkeypatch, capsys, text)
    assert (status, words in err, err.count("\n")) == (1, True, 1)


@pytest.mark.parametrize("predictor", ["model: {resources: ", "containers: [{resources: "])
def test_a_model_of_kserve_is_counted_once(monkeypatch, capsys, predictor):
    asked = "{requests: {cpu: 250m, memory: 128Mi}}"
    text = (
        f"kind: InferenceService\nmetadata: {{name: m}}\nspec: {{predictor: {{{predictor}{asked}"
        f"{'}' if predictor.startswith('m') else '}]'}}}}}\n---\n"
        f"kind: ServingRuntime\nmetadata: {{name: m}}\nspec: {{containers: [{{resources: {asked}}}]}}\n"
    )
    status, out, _ = said(monkeypatch, capsys, text)
    assert status == 0
    assert [line.split()[:2] for line in out.splitlines()][:2] == [["InferenceService/m", "250m"], ["sum", "250m"]]


def test_a_file_that_is_not_there(capsys):
    assert check_site.main(["nowhere.yaml"]) == 1
    assert "nowhere.yaml" in capsys.readouterr().err

"""`--resume`: what is taken over, and above all what is not."""

import os

import pytest

from nearedge.runner import events
from tests.pipelines.lab import Lab, states

MANIFEST = """
apiVersion: tekton.dev/v1
kind: Pipeline
metadata: {name: p}
spec:
  params: [{name: word, default: one}, {name: source, default: ""}, {name: switch, default: "on"}]
  workspaces: [{name: w}]
  results: [{name: made, value: $(tasks.make.results.r)}]
  tasks:
    - name: make
      params: [{name: word, value: $(params.word)}, {name: source, value: $(params.source)}]
      workspaces: [{name: w}]
      taskSpec:
        params: [{name: word}, {name: source}]
        workspaces: [{name: w}]
        results: [{name: r}]
        steps:
          - name: s
            image: i
            command: [sh, -c]
            args: ['echo $0 > $(workspaces.w.path)/made; printf $0 > $(results.r.path)', $(params.word)]
    - name: beside
      taskSpec: {steps: [{name: s, image: i, command: ["true"]}]}
    - name: use
      params: [{name: r, value: $(tasks.make.results.r)}]
      workspaces: [{name: w}]
      taskSpec:
        params: [{name: r}]
        workspaces: [{name: w}]
        steps:
          - name: s
            image: i
            command: [sh, -c]
            args: ['cat $(workspaces.w.path)/made > $(workspaces.w.path)/used']
    - name: maybe
      runAfter: [use]
      when: [{input: $(params.switch), operator: in, values: ["on"]}]
      workspaces: [{name: w}]
      taskSpec:
        workspaces: [{name: w}]
        steps:
          - name: s
            image: i
            command: [sh, -c]
            args: ['echo tried >> $(workspaces.w.path)/tried; test ! -e $(workspaces.w.path)/../fail']
  finally:
    - name: fin
      taskSpec: {steps: [{name: s, image: i, command: ["true"]}]}
"""
ALL = {"make", "beside", "use", "maybe"}


class Again(Lab):
    """A lab that runs the same Pipeline under one name."""

    @property
    def space(self):
        return self.folder / "w"

    def go(self, again=True, text=MANIFEST, **params):
        self.events.clear()
        return self.run(text, again=again, name="same", params=params, workspaces={"w": str(self.space)})

    def reused(self):
        return {event.label for event in self.events if isinstance(event, events.TaskReused)}

    def ran(self):
        return {event.label for event in self.events if isinstance(event, events.TaskStarted)}


@pytest.fixture
def lab(tmp_path):
    (tmp_path / "w").mkdir()
    lab = Again(tmp_path)
    assert lab.go(again=False).succeeded
    return lab


def test_nothing_changed(lab):
    result = lab.go()
    assert result.succeeded
    assert lab.reused() == ALL
    assert lab.ran() == {"fin"}
    assert result.results == {"made": "one"}
    assert result.tasks["make"].reused
    assert result.tasks["make"].results == ({"r": "one"},)
    references = {item["pipelineTaskName"] for item in lab.kept(result)["status"]["childReferences"]}
    assert references == ALL | {"fin"}


def test_another_param_runs_its_task_and_what_depends_on_it(lab):
    lab.go(word="two")
    assert lab.ran() == {"make", "use", "maybe", "fin"}
    assert (lab.space / "used").read_text() == "two\n"
    lab.go(word="two")
    assert lab.reused() == ALL


def test_another_spec_runs_its_task_again(lab):
    lab.go(text=MANIFEST.replace("echo tried", "echo again"))
    assert "maybe" in lab.ran()
    assert "make" in lab.reused()


@pytest.mark.parametrize("edit", ["change", "touch", "remove", "add"])
def test_an_edited_workspace_runs_what_saw_it_again(lab, edit):
    path = lab.space / "made"
    if edit == "change":
        path.write_text("forged\n")
    elif edit == "touch":
        os.utime(path)
    elif edit == "remove":
        path.unlink()
    else:
        (lab.space / "new").write_text("x")
    assert lab.go().succeeded
    assert lab.ran() >= {"make", "use", "maybe"}
    assert lab.reused() == {"beside"}
    assert (lab.space / "used").read_text() == "one\n"


def test_only_the_last_output_is_gone(lab):
    (lab.space / "tried").unlink()
    lab.go()
    assert lab.ran() == {"maybe", "fin"}


def test_after_a_failure_only_the_rest_runs(tmp_path):
    (tmp_path / "w").mkdir()
    lab = Again(tmp_path)
    fail = tmp_path / "fail"
    fail.touch()
    assert states(lab.go(again=False))["maybe"] == "Failed"
    fail.unlink()
    assert lab.go().succeeded
    assert lab.ran() == {"maybe", "fin"}
    assert lab.reused() == {"make", "beside", "use"}


def test_a_failed_task_that_wrote_over_anothers_file_runs_both_again(tmp_path):
    (tmp_path / "w").mkdir()
    lab, spoiling = (
        Again(tmp_path),
        MANIFEST.replace("echo tried", "echo spoilt > $(workspaces.w.path)/used; echo tried"),
    )
    (tmp_path / "fail").touch()
    lab.go(again=False, text=spoiling)
    (tmp_path / "fail").unlink()
    lab.go(text=spoiling)
    assert "use" in lab.ran()
    assert "make" in lab.reused()


def test_what_a_path_param_names_is_watched(tmp_path):
    (tmp_path / "w").mkdir()
    source = tmp_path / "source"
    source.mkdir()
    (source / "data").write_text("1")
    lab = Again(tmp_path)
    lab.go(again=False, source=str(source))
    lab.go(source=str(source))
    assert lab.reused() == ALL
    (source / "data").write_text("2")
    lab.go(source=str(source))
    assert "make" in lab.ran()


def test_a_task_that_is_skipped_now_is_skipped(lab):
    result = lab.go(switch="off")
    assert states(result)["maybe"] == "Skipped"
    assert lab.reused() == {"make", "beside", "use"}


def test_a_matrix_is_taken_over_whole_or_not_at_all(tmp_path):
    text = """
    apiVersion: tekton.dev/v1
    kind: PipelineRun
    metadata: {generateName: m-}
    spec:
      pipelineSpec:
        params: [{name: items, type: array, default: [a, b]}]
        tasks:
          - name: fan
            matrix: {params: [{name: x, value: "$(params.items[*])"}]}
            taskSpec:
              params: [{name: x}]
              results: [{name: r}]
              steps: [{name: s, image: i, command: [sh, -c], args: ['printf $(params.x) > $(results.r.path)']}]
          - name: collect
            params: [{name: all, value: "$(tasks.fan.results.r[*])"}]
            taskSpec:
              params: [{name: all, type: array}]
              steps: [{name: s, image: i, command: [echo], args: ["$(params.all[*])"]}]
    """
    lab = Again(tmp_path)
    lab.run(text, name="same")
    lab.events.clear()
    lab.run(text, name="same", again=True)
    assert lab.reused() == {"fan.0", "fan.1", "collect"}
    lab.events.clear()
    result = lab.run(text, name="same", again=True, params={"items": ["a", "c"]})
    assert lab.ran() == {"fan.0", "fan.1", "collect"}
    assert lab.log(result, "collect") == "a c\n"


def test_damaged_records_are_not_trusted(lab):
    for path in (lab.root / "same" / "records").glob("*.json"):
        path.write_text("{")
    lab.go()
    assert lab.reused() == set()

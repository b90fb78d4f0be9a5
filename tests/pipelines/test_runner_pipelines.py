"""Whole small Pipelines through the local runner: order, skips, finally, retries, limits, matrix, documents."""

import json
import os
import re
import threading
import time
from pathlib import Path

import jsonschema
import pytest

from nearedge.errors import InputError
from nearedge.runner import engine, events
from tests.pipelines.lab import Lab, pipeline, shell, skips, states

SCHEMAS = Path(__file__).parents[1] / "contract" / "tekton"
GIVE = "printf %s given > $(results.r.path)"


@pytest.fixture
def lab(tmp_path):
    return Lab(tmp_path)


def test_results_params_and_workspaces_flow(lab):
    (lab.folder / "shared").mkdir()
    result = lab.run(
        """
        apiVersion: tekton.dev/v1
        kind: Task
        metadata: {name: greet}
        spec:
          params:
            - {name: who}
            - {name: rest, type: array, default: [a, "b c"]}
            - {name: o, type: object, properties: {x: {type: string}, y: {type: string}}, default: {x: dx, y: dy}}
          workspaces: [{name: out}, {name: maybe, optional: true}]
          results: [{name: text}, {name: items, type: array}, {name: pair, type: object, properties: {k: {}}}]
          stepTemplate:
            env: [{name: HOME, value: /tekton/home}, {name: A, value: template}]
          steps:
            - name: write
              image: busybox
              command: [python3, -c]
              env: [{name: A, value: own}, {name: B, value: "$(A)-$(params.who)"}]
              args:
                - |
                  import json, os, sys
                  keep = {name: os.environ[name] for name in ("A", "B", "HOME", "TMPDIR")}
                  open("$(workspaces.out.path)/seen.json", "w").write(json.dumps([sys.argv[1:], keep, os.getcwd()]))
                  open("$(results.text.path)", "w").write("hello " + sys.argv[1])
                  open("$(results.items.path)", "w").write(json.dumps(sys.argv[2:4]))
                  open("$(results.pair.path)", "w").write('{"k": "v"}')
                - $(params.who)
                - $(params.rest[*])
                - $(params.o.x)$(params.o.y)
                - --maybe=$(workspaces.maybe.path)
                - $(workspaces.maybe.bound)
                - $(context.task.name)/$(context.taskRun.name)
        ---
        apiVersion: tekton.dev/v1
        kind: Pipeline
        metadata: {name: greetings}
        spec:
          params: [{name: who}]
          workspaces: [{name: shared}]
          results:
            - {name: last, value: "$(tasks.two.results.text)!"}
            - {name: items, type: array, value: "$(tasks.one.results.items[*])"}
          tasks:
            - name: two
              taskRef: {name: greet}
              params:
                - name: who
                  value: "$(tasks.one.results.text) $(tasks.one.results.items[1]) $(tasks.one.results.pair.k)"
                - {name: rest, value: ["$(tasks.one.results.items[*])", "$(context.pipeline.name)"]}
                - {name: o, value: {x: "$(params.who)"}}
              workspaces: [{name: out, workspace: shared, subPath: deep/$(params.who)}]
            - name: one
              taskRef: {name: greet}
              params: [{name: who, value: "it's \\"$(params.who)\\" $(id)"}]
              workspaces: [{name: out, workspace: shared}]
        """,
        params={"who": "you"},
        workspaces={"shared": str(lab.folder / "shared")},
    )
    assert result.succeeded, result
    assert result.exit_status == 0
    args, env, cwd = json.loads((lab.folder / "shared" / "seen.json").read_text())
    first = 'it\'s "you" $(id)'
    assert args == [first, "a", "b c", "dxdy", "--maybe=", "false", f"greet/{result.name}-one"]
    assert env["A"] == "own"
    assert env["B"] == f"own-{first}"
    assert env["HOME"].startswith(str(result.folder))
    assert env["TMPDIR"].startswith(str(result.folder))
    assert cwd.startswith(str(result.folder))
    second, _, _ = json.loads((lab.folder / "shared" / "deep" / "you" / "seen.json").read_text())
    assert second[:5] == [f"hello {first} b c v", "a", "b c", "greetings", "youdy"]
    assert result.results == {"last": f"hello hello {first} b c v!", "items": ["a", "b c"]}
    assert not (result.folder / "work").exists() or not list((result.folder / "work").iterdir())


def test_the_exit_status_of_the_first_failed_step_is_the_runs(lab):
    result = lab.run(
        pipeline(
            shell("bad", "echo nearedge x: wrong >&2; exit 3"),
            shell("slow", "sleep 0.5"),
            shell("never", "true", "runAfter: [slow]"),
            final=(
                """
          - name: fin
            params:
              - {name: all, value: "$(tasks.bad.status) $(tasks.bad.reason) $(tasks.never.status) $(tasks.status)"}
            taskSpec:
              params: [{name: all}]
              steps: [{name: s, image: i, command: [echo], args: [$(params.all)]}]""",
            ),
        )
    )
    assert (result.exit_status, result.reason, result.succeeded) == (3, "Failed", False)
    assert states(result) == {"bad": "Failed", "slow": "Succeeded", "never": "Skipped", "fin": "Succeeded"}
    assert skips(result) == {"never": "STOPPING"}
    assert lab.log(result, "fin").strip() == "Failed Failed None Failed"
    assert result.message == "Tasks Completed: 3 (Failed: 1, Cancelled 0), Skipped: 1"


def test_when_skips_itself_and_what_needs_its_results_but_not_what_only_follows(lab):
    result = lab.run(
        pipeline(
            shell("not-on", GIVE, "when: [{input: a, operator: in, values: [b]}]"),
            shell("follows", GIVE, "runAfter: [not-on]"),
            shell("needs", "echo $(tasks.not-on.results.r)"),
            shell("needs-the-needing", "true", "runAfter: [needs]"),
            shell("chosen", "true", 'when: [{input: "$(tasks.follows.results.r)", operator: in, values: [given]}]'),
            final=(shell("fin", "echo $(tasks.not-on.results.r)"), shell("fin2", "echo $(tasks.follows.results.r)")),
        )
    )
    assert (result.reason, result.exit_status) == ("Completed", 0)
    assert skips(result) == {
        "not-on": "WHEN", "needs": "MISSING_RESULTS", "needs-the-needing": "PARENT", "fin": "MISSING_RESULTS",
    }  # fmt: skip
    assert states(result)["chosen"] == states(result)["follows"] == states(result)["fin2"] == "Succeeded"
    reasons = {item["name"]: item["reason"] for item in lab.kept(result)["status"]["skippedTasks"]}
    assert reasons["not-on"] == "When Expressions evaluated to false"
    assert reasons["needs"] == "Results were missing"


def test_a_result_that_a_successful_task_did_not_give_fails_the_run_without_finally(lab):
    result = lab.run(
        pipeline(
            shell("silent", "true"),
            shell("long", "sleep 30"),
            shell("needs", "echo $(tasks.silent.results.r)"),
            shell("later", "true", "runAfter: [long]"),
            final=(shell("fin", "true"),),
        )
    )
    assert (result.reason, result.exit_status) == ("InvalidTaskResultReference", 1)
    assert "tasks.silent.results.r" in result.message
    assert states(result)["long"] == "Cancelled"
    assert states(result)["fin"] == "Waiting"


def test_failures_may_be_ignored(lab):
    result = lab.run(
        pipeline(
            shell("bad", "exit 4", "onError: continue"),
            shell("after", GIVE, "runAfter: [bad]"),
            """
          - name: steps
            taskSpec:
              steps:
                - {name: one, image: i, onError: continue, command: [sh, -c], args: [exit 7]}
                - {name: two, image: i, command: [cat], args: [$(steps.step-one.exitCode.path)]}""",
        )
    )
    assert (result.reason, result.exit_status) == ("Succeeded", 0)
    assert states(result) == {"bad": "Failed", "after": "Succeeded", "steps": "Succeeded"}
    assert lab.log(result, "steps", "two") == "7"
    assert lab.child(result, "steps")["status"]["steps"][0]["terminationReason"] == "Continued"
    assert "(Ignored: 1)" in result.message


def test_retries(lab):
    counter = lab.folder / "count"
    script = f"echo x >> {counter}; echo try $(context.task.retry-count); test $(wc -l < {counter}) -ge 3"
    result = lab.run(pipeline(shell("flaky", script, "retries: 5")))
    assert result.succeeded
    document = lab.child(result, "flaky")
    assert len(document["status"]["retriesStatus"]) == 2
    assert document["status"]["retriesStatus"][0]["conditions"][0]["status"] == "False"
    assert (result.folder / "logs" / "flaky" / "s.retry-2.log").read_text() == "try 2\n"
    assert [event.attempt for event in lab.events if isinstance(event, events.TaskRetried)] == [1, 2]


def test_retries_run_out(lab):
    result = lab.run(pipeline(shell("bad", "exit 9", "retries: 1")))
    assert result.exit_status == 9
    assert len(lab.child(result, "bad")["status"]["retriesStatus"]) == 1


def test_a_tasks_time_limit(lab):
    result = lab.run(pipeline(shell("slow", "sleep 30", "timeout: 300ms"), final=(shell("fin", "true"),)))
    assert (result.reason, result.exit_status) == ("Failed", 1)
    assert result.tasks["slow"].message == "TaskRun failed to finish within 0.3s"
    assert lab.child(result, "slow")["status"]["steps"][0]["terminationReason"] == "TimeoutExceeded"
    assert states(result)["fin"] == "Succeeded"


def test_a_steps_time_limit(lab):
    text = pipeline(shell("slow", "sleep 30")).replace("name: s,", "name: s, timeout: 200ms,")
    assert "exceeded its timeout of 0.2s" in lab.run(text).tasks["slow"].message


@pytest.mark.parametrize(
    ("limits", "reason", "final"),
    [
        ("{tasks: 500ms}", "PipelineRunTimeout", "Succeeded"),
        ("{pipeline: 500ms}", "PipelineRunTimeout", "Skipped"),
    ],
)
def test_the_runs_time_limits(lab, limits, reason, final):
    result = lab.run(
        pipeline(
            shell("slow", "sleep 30"),
            shell("next", "true", "runAfter: [slow]"),
            final=(shell("fin", "true"),),
            top=f"timeouts: {limits}",
        )
    )
    assert (result.reason, result.exit_status) == (reason, 1)
    assert states(result)["slow"] == "Cancelled"
    assert states(result)["fin"] == final
    assert "failed to finish within 0.5s" in result.message


def test_the_time_limit_of_finally(lab):
    result = lab.run(pipeline(shell("a", "true"), final=(shell("fin", "sleep 30"),), top="timeouts: {finally: 300ms}"))
    assert (result.reason, states(result)["fin"]) == ("Failed", "Cancelled")


def test_a_matrix(lab):
    result = lab.run(
        """
        apiVersion: tekton.dev/v1
        kind: PipelineRun
        metadata: {generateName: m-}
        spec:
          pipelineSpec:
            results: [{name: all, type: array, value: "$(tasks.fan.results.r[*])"}]
            tasks:
              - name: fan
                matrix:
                  params: [{name: a, value: [x, y]}, {name: b, value: ["1", "2"]}]
                  include: [{name: extra, params: [{name: a, value: z}, {name: b, value: "0"}]}]
                taskSpec:
                  params: [{name: a}, {name: b}]
                  results: [{name: r}]
                  steps:
                    - name: s
                      image: i
                      command: [sh, -c]
                      args: ['printf %s $(params.a)$(params.b) > $(results.r.path)']
              - name: collect
                params:
                  - {name: all, value: ["$(tasks.fan.results.r[*])"]}
                  - {name: n, value: "$(tasks.fan.matrix.length)"}
                taskSpec:
                  params: [{name: all, type: array}, {name: n}]
                  steps: [{name: s, image: i, command: [echo], args: [$(params.n), "$(params.all[*])"]}]
              - name: nothing
                matrix: {params: [{name: a, value: []}]}
                taskSpec: {params: [{name: a}], steps: [{name: s, image: i, command: ["true"]}]}
        """
    )
    assert result.succeeded, result
    assert lab.log(result, "collect") == "5 x1 y1 x2 y2 z0\n"
    assert result.results == {"all": ["x1", "y1", "x2", "y2", "z0"]}
    assert skips(result) == {"nothing": "EMPTY_MATRIX"}
    assert len(result.tasks["fan"].results) == 5


def test_independent_tasks_run_at_the_same_time(lab):
    """Each of two Tasks waits for the other: one after the other they would never end."""
    meet = "touch {a}; for i in 1 2 3 4 5 6 7 8 9 10; do test -e {b} && exit 0; sleep 0.2; done; exit 1"
    a, b = lab.folder / "a", lab.folder / "b"
    result = lab.run(pipeline(shell("left", meet.format(a=a, b=b)), shell("right", meet.format(a=b, b=a))))
    assert result.succeeded


def test_scripts(lab):
    result = lab.run(
        """
        apiVersion: tekton.dev/v1
        kind: TaskRun
        metadata: {name: scripts}
        spec:
          params: [{name: p, value: "it's"}]
          taskSpec:
            params: [{name: p}]
            steps:
              - name: shell
                image: i
                script: |
                  echo "$0" | grep -q scripts && echo "$(params.p)"
                  false
                  echo unreachable
                onError: continue
              - name: python
                image: i
                script: |
                  #!/usr/bin/env python3
                  import sys
                  print(sys.argv[1:])
                args: [one, $(params.p)]
        """
    )
    assert result.succeeded, result
    assert lab.log(result, "scripts", "shell") == "it's\n"
    assert lab.log(result, "scripts", "python") == '["one", "it\'s"]\n'.replace('"one"', "'one'")
    warnings = [event.text for event in lab.events if isinstance(event, events.Note) and event.warning]
    assert len(warnings) == 1
    assert "stands inside its script" in warnings[0]


def test_a_failed_step_ends_its_task(lab):
    result = lab.run(
        """
        apiVersion: tekton.dev/v1
        kind: TaskRun
        metadata: {name: three}
        spec:
          taskSpec:
            results: [{name: early}]
            steps:
              - {name: one, image: i, command: [sh, -c], args: ['printf x > $(results.early.path)']}
              - {name: two, image: i, command: [no-such-program]}
              - {name: three, image: i, command: [touch], args: [never]}
        """
    )
    assert result.exit_status == 127
    assert "cannot start no-such-program: no such file" in result.tasks["three"].message
    steps = lab.child(result, "three")["status"]["steps"]
    assert [step["terminationReason"] for step in steps] == ["Completed", "Error", "Skipped"]
    assert result.tasks["three"].results == ({"early": "x"},)


@pytest.mark.parametrize(
    ("declared", "script", "reason"),
    [
        ("{name: r, type: array}", "printf no-json > $(results.r.path)", "TaskRunValidationFailed"),
        ("{name: r, type: array}", 'printf "[1]" > $(results.r.path)', "TaskRunValidationFailed"),
        ("{name: r}", "printf %03900d 0 > $(results.r.path)", ""),
        ("{name: r}", "printf %04050d 0 > $(results.r.path)", "TaskRunResultLargerThanAllowedLimit"),
    ],
)
def test_results_are_held_to_type_and_size(lab, declared, script, reason):
    text = pipeline(shell("a", script)).replace("{name: r, type: string}", declared)
    result = lab.run(text)
    assert result.succeeded is (reason == "")
    if reason:
        assert lab.child(result, "a")["status"]["conditions"][0]["reason"] == reason
        assert result.exit_status == 1


def test_step_results(lab):
    result = lab.run(
        """
        apiVersion: tekton.dev/v1
        kind: TaskRun
        metadata: {name: steps}
        spec:
          taskSpec:
            results: [{name: final, value: $(steps.one.results.x)}]
            steps:
              - name: one
                image: i
                results: [{name: x}]
                command: [sh, -c]
                args: ['printf 42 > $(step.results.x.path)']
              - {name: two, image: i, command: [echo], args: [$(steps.one.results.x)]}
        """
    )
    assert result.results == {"final": "42"}
    assert lab.log(result, "steps", "two") == "42\n"


def test_empty_dirs_are_each_taskruns_own_and_claims_are_shared(lab):
    look = (
        "ls $(workspaces.own.path) $(workspaces.claim.path); touch $(workspaces.own.path)/x $(workspaces.claim.path)/y"
    )
    top = (
        "workspaces: [{name: own, emptyDir: {}}, "
        "{name: claim, volumeClaimTemplate: {spec: {accessModes: [ReadWriteOnce]}}}]"
    )
    result = lab.run(pipeline(shell("a", look), shell("b", look, "runAfter: [a]"), top=top))
    assert result.succeeded
    assert "x" not in lab.log(result, "b").split()
    assert "y" in lab.log(result, "b").split()
    assert (result.folder / "volumes" / "claim" / "y").exists()


def test_interrupted_tasks_stop_with_their_children_and_finally_runs(lab):
    tree = 'sh -c "sleep 41.5" & setsid sleep 41.5 & echo $$$$ > {pid}; wait'
    control = engine.Interrupts()
    pid = lab.folder / "pid"

    def interrupt():
        while not pid.exists():
            time.sleep(0.05)
        control.stop()

    thread = threading.Thread(target=interrupt)
    thread.start()
    result = lab.run(
        pipeline(
            shell("long", tree.format(pid=pid)),
            shell("next", "true", "runAfter: [long]"),
            final=(shell("fin", "true"),),
        ),
        control=control,
    )
    thread.join()
    assert (result.exit_status, result.reason) == (130, "Cancelled")
    assert states(result) == {"long": "Cancelled", "next": "Skipped", "fin": "Succeeded"}
    assert skips(result) == {"next": "CANCELLED"}
    assert ends("41.5")
    assert lab.kept(result)["status"]["conditions"][0]["status"] == "False"


def test_a_second_interrupt_stops_at_once(lab):
    control = engine.Interrupts()
    ready = lab.folder / "ready"

    def interrupt():
        while not ready.exists():
            time.sleep(0.05)
        control.stop()
        time.sleep(0.2)
        control.stop()

    thread = threading.Thread(target=interrupt)
    thread.start()
    stubborn = f'trap "" TERM; touch {ready}; sleep 42.5; sleep 42.5'
    began = time.monotonic()
    result = lab.run(pipeline(shell("stubborn", stubborn), final=(shell("fin", "true"),)), control=control)
    thread.join()
    assert result.exit_status == 130
    assert states(result)["fin"] == "Skipped"
    assert time.monotonic() - began < 9
    assert ends("42.5")


def ends(seconds):
    """Whether no process that sleeps so long is left, before it could have ended by itself."""
    until = time.monotonic() + 30
    while any(seconds in command for command in commands()):
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


def commands():
    """The command lines of all processes that sleep."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue
    return [cmd for cmd in found if cmd.startswith("sleep")]


def test_what_a_step_leaves_in_the_background_ends_with_it(lab):
    result = lab.run(pipeline(shell("leaves", "sleep 43.5 & sleep 43.5 & true")))
    assert result.succeeded
    assert ends("43.5")


def test_the_documents_are_tektons(lab):
    """run.json and taskruns/ hold against the CRDs, strictly."""
    result = lab.run(
        pipeline(
            shell("a", GIVE, "retries: 1"),
            shell("b", "exit 3", "when: [{input: x, operator: in, values: [x]}]"),
            shell("c", "true", "runAfter: [b]"),
        )
    )
    run = json.loads((SCHEMAS / "PipelineRun.json").read_text())
    child = json.loads((SCHEMAS / "TaskRun.json").read_text())
    jsonschema.Draft202012Validator(run).validate(lab.kept(result))
    for label in ("a", "b"):
        jsonschema.Draft202012Validator(child).validate(lab.child(result, label))
    status = lab.kept(result)["status"]
    assert {reference["pipelineTaskName"] for reference in status["childReferences"]} == {"a", "b"}
    assert [item["name"] for item in status["skippedTasks"]] == ["c"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", status["completionTime"])
    assert lab.child(result, "a")["status"]["results"] == [{"name": "r", "type": "string", "value": "given"}]


def test_accepted_fields_are_in_the_runs_log(lab):
    text = pipeline(shell("a", "true"), top="taskRunTemplate: {serviceAccountName: x}")
    result = lab.run(text)
    assert "spec.taskRunTemplate: accepted without effect" in (result.folder / "run.log").read_text()


def test_a_run_of_the_same_name_is_refused(lab):
    text = pipeline(shell("a", "true"))
    lab.run(text, name="twice")
    with pytest.raises(InputError, match="run twice: is there already"):
        lab.run(text, name="twice")


def test_a_run_that_goes_on_is_refused(lab):
    ready, go = lab.folder / "ready", lab.folder / "go"
    text = pipeline(shell("a", f"touch {ready}; while [ ! -e {go} ]; do sleep 0.05; done"))
    thread = threading.Thread(target=lambda: lab.run(text, name="busy"))
    thread.start()
    while not ready.exists():
        time.sleep(0.02)
    with pytest.raises(InputError, match="run busy: is running already"):
        lab.run(text, name="busy", again=True)
    go.touch()
    thread.join()


def test_our_own_images_run_in_this_environment_without_asking(lab):
    text = pipeline(shell("a", "command -v python; echo $HOME")).replace(
        "image: i", "image: reg:5/x/nearedge/core:1@sha256:a"
    )
    result = lab.run(text, on_host=False)
    assert result.succeeded
    python, home = lab.log(result, "a").split("\n")[:2]
    assert Path(python).resolve() == Path(os.sys.executable).resolve()
    assert home == os.environ.get("HOME", "")

"""Random Pipelines: what the engine runs, skips and in which order, held against a simple model of Tekton's rules.

The model shares no code with the engine. It looks at one Task after the other, in an order in which parents come first,
and knows nothing of time: a failure that is not ignored skips every Task that does not come before it, so a Pipeline
has at most one of those, and Tasks beside it may end either way.
"""

import random

import pytest

from tests.pipelines.lab import Lab, pipeline, shell, skips, states

SEEDS = range(24)


def generate(seed):
    """Tasks as maps: name, parents by order and by result, whether its guard holds, whether it fails and is ignored."""
    rng = random.Random(seed)
    tasks = []
    for number in range(rng.randint(3, 11)):
        before = [task["name"] for task in tasks]
        order = rng.sample(before, min(len(before), rng.choice([0, 0, 1, 2])))
        uses = rng.sample(before, min(len(before), rng.choice([0, 1, 1, 2])))
        tasks.append(
            {
                "name": f"t{number}",
                "order": order,
                "uses": uses,
                "guard": rng.random() > 0.2,
                "fails": rng.random() < 0.15,
                "ignored": True,
            }
        )
    if rng.random() < 0.4:
        rng.choice(tasks).update(fails=True, ignored=False)
    return tasks


def expected(tasks):
    """What becomes of each Task where time plays no part: a state, or the reason it is skipped."""
    found = {}
    for task in tasks:
        parents = [found[name] for name in task["order"] + task["uses"]]
        if any(state not in ("Succeeded", "Failed", "WHEN") for state in parents):
            found[task["name"]] = "PARENT"
        elif any(found[name] == "WHEN" for name in task["uses"]):
            found[task["name"]] = "MISSING_RESULTS"
        elif not task["guard"]:
            found[task["name"]] = "WHEN"
        else:
            found[task["name"]] = "Failed" if task["fails"] else "Succeeded"
    return found


def descendants(tasks, name):
    """The Tasks that come after one, however far."""
    found = {name}
    for task in tasks:
        if found & {*task["order"], *task["uses"]}:
            found.add(task["name"])
    return found - {name}


def manifest(tasks, journal):
    """The Pipeline; each Task notes its begin and end, and gives its result before it may fail."""
    pieces = []
    for task in tasks:
        name = task["name"]
        script = f"echo begin {name} >> {journal}; printf x > $(results.r.path); echo end {name} >> {journal}"
        script += "; exit 1" if task["fails"] else ""
        lines = [
            f"runAfter: [{', '.join(task['order'])}]",
            f"onError: {'continue' if task['ignored'] else 'stopAndFail'}",
        ]
        guards = [f"{{input: a, operator: in, values: [{'a' if task['guard'] else 'b'}]}}"]
        # A guard that always holds is how a Task uses a result here, every other time; else it is a param.
        guards += [f'{{input: "$(tasks.{name}.results.r)", operator: in, values: [x]}}' for name in task["uses"][::2]]
        lines.append(f"when: [{', '.join(guards)}]")
        params = [
            f'{{name: p{number}, value: "$(tasks.{parent}.results.r)"}}'
            for number, parent in enumerate(task["uses"][1::2])
        ]
        lines.append(f"params: [{', '.join(params)}]")
        pieces.append(shell(task["name"], script, *lines))
    rng = random.Random(len(tasks))
    rng.shuffle(pieces)
    return pipeline(*pieces, final=(shell("fin", f"echo begin fin >> {journal}"),))


def check_order(tasks, lines):
    """Nobody begins before its parents that ran have ended; finally begins last."""
    for task in tasks:
        if f"begin {task['name']}" in lines:
            begin = lines.index(f"begin {task['name']}")
            for parent in task["order"] + task["uses"]:
                assert f"end {parent}" not in lines or lines.index(f"end {parent}") < begin
    assert lines[-1] == "begin fin"
    assert len(lines) == len(set(lines))


@pytest.mark.parametrize("seed", SEEDS)
def test_random_pipelines(tmp_path, seed):
    tasks = generate(seed)
    journal = tmp_path / "journal"
    journal.touch()
    result = Lab(tmp_path).run(manifest(tasks, journal), parallel=random.Random(seed).choice([1, 3, 8]))
    found = {name: state for name, state in states(result).items() if name != "fin"} | skips(result)
    model = expected(tasks)
    fatal = [
        task["name"] for task in tasks if task["fails"] and not task["ignored"] and model[task["name"]] == "Failed"
    ]
    check_order(tasks, journal.read_text().splitlines())
    assert {name for name, state in found.items() if state in ("Succeeded", "Failed")} == {
        line.removeprefix("begin ") for line in journal.read_text().splitlines() if line.startswith("begin t")
    }
    if not fatal:
        assert found == model
        assert result.exit_status == 0
        return
    assert result.exit_status == 1
    for name, state in found.items():
        assert state in (model[name], "STOPPING")
    assert all(
        found[name] == "STOPPING" or found[name] in ("PARENT", "MISSING_RESULTS")
        for name in descendants(tasks, fatal[0])
    )
    assert found[fatal[0]] == "Failed"


def test_the_model_sees_every_case():
    """The seeds between them show each kind of end, so that the comparison above can fail."""
    seen = {state for seed in SEEDS for state in expected(generate(seed)).values()}
    assert seen == {"Succeeded", "Failed", "WHEN", "PARENT", "MISSING_RESULTS"}
    assert 4 < sum(any(task["fails"] and not task["ignored"] for task in generate(seed)) for seed in SEEDS) < 20

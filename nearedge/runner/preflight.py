"""What is looked at before a run starts, beyond its manifests' own rules: whether steps can run here, and doubts."""

from nearedge.errors import InputError, UnsupportedError
from nearedge.runner import backend, substitution
from nearedge.runner.model import Pipeline, PipelineTask
from nearedge.runner.substitution import Scope, references

# Paths at which an emptyDir makes no difference here.
MOUNTED_ANYWAY = ("/tmp", "/var/tmp")  # noqa: S108  (names in manifests, not files)


def check_images(pipeline: Pipeline, scope: Scope, on_host: bool) -> None:
    """Raise UnsupportedError for a step that cannot run here, as far as its image is known before the run."""
    for task in pipeline.every():
        inner = known_params(task, scope)
        for step in task.task.steps:
            image = substitution.text(step["image"], inner)
            if not list(references(image)):
                has_command = bool(step.get("command") or step.get("script"))
                backend.check(image, on_host, has_command, f"Task {task.name}: step {step['name']}")


def check_mounts(pipeline: Pipeline) -> None:
    """Hold the volumeMounts of every step and sidecar against what this machine can do.

    TMPDIR is a private folder of the TaskRun, so an emptyDir on /tmp needs nothing more. Another path would not be
    there, or be the machine's own: UnsupportedError. InputError for a mount of a volume that is not declared.
    """
    for task in pipeline.every():
        volumes = {volume["name"] for volume in task.task.spec.get("volumes") or []}
        for item in (*task.task.steps, *task.task.sidecars):
            for mount in item.get("volumeMounts") or []:
                where = f"Task {task.name}: {item['name']}.volumeMounts[{mount.get('name')}]"
                if mount.get("name") not in volumes:
                    raise InputError(f"{where}: the Task declares no such volume")
                if mount.get("mountPath") not in MOUNTED_ANYWAY:
                    raise UnsupportedError(
                        f"{where}.mountPath: {mount.get('mountPath')}: only {' and '.join(MOUNTED_ANYWAY)} can be an "
                        "emptyDir here; use a workspace"
                    )


def known_params(task: PipelineTask, scope: Scope) -> Scope:
    """The params of a Task whose values do not wait for other Tasks."""
    values = dict(scope.values) if task.embedded else {}
    for param in task.task.params:
        template = task.params.get(param.name, param.default)
        in_matrix = task.matrix is not None and param.name in task.matrix.params
        if template is None or in_matrix:
            continue
        found = substitution.value(template, scope) if param.name in task.params else template
        values.pop(("params", param.name), None)
        if not list(references(found)):
            values[("params", param.name)] = found
    return Scope(values)


def warnings(pipeline: Pipeline) -> list[str]:
    """Doubts to log: params inside scripts, params given that a Task does not declare."""
    found = []
    for task in pipeline.every():
        for step in task.task.steps:
            if any(reference.key[0] == "params" for reference in references(step.get("script") or "")):
                found.append(
                    f"Task {task.name}: step {step['name']}: $(params...) stands inside its script, where a value can "
                    "become code; hand it over in env"
                )
        declared = {param.name for param in task.task.params}
        if not task.embedded:
            found += [
                f"Task {task.name}: has no param {name}; it is not used" for name in task.params if name not in declared
            ]
    return found

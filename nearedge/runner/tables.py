"""Every field of Tekton's v1 Task, Pipeline, PipelineRun and TaskRun, and what the local runner does with it.

The field lists are those of the CRDs of Tekton Pipelines 1.15; a contract test holds the two together.
"""

from nearedge.runner.fields import ACCEPTED, REFUSED, Field, Shape, honoured, many, one

STRING = honoured(Shape.STRING)
STRINGS = honoured(Shape.STRINGS)
BOOLEAN = honoured(Shape.BOOLEAN)
INTEGER = honoured(Shape.INTEGER)
VALUE = honoured(Shape.VALUE)
MAP = honoured(Shape.OBJECT)

NAMED_VALUES = many({"name": STRING, "value": VALUE})
PARAMS = many(
    {
        "name": STRING,
        "type": STRING,
        "description": STRING,
        "default": VALUE,
        "enum": STRINGS,
        "properties": MAP,
    }
)
TASK_RESULTS = many({"name": STRING, "type": STRING, "description": STRING, "properties": MAP, "value": VALUE})
STEP_RESULTS = many({"name": STRING, "type": STRING, "description": STRING, "properties": MAP})
ENV = many({"name": STRING, "value": STRING, "valueFrom": REFUSED})
MOUNTS = many(
    {
        "name": STRING,
        "mountPath": ACCEPTED,
        "mountPropagation": REFUSED,
        "readOnly": ACCEPTED,
        "recursiveReadOnly": ACCEPTED,
        "subPath": REFUSED,
        "subPathExpr": REFUSED,
    }
)
VOLUMES = many(
    {"name": STRING, "emptyDir": one({"medium": ACCEPTED, "sizeLimit": ACCEPTED})}
    | dict.fromkeys(("configMap", "secret", "persistentVolumeClaim", "projected", "csi", "hostPath", "image"), REFUSED)
    | dict.fromkeys(("downwardAPI", "ephemeral", "nfs", "iscsi"), REFUSED)
)
TEMPLATE: dict[str, Field] = {
    "image": STRING,
    "command": STRINGS,
    "args": STRINGS,
    "env": ENV,
    "envFrom": REFUSED,
    "workingDir": STRING,
    "volumeMounts": MOUNTS,
    "volumeDevices": REFUSED,
    "imagePullPolicy": ACCEPTED,
    "computeResources": ACCEPTED,
    "securityContext": ACCEPTED,
}
STEP = TEMPLATE | {
    "name": STRING,
    "displayName": STRING,
    "script": STRING,
    "onError": STRING,
    "timeout": STRING,
    "results": STEP_RESULTS,
    "workspaces": ACCEPTED,
    "when": REFUSED,
    "ref": REFUSED,
    "params": REFUSED,
    "stdoutConfig": REFUSED,
    "stderrConfig": REFUSED,
}
SIDECAR = TEMPLATE | {
    "name": STRING,
    "script": STRING,
    "workspaces": ACCEPTED,
    "ports": ACCEPTED,
    "livenessProbe": ACCEPTED,
    "readinessProbe": ACCEPTED,
    "startupProbe": ACCEPTED,
    "restartPolicy": ACCEPTED,
    "terminationMessagePath": ACCEPTED,
    "terminationMessagePolicy": ACCEPTED,
    "stdin": ACCEPTED,
    "stdinOnce": ACCEPTED,
    "tty": ACCEPTED,
    "lifecycle": REFUSED,
}
TASK_SPEC: dict[str, Field] = {
    "displayName": STRING,
    "description": STRING,
    "params": PARAMS,
    "results": TASK_RESULTS,
    "workspaces": many(
        {"name": STRING, "description": STRING, "optional": BOOLEAN, "mountPath": ACCEPTED, "readOnly": ACCEPTED}
    ),
    "stepTemplate": one(TEMPLATE),
    "steps": many(STEP),
    "sidecars": many(SIDECAR),
    "volumes": VOLUMES,
}
# Inside a Pipeline, Tekton takes a custom task's apiVersion, kind and spec as well.
EMBEDDED_TASK = TASK_SPEC | {"metadata": ACCEPTED, "apiVersion": REFUSED, "kind": REFUSED, "spec": REFUSED}
REF: dict[str, Field] = {"name": STRING, "apiVersion": STRING, "resolver": REFUSED, "params": REFUSED}
TASK_REF = REF | {"kind": STRING}
WHEN = many({"input": STRING, "operator": STRING, "values": STRINGS, "cel": REFUSED})
MATRIX = one({"params": NAMED_VALUES, "include": many({"name": STRING, "params": NAMED_VALUES})})
PIPELINE_TASK: dict[str, Field] = {
    "name": STRING,
    "displayName": STRING,
    "description": STRING,
    "taskRef": one(TASK_REF),
    "taskSpec": one(EMBEDDED_TASK),
    "pipelineRef": REFUSED,
    "pipelineSpec": REFUSED,
    "params": NAMED_VALUES,
    "matrix": MATRIX,
    "when": WHEN,
    "workspaces": many({"name": STRING, "workspace": STRING, "subPath": STRING}),
    "runAfter": STRINGS,
    "retries": INTEGER,
    "timeout": STRING,
    "onError": STRING,
}
PIPELINE_SPEC: dict[str, Field] = {
    "displayName": STRING,
    "description": STRING,
    "params": PARAMS,
    "results": many({"name": STRING, "type": STRING, "description": STRING, "value": VALUE}),
    "workspaces": many({"name": STRING, "description": STRING, "optional": BOOLEAN}),
    "tasks": many(PIPELINE_TASK),
    "finally": many(PIPELINE_TASK),
}
BINDING = many(
    {
        "name": STRING,
        "subPath": STRING,
        "emptyDir": one({"medium": ACCEPTED, "sizeLimit": ACCEPTED}),
        "volumeClaimTemplate": MAP,
        "persistentVolumeClaim": REFUSED,
        "configMap": REFUSED,
        "secret": REFUSED,
        "projected": REFUSED,
        "csi": REFUSED,
    }
)
TASK_RUN_SPECS = many(
    {
        "pipelineTaskName": STRING,
        "timeout": STRING,
        "computeResources": ACCEPTED,
        "metadata": ACCEPTED,
        "podTemplate": ACCEPTED,
        "serviceAccountName": ACCEPTED,
        "sidecarSpecs": ACCEPTED,
        "stepSpecs": ACCEPTED,
    }
)
PIPELINE_RUN_SPEC: dict[str, Field] = {
    "params": NAMED_VALUES,
    "pipelineRef": one(REF),
    "pipelineSpec": one(PIPELINE_SPEC),
    "workspaces": BINDING,
    "timeouts": one({"pipeline": STRING, "tasks": STRING, "finally": STRING}),
    "taskRunSpecs": TASK_RUN_SPECS,
    "taskRunTemplate": ACCEPTED,
    "status": REFUSED,
    "managedBy": REFUSED,
}
TASK_RUN_SPEC: dict[str, Field] = {
    "params": NAMED_VALUES,
    "taskRef": one(TASK_REF),
    "taskSpec": one(TASK_SPEC),
    "workspaces": BINDING,
    "timeout": STRING,
    "retries": INTEGER,
    "computeResources": ACCEPTED,
    "podTemplate": ACCEPTED,
    "serviceAccountName": ACCEPTED,
    "sidecarSpecs": ACCEPTED,
    "stepSpecs": ACCEPTED,
    "debug": REFUSED,
    "status": REFUSED,
    "statusMessage": REFUSED,
    "managedBy": REFUSED,
}


def kind(spec: dict[str, Field]) -> dict[str, Field]:
    """A whole document around its spec; a status left in it is ignored, as the API server does."""
    return {"apiVersion": STRING, "kind": STRING, "metadata": MAP, "spec": one(spec), "status": ACCEPTED}


KINDS = {
    "Task": kind(TASK_SPEC),
    "Pipeline": kind(PIPELINE_SPEC),
    "PipelineRun": kind(PIPELINE_RUN_SPEC),
    "TaskRun": kind(TASK_RUN_SPEC),
}

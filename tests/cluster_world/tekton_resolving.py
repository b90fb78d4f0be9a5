"""What a PipelineRun names, found before anything is created: its Pipeline, the Tasks of that, params, workspaces.

Reasons are those of Tekton's pkg/reconciler/pipelinerun; the words of faults in params are the runner's.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from nearedge.api.cluster.resources import CONFIG_MAPS, PIPELINE_RUNS, PIPELINES, TASKS, Api, Object
from nearedge.errors import InputError, NearedgeError
from nearedge.runner import graph, parameters, parse, scopes
from nearedge.runner.model import Pipeline
from nearedge.runner.substitution import Scope, Value
from tests.cluster_world.world import Hands

SECRETS = Api("", "v1", "secrets")


class FaultError(InputError):
    """A PipelineRun that cannot be run; `reason` is Tekton's."""

    def __init__(self, reason: str, message: str) -> None:
        """Both for its condition."""
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True)
class Resolved:
    """What was found; `volumes` by the Pipeline's workspaces."""

    pipeline: Pipeline
    params: dict[str, Value]
    volumes: dict[str, Path]
    scope: Scope


@dataclass(frozen=True)
class Resolver:
    """Finds it. `claim` gives the folder of a volume claim."""

    hands: Hands
    claim: Callable[[str], Path]
    document: Object

    @property
    def where(self) -> str:
        """For messages."""
        return f"PipelineRun {self.hands.namespace}/{self.document['metadata']['name']}"

    async def resolved(self) -> Resolved:
        """All of it. Raises FaultError."""
        spec, metadata = self.document["spec"], self.document["metadata"]
        name, found = await self.spec_of(spec)
        tasks = await self.tasks(name, found)
        try:
            pipeline = parse.pipeline(name, found, f"Pipeline {name}", tasks.__getitem__)
            graph.dependencies(pipeline.tasks)
            given = parse.values(spec.get("params") or [], "params")
            params = parameters.resolve(pipeline.params, given, self.where)
        except NearedgeError as error:
            reason = "ParameterMissing" if "param" in str(error) else "PipelineValidationFailed"
            raise FaultError(reason, str(error)) from error
        volumes = {item["name"]: await self.volume(item) for item in spec.get("workspaces") or []}
        for one in pipeline.workspaces:
            if not one.optional and one.name not in volumes:
                raise FaultError(
                    "InvalidWorkspaceBindings",
                    f"{self.where} doesn't bind Pipeline {name}'s Workspaces correctly: pipeline requires workspace "
                    f'with name "{one.name}" be provided by pipelinerun',
                )
        identity = scopes.Identity(metadata["name"], metadata["uid"], name)
        scope = scopes.of_pipeline(pipeline, params, set(volumes), identity)
        scope.values["context", "pipelineRun", "namespace"] = self.hands.namespace
        labels = {"tekton.dev/pipeline": name}
        metadata.setdefault("labels", {}).update(labels)
        await self.hands.patch(PIPELINE_RUNS, metadata["name"], {"metadata": {"labels": labels}})
        return Resolved(pipeline, params, volumes, scope)

    async def spec_of(self, spec: Object) -> tuple[str, Object]:
        """Name and spec of the Pipeline."""
        own = self.document["metadata"]["name"]
        if "pipelineSpec" in spec:
            return own, spec["pipelineSpec"]
        name = spec["pipelineRef"]["name"]
        found = await self.hands.get(PIPELINES, name)
        if found is None:
            raise FaultError(
                "CouldntGetPipeline",
                f"Error retrieving pipeline for pipelinerun {self.hands.namespace}/{own}: error when getting Pipeline "
                f'for PipelineRun {own}: pipelines.tekton.dev "{name}" not found',
            )
        return name, found["spec"]

    async def tasks(self, pipeline: str, spec: Object) -> dict[str, Object]:
        """The specs of the Tasks that it names."""
        found: dict[str, Object] = {}
        for item in [*(spec.get("tasks") or []), *(spec.get("finally") or [])]:
            name = (item.get("taskRef") or {}).get("name")
            if not name or name in found:
                continue
            task = await self.hands.get(TASKS, name)
            if task is None:
                raise FaultError(
                    "CouldntGetTask",
                    f"Pipeline {self.hands.namespace}/{pipeline} can't be Run; it contains Tasks that don't exist: "
                    f'Couldn\'t retrieve Task "{name}": tasks.tekton.dev "{name}" not found',
                )
            found[name] = task["spec"]
        return found

    async def volume(self, item: Object) -> Path:
        """The folder of a workspace."""
        if "persistentVolumeClaim" in item:
            return self.claim(item["persistentVolumeClaim"]["claimName"])
        folder = self.hands.folder(item["name"])
        for kind, api, key in (("configMap", CONFIG_MAPS, "name"), ("secret", SECRETS, "secretName")):
            if kind in item:
                found = await self.hands.get(api, item[kind][key]) or {}
                for name, text in (found.get("data") or {}).items():
                    (folder / name).write_text(text)
        return folder

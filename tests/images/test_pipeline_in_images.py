"""The Tasks of model-to-edge that run in the image core, run in it as a pod would run them, from `make install`'s YAML.

What a process on this machine forgives is not there: a user who owns nothing, a read-only root, a volume of root's that
only its group may write, a registry on plain http that is not on the loopback interface as far as a step can tell.
"""

import json
import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from hack import install
from nearedge import catalog
from nearedge.delivery import reference
from nearedge.delivery.access import Access
from nearedge.delivery.sources.artifact import push_artifact
from scripts import convert_model, optimize_model, verify_model
from tests.images.conftest import free_port
from tests.unit.conftest import fetched

pytestmark = pytest.mark.images
HOST = "registry.test"
GROUP = 1001  # the pod's fsGroup
HARDENED = (
    "--read-only",
    "--read-only-tmpfs=false",
    "--cap-drop=all",
    "--security-opt=no-new-privileges",
    "--passwd=false",
)
REFERENCE = re.compile(r"\$\(([^()]+)\)")


class Cluster:
    """Runs rendered Tasks with podman: one pod after another on one volume."""

    def __init__(self, rendered: str, folder: Path, user: str) -> None:
        """`folder` gets the volume and the pods' empty folders; `user` is podman's uid[:gid]."""
        self.tasks = {one["metadata"]["name"]: one["spec"] for one in yaml.safe_load_all(rendered)}
        self.folder, self.user = folder, user
        self.volume = self.empty("volume", 0o2775)

    def empty(self, name: str, mode: int = 0o2777) -> Path:
        """A folder of root's as the kubelet makes one for the group of a pod."""
        path = self.folder / name
        path.mkdir(parents=True)
        os.chown(path, 0, GROUP)
        path.chmod(mode)
        return path

    def run(self, name: str, **params: Any) -> dict[str, str]:
        """Run the Task's sidecars and its step; the results."""
        spec = self.tasks[name]
        given = {param["name"]: param.get("default") for param in spec["params"]}
        values = self.values(spec, given | {key.replace("_", "-"): value for key, value in params.items()})
        mounts = {"/workspace/release": self.volume}
        mounts |= {place: self.empty(f"{name}/{place}") for place in ("/tekton/home", "/tekton/results")}
        sidecars = [self.start(one, values, {"/tmp": self.empty(f"{name}/server")}) for one in spec.get("sidecars", [])]
        (step,) = spec["steps"]
        try:
            argv = self.podman({**spec["stepTemplate"], **step}, values, mounts | {"/tmp": self.empty(f"{name}/tmp")})
            done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=300)
        finally:
            for sidecar in sidecars:
                subprocess.run(["podman", "rm", "--force", "--time=0", sidecar], capture_output=True, check=True)
        assert done.returncode == 0, done.stderr
        written = self.folder / f"{name}/tekton/results"
        return {one["name"]: (written / one["name"]).read_text() for one in spec["results"]}

    def values(self, spec: dict[str, Any], params: Mapping[str, Any]) -> dict[str, Any]:
        """What each `$(...)` of a Task stands for; optional workspaces are not bound."""
        found: dict[str, Any] = {f"workspaces.{one['name']}.path": "" for one in spec["workspaces"]}
        found["workspaces.release.path"] = "/workspace/release"
        found |= {f"results.{one['name']}.path": f"/tekton/results/{one['name']}" for one in spec["results"]}
        for name, value in params.items():
            found[f"params.{name}[*]" if isinstance(value, list) else f"params.{name}"] = value
            if isinstance(value, dict):
                found |= {f"params.{name}.{key}": text for key, text in value.items()}
        return found

    def start(self, container: dict[str, Any], values: Mapping[str, Any], mounts: Mapping[str, Path]) -> str:
        """Start a sidecar, pulled by podman in the kubelet's place; its id."""
        argv = self.podman(container, values, mounts, "--detach")
        argv = [word.replace(f"{HOST}:", "127.0.0.1:") for word in argv]  # what a node knows of its registries
        return subprocess.run(argv, capture_output=True, text=True, check=True, timeout=300).stdout.strip()

    def podman(
        self, container: dict[str, Any], values: Mapping[str, Any], mounts: Mapping[str, Path], *options: str
    ) -> list[str]:
        """The command line for one container."""
        argv = ["podman", "run", "--tls-verify=false", "--network=host", f"--add-host={HOST}:127.0.0.1", *HARDENED]
        argv += [f"--user={self.user}", f"--group-add={GROUP}", *(options or ("--rm",))]
        argv += [f"--volume={path}:{place}" for place, path in mounts.items()]
        argv += [f"--env={one['name']}={substituted(one['value'], values)[0]}" for one in container.get("env", [])]
        argv += [f"--entrypoint={json.dumps(container['command'])}"] if "command" in container else []
        words = [word for text in container["args"] for word in substituted(text, values)]
        return [*argv, substituted(container["image"], values)[0], *words]


def substituted(text: str, values: Mapping[str, Any]) -> list[str]:
    """The words that an argument becomes: several where it is a whole array."""
    whole = REFERENCE.fullmatch(text)
    if whole and isinstance(values[whole[1]], list):
        return list(values[whole[1]])
    return [REFERENCE.sub(lambda found: values[found[1]], text)]


@pytest.fixture(scope="module")
def rendered(images):
    """What `make install` writes, the images core and runtime standing for all others."""
    known = {name: reference.parse(text).by_digest for name, text in images.references.items()}
    stand_in = dict.fromkeys(("onnx", "pytorch", "tensorflow"), known["core"])
    return install.render(install.catalog_files(catalog.root()), stand_in | known)


@pytest.fixture(scope="module")
def model(registry, tmp_path_factory):
    """A small ONNX model with its data as an OCI artifact; the address that a step has for it."""
    folder = tmp_path_factory.mktemp("model")
    fetched(folder)
    push_artifact(reference.parse(f"{registry}/examples/digits:1"), folder / "source", Access())
    return f"oci://{HOST}:{registry.rpartition(':')[2]}/examples/digits:1"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: the volume is root's, the steps' user is another")
@pytest.mark.parametrize("user", ["1001:1001", "1000710000:0"])
def test_a_release_on_a_cluster(images, rendered, registry, model, tmp_path, user):
    cluster = Cluster(rendered, tmp_path, user)
    here = f"{HOST}:{registry.rpartition(':')[2]}"
    found = cluster.run("fetch-model", model=model, plain_http="true")
    assert (found["framework"], found["model-name"]) == ("onnx", "digits")
    for program, *options in (
        (convert_model,), (optimize_model, "--precision=f32"), (verify_model, "--stage=deployed")
    ):  # fmt: skip
        assert program.main([f"--workspace={cluster.volume}", *options]) == 0

    base = images.references["runtime"].replace(registry, here)
    built = cluster.run("build-serving-image", serving_image=f"{here}/digits:1", base_image=base, plain_http="true")
    assert built["IMAGE_URL"] == f"{here}/digits:1"
    place = f"{built['IMAGE_URL']}@{built['IMAGE_DIGEST']}"
    assert cluster.run("test-serving-image", serving_image=place, port=str(free_port()))["samples"] == "8"
    assert cluster.run("render-gitops", sites=["a", "b"])["image"] == f"{here}/digits@{built['IMAGE_DIGEST']}"
    published = cluster.run("publish-gitops")
    assert published["changed"] == "true"
    log = ["git", "-C", str(cluster.volume / "gitops.git"), "-c", "safe.directory=*", "rev-parse", "main"]
    assert subprocess.run(log, capture_output=True, text=True, check=True).stdout.strip() == published["commit"]

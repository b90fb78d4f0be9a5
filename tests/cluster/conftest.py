"""Fixtures: the cluster, and the APIs on it; of a module each, for they go on working while other tests run."""

from collections.abc import Iterator

import pytest

from tests.cluster import ground as grounds
from tests.cluster.apis import ClusterCore, ClusterEdge, core, edge
from tests.cluster.ground import Ground
from tests.gitops_repository import Place


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """A namespace for all tests that disturb nobody."""
    with grounds.ground(tmp_path_factory.mktemp("ground")) as found:
        yield found


@pytest.fixture(scope="module")
def engineer(ground: Ground) -> str:
    """A token with the rights that manifests/core/pipelines gives to MLOps engineers."""
    return ground.user(grounds.manages())


@pytest.fixture(scope="module")
def reader(ground: Ground) -> str:
    """A token that may only look."""
    return ground.user(grounds.views())


@pytest.fixture(scope="module", params=["caller", "service-account"])
def api(request: pytest.FixtureRequest, ground: Ground, engineer: str) -> Iterator[ClusterCore]:
    """The core's API as an MLOps engineer has it, in each way of asking the cluster."""
    with core(ground, request.param, engineer) as found:
        yield found


@pytest.fixture(scope="module")
def called(ground: Ground, engineer: str) -> Iterator[ClusterCore]:
    """The core's API with the callers' tokens."""
    with core(ground, "caller", engineer) as found:
        yield found


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A GitOps repository in which site edge-1 ran release a of `released` and is to run b; and two that cannot run."""
    found = Place(tmp_path_factory.mktemp("place"))
    for digest, name in (("a", "released"), ("b", "released"), ("a", "unpulled"), ("a", "unplaced")):
        found.put(digest, "edge-1", name=name)
    return found


@pytest.fixture(scope="module")
def site(ground: Ground, place: Place, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterEdge]:
    """The edge's API as somebody has it who may manage models."""
    manager = ground.user(grounds.rules("edge/components/api/people.yaml", "nearedge-models-manage"))
    with edge(ground, tmp_path_factory.mktemp("site") / "home", manager, place.target) as found:
        yield found


@pytest.fixture(scope="module")
def viewer(ground: Ground) -> str:
    """A token of somebody who may look at models."""
    return ground.user(grounds.rules("edge/components/api/people.yaml", "nearedge-models-view"))

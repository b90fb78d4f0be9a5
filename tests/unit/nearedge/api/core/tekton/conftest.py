"""One cluster and one API for tests that do not mind each other's runs; a cluster without Tekton for the others."""

import pytest

from tests import core_cluster
from tests.cluster_api import served
from tests.cluster_world.tekton import Tekton
from tests.cluster_world.world import World


@pytest.fixture(scope="package")
def cluster(tmp_path_factory):
    """An API server on which Tekton acts."""
    with served() as fake:
        core_cluster.install(fake)
        config = fake.kubeconfig(tmp_path_factory.mktemp("world"))
        with World(config, core_cluster.NAMESPACE, [Tekton]):
            yield fake


@pytest.fixture(scope="package")
def core(cluster, tmp_path_factory):
    """Ada, who may do all that our role for users allows."""
    token = cluster.user("ada", "nearedge-users")
    with core_cluster.serving(cluster, tmp_path_factory.mktemp("core"), token) as found:
        yield found


@pytest.fixture(scope="package")
def quiet(tmp_path_factory):
    """An API server on which nothing acts, and an API on it: tests write what Tekton would."""
    with served() as fake:
        core_cluster.install(fake)
        token = fake.user("ada", "nearedge-users")
        with core_cluster.serving(fake, tmp_path_factory.mktemp("quiet"), token) as core:
            yield fake, core


@pytest.fixture
def bare(quiet):
    """That API server, with nothing of another test in it."""
    fake, core = quiet
    for path in (core_cluster.RUNS, core_cluster.TASK_RUNS, core_cluster.PODS):
        for item in fake.get(path)["items"]:
            fake.delete(f"{path}/{item['metadata']['name']}")
    fake.until(lambda: not core.get("/runs")["items"])
    yield fake
    fake.faults.clear()


@pytest.fixture
def alone(bare, quiet):
    """The API on it, as Ada has it."""
    assert quiet[0] is bare
    return quiet[1]


@pytest.fixture
def own_bare():
    """An API server of the test's own."""
    with served() as fake:
        core_cluster.install(fake)
        yield fake


@pytest.fixture
def own(own_bare, tmp_path):
    """An API on that."""
    with core_cluster.serving(own_bare, tmp_path, own_bare.user("ada", "nearedge-users")) as found:
        yield found

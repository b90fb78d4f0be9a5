"""One cluster and one API for tests that do not mind each other's runs; a cluster without Tekton for the others."""

from contextlib import contextmanager

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


@pytest.fixture
def bare():
    """An API server on which nothing acts: tests write what Tekton would."""
    with served() as fake:
        core_cluster.install(fake)
        yield fake


@pytest.fixture
def alone(bare, tmp_path):
    """An API on it."""
    with core_cluster.serving(bare, tmp_path, bare.user("ada", "nearedge-users")) as found:
        yield found


@pytest.fixture
def as_ourselves(bare, tmp_path):
    """An API that acts with an account of its own, once its rights are there."""

    @contextmanager
    def begin(token):
        with core_cluster.serving(bare, tmp_path, token, as_caller=False) as found:
            yield found

    return begin

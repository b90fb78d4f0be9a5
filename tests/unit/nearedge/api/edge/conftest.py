"""The real model server with two released models, and the edge's API of it."""

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from nearedge.delivery.gitops.publish import Target
from tests.edge_api import Edge, edge, put
from tests.gitops_repository import Place

UNIT = Path(__file__).parents[3]


def loaded(name: str, path: Path):
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


serving = loaded("serving_fixtures_of_edge", UNIT / "serving_image" / "conftest.py")
released, server = serving.released, serving.server


def two_releases(folder: Path):
    """A GitOps repository in which site edge-1 ran release a of digits, and runs release b; edge-2 runs a."""
    found = Place(folder)
    found.put("a", "edge-1", "edge-2")
    found.put("b", "edge-1")
    return found


@pytest.fixture
def fresh_place(tmp_path):
    """An empty GitOps repository."""
    (tmp_path / "place").mkdir()
    return Place(tmp_path / "place")


@contextmanager
def api_of(server, folder: Path) -> Iterator[Edge]:
    """The API of the real server and of a repository of its own."""
    (folder / "place").mkdir()
    place = two_releases(folder / "place")
    put(folder / "home", server.url(""), server.log)
    with edge(folder / "home", site="edge-1", target=Target(place.target.url, "main"), timeout_s=3.0) as running:
        running.until("/models", lambda page: len(page["items"]) == 2 and all(one["version"] for one in page["items"]))
        yield running


@pytest.fixture(scope="session")
def shown(server, tmp_path_factory) -> Iterator[Edge]:
    """For tests that leave the server and the repository as they are."""
    with api_of(server, tmp_path_factory.mktemp("shown")) as running:
        yield running


@pytest.fixture(scope="session")
def asked(server, tmp_path_factory) -> Iterator[Edge]:
    """For requests that may do anything."""
    with api_of(server, tmp_path_factory.mktemp("asked")) as running:
        yield running

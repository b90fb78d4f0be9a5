"""The core's API, once for the tests that do not mind each other's runs."""

import pytest

from tests import core_api


@pytest.fixture(scope="session")
def small_catalog(tmp_path_factory):
    return core_api.write_catalog(tmp_path_factory.mktemp("catalog"))


@pytest.fixture(scope="session")
def core(tmp_path_factory, small_catalog):
    with core_api.serving(tmp_path_factory.mktemp("home"), small_catalog) as found:
        yield found


@pytest.fixture
def alone(tmp_path, small_catalog):
    """A server with no runs but a test's own."""
    with core_api.serving(tmp_path / "home", small_catalog) as found:
        yield found

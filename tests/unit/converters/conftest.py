"""The small models of tests/models.py, made once."""

import pytest

from tests.models import Models, shared


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    """Small models of every format."""
    return shared(tmp_path_factory.getbasetemp())

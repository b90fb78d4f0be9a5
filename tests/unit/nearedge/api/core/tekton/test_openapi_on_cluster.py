"""That the core's API on a cluster does what the document says, by schemathesis; more in test_core_openapi.py."""

import pytest

from tests import core_cluster, openapi
from tests.cluster_api import served
from tests.unit.nearedge.api.core.tekton.test_logs_on_cluster import log, write_run
from tests.unit.nearedge.api.core.test_core_openapi import api as document

EXAMPLES = 3

SEEN = openapi.Seen()


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    """The API on a cluster where nothing acts, with one run that has ended."""
    with served() as fake:
        core_cluster.install(fake)
        write_run(fake, "known", build={"a": 0})
        log(fake, "known", "build", "a", "one\n")
        token = fake.user("ada", "nearedge-users")
        with core_cluster.serving(fake, tmp_path_factory.mktemp("asked"), token) as core:
            yield core


globals().update(openapi.tests(document(EXAMPLES), "a_cluster", SEEN))


def test_it_was_asked_well_and_badly() -> None:
    assert SEEN["GET /api/v1/runs", 200] and SEEN["GET /api/v1/runs/{name}", 404], SEEN
    assert SEEN["GET /api/v1/runs/{name}/logs", 200] and SEEN["POST /api/v1/runs", 422], SEEN
    assert not [key for key in SEEN if key[1] >= 500], SEEN

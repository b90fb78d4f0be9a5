"""That the API of a site on a cluster does what the document says, by schemathesis; more in test_edge_openapi.py."""

import pytest

from nearedge.api.edge.cluster.cluster_control import Argo, ClusterControl
from nearedge.delivery.gitops.publish import Target
from tests import openapi
from tests.cluster_api import served
from tests.edge_cluster import NAMESPACE, A, cluster_edge, deployment, event, pod, running
from tests.gitops_repository import Place
from tests.unit.nearedge.api.edge.test_edge_openapi import api as document

PATIENCE = 30
EXAMPLES = 3

SEEN = openapi.Seen()


@pytest.fixture(scope="module")
def asked(server, tmp_path_factory):
    """The API of a cluster whose models' server is a real one."""
    folder = tmp_path_factory.mktemp("cluster")
    (folder / "place").mkdir()
    place = Place(folder / "place")
    place.put("a", "edge-1")
    place.put("b", "edge-1")
    settings = {"server_address": server.url(""), "timeout_s": 3.0, "site": "edge-1"}
    with served() as api:
        api.apply(deployment("digits", A), pod("digits", "digits-1-aaaaa", A, **running()))
        api.apply(event("e", "digits-1-aaaaa", "Pulled", "pulled"))
        with cluster_edge(api, folder / "home", target=Target(place.target.url, "main"), **settings) as site:
            argo = Argo("openshift-gitops", "nearedge-{model}")
            site.site.control = ClusterControl(site.site.cluster, NAMESPACE, argo, "edge-1", site.site.mirror)
            site.until("/models", lambda page: page["items"] and page["items"][0]["version"], PATIENCE)
            yield site


globals().update(openapi.tests(document(EXAMPLES), "a_cluster", SEEN))


def test_it_was_asked_well_and_badly() -> None:
    assert SEEN["GET /api/v1/models/{name}/health", 200] and SEEN["GET /api/v1/models/{name}/health", 404], SEEN
    assert SEEN["GET /api/v1/models/{name}/logs", 200] and not [key for key in SEEN if key[1] >= 500], SEEN

"""Record and report of a run on a cluster come from the image's registry."""

import pytest

from nearedge.delivery import evidence_attached, referrers
from nearedge.release import record as records
from tests.core_cluster import NAMESPACE
from tests.releases import registry
from tests.unit.delivery.gitops.test_image_record import RECORD, attach, image, of_image
from tests.unit.nearedge.api.core.tekton.test_logs_on_cluster import HEAD, condition


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    """docker-registry."""
    with registry(tmp_path_factory.mktemp("registry")) as found:
        yield found


def ended(fake, name, results, workspaces=()):
    """A run that has ended with such results."""
    status = {
        "conditions": [condition("True", "Succeeded")],
        "results": [{"name": key, "value": text} for key, text in results.items()],
    }
    item = {"kind": "PipelineRun", "metadata": {"name": name}, "spec": {"workspaces": list(workspaces)}}
    fake.apply({**HEAD, **item, "status": status}, namespace=NAMESPACE)


def test_the_record_that_is_attached_to_the_image(alone, bare, host):
    store, manifest = image(host, "edge/digits")
    url = f"{host}/edge/digits:1"
    attach(store, manifest, records.dump(of_image(RECORD, manifest, url)))
    ended(bare, "made", {"IMAGE_URL": url, "IMAGE_DIGEST": manifest.descriptor.digest})
    before = len(alone.engine.records.known)
    assert alone.get("/runs/made/record")["identity"]["name"] == RECORD.identity.name
    assert alone.get("/runs/made/record") == alone.get("/runs/made/record")
    assert len(alone.engine.records.known) == before + 1


def test_the_report_that_is_attached_to_the_image(alone, bare, host):
    store, manifest = image(host, "edge/reported")
    page = b"<!doctype html><p>accuracy 0.99</p>"
    report = referrers.Attachment(referrers.REPORT_TYPE, "report.html.gz", evidence_attached.packed(page))
    referrers.attach(store, manifest.descriptor, [report])
    ended(bare, "shown", {"IMAGE_URL": f"{host}/edge/reported:1", "IMAGE_DIGEST": manifest.descriptor.digest})
    assert [one["name"] for one in alone.get("/runs/shown/report")["files"]] == ["report.html"]
    answer = alone.ask("GET", "/runs/shown/report/report.html")
    assert answer.content == page and "sandbox" in answer.headers["content-security-policy"]
    other = alone.ask("GET", "/runs/shown/report/latency.png")
    assert (other.status_code, "no file 'latency.png' but report.html" in other.json()["detail"]) == (404, True)


def test_an_image_without_a_record(alone, bare, host):
    _, manifest = image(host, "edge/bare")
    ended(bare, "bare", {"IMAGE_URL": f"{host}/edge/bare:1", "IMAGE_DIGEST": manifest.descriptor.digest})
    answer = alone.ask("GET", "/runs/bare/record")
    assert (answer.status_code, "no release record is attached to it" in answer.json()["detail"]) == (404, True)


@pytest.mark.parametrize(
    ("results", "status", "said"),
    [
        ({}, 404, "run made: has no release record: its results name no image (IMAGE_URL, IMAGE_DIGEST)"),
        ({"IMAGE_URL": "oci:image:1", "IMAGE_DIGEST": "sha256:" + "0" * 64}, 404, "a layout on disk is not"),
        ({"IMAGE_URL": "../x", "IMAGE_DIGEST": "nonsense"}, 404, "is no digest"),
        ({"IMAGE_URL": "127.0.0.1:9/x:1", "IMAGE_DIGEST": "sha256:" + "0" * 64}, 502, "127.0.0.1:9"),
    ],
)  # fmt: skip
def test_no_image_and_images_that_cannot_be_had(alone, bare, results, status, said):
    ended(bare, "made", results)
    answer = alone.ask("GET", "/runs/made/record")
    assert answer.status_code == status, answer.text
    assert said in answer.json()["detail"]
    assert alone.ask("GET", "/runs/made/report").status_code == status


@pytest.mark.parametrize(
    ("workspaces", "said"),
    [
        ([], "has no report: it has no workspace release"),
        ([{"name": "release", "persistentVolumeClaim": {"claimName": "mine"}}], "in the volume claim mine, folder"),
        ([{"name": "release", "volumeClaimTemplate": {}}], "it lies in the volume of the run's workspace release"),
    ],
)  # fmt: skip
def test_where_the_report_lies(alone, bare, workspaces, said):
    ended(bare, "made", {}, workspaces)
    for path in ("report", "report/report.html"):
        answer = alone.ask("GET", f"/runs/made/{path}")
        assert (answer.status_code, said in answer.json()["detail"]) == (404, True), answer.text

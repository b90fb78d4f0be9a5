"""One connection: whose token is sent, what a refusal becomes, and what happens where nobody answers."""

import asyncio

import pytest
import yaml

from nearedge.api.cluster import connection
from nearedge.api.cluster.connection import Cluster, StatusError
from nearedge.api.cluster.resources import EVENTS, PIPELINE_RUNS, PODS, path
from nearedge.api.problems import ProblemError
from nearedge.errors import InputError, OutsideError
from tests import cluster_api


@pytest.mark.parametrize(
    ("api", "words", "wanted"),
    [
        (PODS, ("default", "a", "log"), "/api/v1/namespaces/default/pods/a/log"),
        (PODS, (), "/api/v1/pods"),
        (PIPELINE_RUNS, ("ci",), "/apis/tekton.dev/v1/namespaces/ci/pipelineruns"),
        (EVENTS, ("../x", "a?b"), "/api/v1/namespaces/..%2Fx/events/a%3Fb"),
    ],
)
def test_paths(api, words, wanted):
    assert path(api, *words) == wanted


@pytest.mark.parametrize("name", [".", ".."])
def test_no_name_leads_elsewhere(name):
    with pytest.raises(ProblemError, match="pipelineruns: none is called") as refused:
        path(PIPELINE_RUNS, "ci", name)
    assert refused.value.status == 404


def test_what_can_be_done_with_an_object(connected, pod):
    pod("a")

    async def run():
        async with connected() as cluster:
            where = path(PODS, "default")
            assert (await cluster.get(f"{where}/a"))["metadata"]["name"] == "a"
            labelled = await cluster.patch(f"{where}/a", {"metadata": {"labels": {"x": "1"}}})
            assert labelled["metadata"]["labels"] == {"x": "1"}
            await cluster.patch(f"{where}/a", [{"op": "remove", "path": "/metadata/labels/x"}], kind="json")
            assert len((await cluster.get(where, labelSelector="x=1"))["items"]) == 0
            with pytest.raises(StatusError) as there:
                await cluster.create(where, {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": {}})
            assert (there.value.status, there.value.reason) == (409, "AlreadyExists")
            await cluster.delete(f"{where}/a")
            with pytest.raises(StatusError) as gone:
                await cluster.get(f"{where}/a")
            assert gone.value.status == 404 and '"a" not found' in gone.value.detail

    asyncio.run(run())


def test_a_callers_token_is_all_that_the_cluster_sees(fake, connected):
    nobody = fake.user("ada")

    async def run():
        async with connected() as cluster:
            await cluster.get(path(PODS, "default"))
            with pytest.raises(StatusError) as refused:
                await cluster.get(path(PODS, "default"), token=nobody)
            assert refused.value.status == 403 and 'User "ada" cannot list resource "pods"' in refused.value.detail
            with pytest.raises(StatusError) as refused:
                await cluster.get(path(PODS, "default"), token="of nobody")
            assert refused.value.status == 401

    asyncio.run(run())
    assert fake.requests[-2].user == "ada"


@pytest.mark.parametrize("token", ["t\xf6ken-of-ada", "two\nlines-of-ada", "nul\0of-ada"])
def test_what_no_header_can_hold_is_no_token_and_is_not_shown(connected, token):
    async def run():
        async with connected() as cluster:
            with pytest.raises(StatusError) as refused:
                await cluster.get(path(PODS, "default"), token=token)
            assert (refused.value.status, "of-ada" in refused.value.detail) == (401, False)
            with pytest.raises(StatusError):
                await anext(cluster.lines(path(PODS, "default"), token=token))

    asyncio.run(run())


def test_what_our_own_account_may_not_is_no_fault_of_the_caller(fake, connected):
    async def run(token):
        async with connected(token) as cluster:
            with pytest.raises(StatusError) as refused:
                await cluster.get(path(PODS, "default"))
            with pytest.raises(StatusError) as followed:
                await anext(cluster.lines(path(PODS, "default", "a", "log")))
            return [(one.value.status, one.value.code) for one in (refused, followed)]

    assert asyncio.run(run(fake.user("zoe"))) == [(502, 403)] * 2
    assert asyncio.run(run("of nobody")) == [(502, 401)] * 2


def test_our_own_token_is_not_shown_where_it_is_damaged(connected):
    async def run():
        async with connected("two\nlines") as cluster:
            for asked in (cluster.get(path(PODS, "default")), anext(cluster.lines(path(PODS, "default")))):
                with pytest.raises(OutsideError, match="its token is damaged") as failed:
                    await asked
                assert "lines" not in str(failed.value)

    asyncio.run(run())


def test_a_program_for_our_own_token_that_fails_is_one_line(fake, tmp_path):
    place = fake.kubeconfig(tmp_path, "mine")
    known = yaml.safe_load(place.read_text())
    kind = "client.authentication.k8s.io/v1beta1"
    for program in ("no-such-program", "false", "true"):  # `true` says nothing, which is no JSON
        known["users"][0]["user"] = {"exec": {"apiVersion": kind, "command": program}}
        place.write_text(yaml.safe_dump(known))

        async def run():
            cluster = Cluster.found(place)
            with pytest.raises(OutsideError, match="has no login at the cluster") as failed:
                await cluster.get(path(PODS, "default"))
            assert "\n" not in str(failed.value)
            await cluster.aclose()

        asyncio.run(run())


@pytest.mark.parametrize(("code", "status"), [(429, 429), (500, 502), (503, 502)])
def test_what_a_cluster_answers_is_told(fake, connected, code, status):
    async def run():
        async with connected() as cluster:
            with pytest.raises(StatusError) as refused:
                await cluster.get(path(PODS, "default"))
            assert (refused.value.status, refused.value.code) == (status, code)
            assert refused.value.headers == {"Retry-After": "7"}

    with fake.faults.answer(code, "list", "pods", retry_after=7):
        asyncio.run(run())


@pytest.mark.parametrize(
    ("code", "text"), [(502, "<html>proxy</html>"), (200, "<html>"), (200, "[1]"), (200, "[" * 9999)]
)
def test_nonsense_is_one_line(fake, connected, code, text):
    async def run():
        async with connected() as cluster:
            with pytest.raises((StatusError, OutsideError)) as refused:
                await cluster.get(path(PODS, "default"))
            assert "\n" not in str(refused.value)

    with fake.faults.text(code, text, "list", "pods"):
        asyncio.run(run())


def test_who_is_away_or_slow_is_not_waited_for(fake, connected, monkeypatch):
    monkeypatch.setattr(connection, "PATIENCE_S", 0.2)

    async def run():
        async with connected() as cluster:
            with fake.faults.hang("list", "pods"), pytest.raises(OutsideError, match="does not answer"):
                await cluster.get(path(PODS, "default"))
            with fake.away(), pytest.raises(OutsideError, match="does not answer"):
                await cluster.get(path(PODS, "default"))
            with fake.away(), pytest.raises(OutsideError):
                async for _ in cluster.lines(path(PODS, "default")):
                    pass
            await cluster.get(path(PODS, "default"))

    asyncio.run(run())


def test_only_so_many_streams_at_a_time(fake, connected, pod, monkeypatch):
    monkeypatch.setattr(connection, "MOST_STREAMS", 2)
    pod("a", on="node-1")
    fake.write_log("default", "a", "main", "one\ntwo\nrest")
    where = path(PODS, "default", "a", "log")

    async def run():
        async with connected() as cluster:
            assert [line async for line in cluster.lines(where)] == [b"one", b"two", b"rest"]
            open_ones = [cluster.lines(where, follow="true") for _ in range(2)]
            assert [await anext(one) for one in open_ones] == [b"one", b"one"]
            with pytest.raises(ProblemError) as refused:
                await anext(cluster.lines(where))
            assert refused.value.status == 503
            for one in open_ones:
                await one.aclose()
            assert await anext(cluster.lines(where)) == b"one"

    asyncio.run(run())


def test_a_line_without_end_is_not_kept(fake, connected, pod, monkeypatch):
    monkeypatch.setattr(connection, "LARGEST_LINE", 1000)
    pod("a", on="node-1")
    fake.write_log("default", "a", "main", "x" * 100_000)

    async def run():
        async with connected() as cluster:
            with pytest.raises(OutsideError, match="a line is larger"):
                async for _ in cluster.lines(path(PODS, "default", "a", "log")):
                    pass

    asyncio.run(run())


def test_a_private_ca(tmp_path):
    async def run(fake):
        cluster = Cluster.found(fake.kubeconfig(tmp_path), namespace="models")
        assert (cluster.namespace, (await cluster.get(path(PODS, "default")))["kind"]) == ("models", "PodList")
        await cluster.aclose()

    with cluster_api.served(tls=tmp_path) as fake:
        asyncio.run(run(fake))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "AttributeError"),
        ("clusters: []\ncontexts: []\n", "No current context"),
        ("clusters: [{name: a, cluster: {server: 7}}]\ncontexts: []\ncurrent-context: a\n", "server"),
        ("{", "expected"),
    ],
)
def test_a_damaged_kubeconfig_is_one_line(tmp_path, text, words):
    (tmp_path / "config").write_text(text)
    with pytest.raises(InputError) as refused:
        Cluster.found(tmp_path / "config")
    assert words in str(refused.value) and "\n" not in str(refused.value) and "--kubeconfig" in str(refused.value)


def test_no_kubeconfig_at_all(tmp_path, monkeypatch):
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(InputError, match="none not found; give --kubeconfig"):
        Cluster.found()

"""Who a token stands for, and what the cluster lets them do."""

import asyncio

import pytest

from nearedge.api.access import Access, Caller
from nearedge.api.cluster import reviews
from nearedge.api.cluster.connection import StatusError
from nearedge.api.cluster.reviews import AsOurselves, AsTheCaller, Judge, Right
from nearedge.errors import OutsideError

RIGHTS = {
    "read": Right("get", "nearedge.dev", "models", "default"),
    "manage": Right("update", "nearedge.dev", "models", "default"),
}


@pytest.fixture
def people(fake):
    """Tokens by name: what each may do is in the cluster."""
    for name, verbs in (("bob", ["get"]), ("ann", ["get", "update"]), ("max", ["update"])):
        role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role"}
        metadata = {"name": name, "namespace": "default"}
        rules = [{"apiGroups": ["nearedge.dev"], "resources": ["models"], "verbs": verbs}]
        fake.apply(
            {**role, "metadata": metadata, "rules": rules},
            {
                **role, "kind": "RoleBinding", "metadata": metadata,
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
                "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": name}],
            },
        )  # fmt: skip
    return {name: fake.user(name) for name in ("ann", "bob", "eve", "max")}


@pytest.mark.parametrize("kind", [AsOurselves, AsTheCaller])
def test_the_cluster_says_who_may_what(people, connected, kind):
    async def run():
        async with connected() as cluster:
            judge = Judge(kind(cluster), RIGHTS)
            assert await judge(people["ann"]) == Caller("ann", "manage")
            assert await judge(people["bob"]) == Caller("bob", "read")
            assert await judge("of nobody") is None
            for name in ("eve", "max"):  # who may not read may not manage either
                with pytest.raises(StatusError) as refused:
                    await judge(people[name])
                assert refused.value.status == 403
                assert f"{name} may not get models.nearedge.dev in the namespace default" in refused.value.detail

    asyncio.run(run())


@pytest.mark.parametrize("kind", [AsOurselves, AsTheCaller])
def test_an_answer_is_believed_for_a_while_and_no_token_is_kept(people, fake, connected, kind, monkeypatch):
    monkeypatch.setattr(reviews, "MOST", 2)

    async def run():
        async with connected() as cluster:
            judge, now = Judge(kind(cluster), RIGHTS), [0.0]
            judge.clock = lambda: now[0]
            token = fake.user("bob")
            await judge(token)
            before = len(fake.requests)
            await judge(token)
            assert len(fake.requests) == before
            fake.revoke(token)
            assert await judge(token) == Caller("bob", "read")
            now[0] += reviews.VALID_S + 1
            assert await judge(token) is None
            assert token not in repr(judge.known) and len(judge.known) == 1
            for name in ("ann", "bob"):
                await judge(people[name])
            assert len(judge.known) == 2

    asyncio.run(run())


def test_a_cluster_that_is_away_lets_nobody_in(people, fake, connected):
    async def run():
        async with connected() as cluster:
            access = Access(Judge(AsOurselves(cluster), RIGHTS))
            with fake.away(), pytest.raises(OutsideError):
                await access.known(people["ann"], "192.0.2.1")
            assert not access.failures  # that was no wrong token
            assert await access.known("of nobody", "192.0.2.1") is None
            assert list(access.failures) == ["192.0.2.1"]

    asyncio.run(run())


def test_without_the_right_to_review_nobody_comes_in(people, fake, connected):
    async def run():
        async with connected(fake.user("no delegator")) as cluster:
            with pytest.raises(StatusError) as refused:
                await Judge(AsOurselves(cluster), RIGHTS)(people["ann"])
            assert refused.value.status == 502 and "tokenreviews" in refused.value.detail

    asyncio.run(run())

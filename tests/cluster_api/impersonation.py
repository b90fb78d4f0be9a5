"""Requests that somebody sends in another's name (kubectl's --as), with the right to `impersonate` users and groups."""

from collections.abc import Iterable

from tests.cluster_api.rbac import Rbac
from tests.cluster_api.routes import Target
from tests.cluster_api.users import AUTHENTICATED, User

ACCOUNT = "system:serviceaccount:"


def acting(rbac: Rbac, user: User, headers: Iterable[tuple[str, str]]) -> User:
    """As whom `user` acts by these headers (names in lower case); 403."""
    rows = list(headers)
    names = [value for name, value in rows if name == "impersonate-user"]
    if not names:
        return user
    groups = [value for name, value in rows if name == "impersonate-group"]
    rbac.check(user, wanted(names[0]))
    for group in groups:
        rbac.check(user, Target("impersonate", "", "", "v1", "groups", name=group))
    return User(names[0], tuple(dict.fromkeys((*groups, AUTHENTICATED))))


def wanted(name: str) -> Target:
    """What has to be allowed to be that user."""
    if name.startswith(ACCOUNT):
        namespace, _, account = name.removeprefix(ACCOUNT).partition(":")
        return Target("impersonate", "", "", "v1", "serviceaccounts", namespace=namespace, name=account)
    return Target("impersonate", "", "", "v1", "users", name=name)

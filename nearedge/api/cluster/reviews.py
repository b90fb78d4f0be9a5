"""Who a token stands for and what that user may do, as the cluster judges it; nothing about tokens is kept but a hash.

TokenReview and SubjectAccessReview are asked by us, who need the right to; SelfSubjectReview and
SelfSubjectAccessReview by the caller, who needs none.
"""

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from nearedge.api.access import ROLES, Caller, Role
from nearedge.api.cluster.connection import Cluster, StatusError
from nearedge.api.cluster.resources import (
    SELF_SUBJECT_ACCESS_REVIEWS,
    SELF_SUBJECT_REVIEWS,
    SUBJECT_ACCESS_REVIEWS,
    TOKEN_REVIEWS,
    Object,
    path,
)

VALID_S = 30.0
"""Seconds for which an answer is believed; so long a token that was taken back still works."""
MOST = 1000
"""Answers that are kept."""


class Right(NamedTuple):
    """To do `verb` with a kind of object in a namespace."""

    verb: str
    group: str
    resource: str
    namespace: str

    def attributes(self) -> Object:
        """As a review asks for it."""
        return {"verb": self.verb, "group": self.group, "resource": self.resource, "namespace": self.namespace}


class User(NamedTuple):
    """Whom a token stands for; `info` is what the cluster said of them."""

    name: str
    info: Object


class AsOurselves:
    """Asks with our own ServiceAccount, which needs `system:auth-delegator`."""

    def __init__(self, cluster: Cluster) -> None:
        """Nothing is asked yet."""
        self.cluster = cluster

    async def user(self, token: str) -> User | None:
        """Whose token it is. Raises OutsideError and StatusError."""
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}}
        status = (await self.cluster.create(path(TOKEN_REVIEWS), body)).get("status", {})
        return user_of(status.get("user")) if status.get("authenticated") is True else None

    async def may(self, user: User, token: str, right: Right) -> bool:
        """Whether that user has the right. Raises as `user` does."""
        del token  # the user is named instead
        names = {"user": user.name, "groups": user.info.get("groups"), "uid": user.info.get("uid")}
        spec = {**names, "extra": user.info.get("extra"), "resourceAttributes": right.attributes()}
        spec = {key: value for key, value in spec.items() if value}
        body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}
        return allowed(await self.cluster.create(path(SUBJECT_ACCESS_REVIEWS), body))


class AsTheCaller:
    """Asks with the caller's own token."""

    def __init__(self, cluster: Cluster) -> None:
        """Nothing is asked yet."""
        self.cluster = cluster

    async def user(self, token: str) -> User | None:
        """Whose token it is. Raises OutsideError and StatusError."""
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
        try:
            found = await self.cluster.create(path(SELF_SUBJECT_REVIEWS), body, token=token)
        except StatusError as error:
            if error.code == 401:
                return None
            raise
        return user_of(found.get("status", {}).get("userInfo"))

    async def may(self, user: User, token: str, right: Right) -> bool:
        """Whether that user has the right. Raises as `user` does."""
        del user  # the token says it
        spec = {"resourceAttributes": right.attributes()}
        body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": spec}
        return allowed(await self.cluster.create(path(SELF_SUBJECT_ACCESS_REVIEWS), body, token=token))


@dataclass(frozen=True)
class Judged:
    """An answer: the caller, None where the token is nobody's or may not even read; when it was given."""

    caller: Caller | None
    name: str
    at: float


class Judge:
    """`nearedge.api.access.Judge` by reviews: the role is the last one up to which the caller has all `rights`."""

    def __init__(self, reviews: AsOurselves | AsTheCaller, rights: Mapping[Role, Right]) -> None:
        """`rights` says what each role has to be allowed."""
        self.reviews, self.rights = reviews, rights
        self.known: dict[bytes, Judged] = {}
        self.clock: Callable[[], float] = time.monotonic

    async def __call__(self, token: str) -> Caller | None:
        """Whose token it is, with the role; None: nobody's. Raises ProblemError 403 for who may not even read."""
        key, now = hashlib.sha256(token.encode()).digest(), self.clock()
        found = self.known.get(key)
        if found is None or found.at + VALID_S < now:
            found = await self.judged(token, now)
            self.known.pop(key, None)
            self.known[key] = found
            if len(self.known) > MOST:
                del self.known[next(iter(self.known))]
        if found.caller is None and found.name:
            right = self.rights["read"]
            wanted = f"{right.verb} {right.resource}.{right.group} in the namespace {right.namespace}"
            raise StatusError(403, "Forbidden", f"{found.name} may not {wanted}")
        return found.caller

    async def judged(self, token: str, now: float) -> Judged:
        """Ask the cluster."""
        user = await self.reviews.user(token)
        if user is None:
            return Judged(None, "", now)
        asked: list[Awaitable[bool]] = [self.reviews.may(user, token, self.rights[role]) for role in ROLES]
        answers = await asyncio.gather(*asked)
        roles = [role for at, role in enumerate(ROLES) if all(answers[: at + 1])]  # who may not read may not manage
        return Judged(Caller(user.name, roles[-1]) if roles else None, user.name, now)


def user_of(info: object) -> User | None:
    """The user that the cluster tells of; nobody where it tells of none, or of who did not log in."""
    if not isinstance(info, dict) or not isinstance(info.get("username"), str) or not info["username"]:
        return None
    return None if info["username"] == "system:anonymous" else User(info["username"], info)


def allowed(review: Object) -> bool:
    """What an access review answers."""
    return review.get("status", {}).get("allowed") is True

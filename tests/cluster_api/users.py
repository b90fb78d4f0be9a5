"""Who a bearer token is: users that tests make up, and the ServiceAccounts that lie in the cluster."""

import base64
import json
import secrets
from dataclasses import dataclass, field

from tests.cluster_api import statuses
from tests.cluster_api.store import Key, Store

AUTHENTICATED, UNAUTHENTICATED = "system:authenticated", "system:unauthenticated"
AUDIENCE = "https://kubernetes.default.svc"


@dataclass(frozen=True)
class User:
    """As the cluster sees somebody."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: dict[str, list[str]] = field(default_factory=dict, hash=False)

    def document(self) -> dict[str, object]:
        """As in reviews."""
        found = {"username": self.name, "uid": self.uid, "groups": list(self.groups), "extra": self.extra}
        return {key: value for key, value in found.items() if value}


ANONYMOUS = User("system:anonymous", (UNAUTHENTICATED,))
ADMIN = User("kubernetes-admin", ("system:masters", AUTHENTICATED))


@dataclass(frozen=True)
class Issued:
    """A token: of a user, or of a ServiceAccount as long as that is there."""

    user: User
    account: Key | None = None
    audiences: tuple[str, ...] = (AUDIENCE,)


class Users:
    """All tokens; nobody else is known."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.tokens: dict[str, Issued] = {}
        self.admin = self.add(ADMIN.name, "system:masters")

    def add(self, name: str, *groups: str) -> str:
        """A token of a user."""
        token = secrets.token_urlsafe(24)
        self.tokens[token] = Issued(User(name, (*groups, AUTHENTICATED)))
        return token

    def account(self, namespace: str, name: str, audiences: tuple[str, ...] = (AUDIENCE,)) -> str:
        """A token of a ServiceAccount that is there; LookupError."""
        key = Key("", "serviceaccounts", namespace, name)
        found = self.store.get(key)
        if found is None:
            raise LookupError(f"there is no ServiceAccount {namespace}/{name}")
        uid, full = found["metadata"]["uid"], f"system:serviceaccount:{namespace}:{name}"
        groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", AUTHENTICATED)
        parts = [{"alg": "RS256", "typ": "JWT"}, {"sub": full, "aud": list(audiences), "jti": secrets.token_hex(8)}]
        texts = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts]
        token = ".".join((*texts, secrets.token_urlsafe(48)))
        self.tokens[token] = Issued(User(full, groups, uid), key, audiences)
        return token

    def revoke(self, token: str) -> None:
        """From now on nobody's."""
        self.tokens.pop(token, None)

    def find(self, token: str, audience: str = AUDIENCE) -> User | None:
        """Whose token this is."""
        issued = self.tokens.get(token)
        if issued is None or audience not in issued.audiences:
            return None
        if issued.account is not None:
            account = self.store.get(issued.account)
            if account is None or account["metadata"]["uid"] != issued.user.uid:
                return None
        return issued.user

    def of_header(self, authorization: str) -> User:
        """Who sends this header; 401."""
        kind, _, token = authorization.partition(" ")
        if kind.lower() != "bearer" or not token.strip():
            return ANONYMOUS
        user = self.find(token.strip())
        if user is None:
            raise statuses.unauthorized()
        return user

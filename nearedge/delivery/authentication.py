"""Who we are to a registry: credentials from a docker `config.json`, basic and bearer token authentication.

Sources: docker's config.json, containers-auth.json(5), the distribution project's token specification, RFC 7235.
Secrets stay in these objects: no message and no `repr` shows them.
"""

import base64
import binascii
import json
import math
import os
import re
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests

from nearedge.delivery import transport
from nearedge.errors import InputError, OutsideError

FILES = ("config.json", ".dockerconfigjson", "auth.json")
PARAMETER = re.compile(r'([A-Za-z_]+)="([^"]*)"|([A-Za-z_]+)=([^\s,"]+)')
TOKEN_LIMIT = 1 << 20
EARLY_S = 10.0
SHORTEST_LIFE_S = 60.0


@dataclass(frozen=True)
class Credentials:
    """What a config.json holds for a registry."""

    username: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)
    registry_token: str = field(default="", repr=False)

    @property
    def basic(self) -> str:
        """The value of an Authorization header, empty where there is no user."""
        if not self.username:
            return ""
        return "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode()


def config_file(folder: Path | None) -> Path | None:
    """The file to read: in `folder` where one is given, else where docker and podman keep theirs; None without one.

    Raises InputError where `folder` holds none.
    """
    if folder is not None:
        names = [folder / name for name in FILES] if folder.is_dir() else [folder]
        for path in names:
            if path.is_file():
                return path
        raise InputError(f"{folder}: holds no config.json; bind a workspace that holds one, or none")
    places = [os.environ.get("REGISTRY_AUTH_FILE", "")]
    places += [f"{os.environ[name]}/{rest}" for name, rest in USUAL if os.environ.get(name)]
    return next((Path(place) for place in places if place and Path(place).is_file()), None)


USUAL = (
    ("DOCKER_CONFIG", "config.json"),
    ("XDG_RUNTIME_DIR", "containers/auth.json"),
    ("HOME", ".docker/config.json"),
)


def credentials(folder: Path | None, registry: str, repository: str) -> Credentials:
    """The credentials for `registry/repository`: the entry with the longest matching name, as containers has it.

    Raises InputError where the file is damaged. Credential helpers are programs of other people and are not run.
    """
    path = config_file(folder)
    if path is None:
        return Credentials()
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        entries = document.get("auths", {})
        refuse_helpers(document, registry, path)
        found = {host(key): value for key, value in entries.items() if isinstance(value, dict)}
    except (ValueError, AttributeError) as error:
        raise InputError(f"{path}: is no docker config.json; write it with `podman login` or `docker login`") from error
    wanted = f"{registry}/{repository}"
    names = [name for name in found if wanted == name or wanted.startswith(name + "/")]
    return decoded(found[max(names, key=len)], path) if names else Credentials()


def refuse_helpers(document: dict[str, Any], registry: str, path: Path) -> None:
    """Raise InputError where the login for `registry` is kept by a credential helper, a program that we do not run."""
    helpers, entries = document.get("credHelpers") or {}, document.get("auths") or {}
    emptied = [key for key, value in entries.items() if value == {} and host(key).split("/")[0] == registry]
    if any(host(key) == registry for key in helpers) or (document.get("credsStore") and emptied):
        raise InputError(
            f"{path}: leaves the login for {registry} to a credential helper, which nearedge does not run; give a "
            "config.json that holds it (`podman login --authfile`)"
        )


def host(key: str) -> str:
    """A key of `auths` without scheme and API path: `https://index.docker.io/v1/` is docker.io."""
    name = re.sub(r"^https?://", "", key).rstrip("/")
    name = re.sub(r"/v[12]$", "", name)
    return "docker.io" if name in ("index.docker.io", "registry-1.docker.io") else name


def decoded(entry: dict[str, Any], path: Path) -> Credentials:
    """The credentials of one entry. Raises InputError where its `auth` is not base64 of user:password."""
    token, bearer = entry.get("identitytoken"), entry.get("registrytoken")
    username, password = entry.get("username"), entry.get("password")
    if isinstance(entry.get("auth"), str) and entry["auth"]:
        try:
            username, _, password = base64.b64decode(entry["auth"], validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError) as error:
            raise InputError(f"{path}: an entry's auth is not base64 of user:password; log in again") from error
    return Credentials(str(username or ""), str(password or "").rstrip("\0"), str(token or ""), str(bearer or ""))


@dataclass(frozen=True)
class Challenge:
    """A WWW-Authenticate header: its scheme (lower case) and parameters."""

    scheme: str
    parameters: dict[str, str]


def challenge(text: str) -> Challenge:
    """The challenge that a 401 carries; the first one where there are several."""
    scheme, _, rest = text.strip().partition(" ")
    found = {(m[1] or m[3]).lower(): m[2] if m[1] else m[4] for m in PARAMETER.finditer(rest)}
    return Challenge(scheme.lower(), found)


class Authenticator:
    """Makes the Authorization header for one registry; tokens are kept until they expire."""

    def __init__(self, session: requests.Session, registry: str, config: Path | None) -> None:
        """`config` is the folder of config.json, or None for the usual places."""
        self.session, self.registry, self.config = session, registry, config
        self.basic = ""
        self.tokens: dict[str, tuple[str, float]] = {}

    def header(self, scope: str) -> str:
        """The header for `scope` as far as an earlier challenge taught it, else empty."""
        token, expires = self.tokens.get(scope, ("", 0.0))
        return f"Bearer {token}" if token and time.monotonic() < expires else self.basic

    def answer(self, text: str, scope: str, base: str) -> bool:
        """Learn from a 401's challenge; whether it is worth asking again. `base` is the registry's own address."""
        asked = challenge(text)
        known = credentials(self.config, self.registry, repository_of(scope))
        if asked.scheme == "basic" and known.basic and self.basic != known.basic:
            self.basic = known.basic
            return True
        if asked.scheme == "bearer" and known.registry_token:
            self.tokens[scope] = known.registry_token, math.inf  # the registry says how long it holds, by a 401
            return True
        if asked.scheme == "bearer":
            self.tokens[scope] = self.token(asked, known, scope, base)
            return True
        return False

    def token(self, asked: Challenge, known: Credentials, scope: str, base: str) -> tuple[str, float]:
        """A bearer token from the server that the challenge names, and when it expires (monotonic seconds)."""
        realm = asked.parameters.get("realm", "")
        if urlsplit(realm).scheme not in ("https", urlsplit(base).scheme):
            raise OutsideError(f"{self.registry}: sends us for a token to an address without https; it was not asked")
        query = {"service": asked.parameters.get("service", ""), "scope": scope.split(" ")}
        where = f"{self.registry}: its token server {transport.origin(realm)[0]}"
        try:
            with self.ask(realm, query, known) as response:
                body = transport.body_of(response, TOKEN_LIMIT)
        except requests.RequestException as error:
            raise OutsideError(f"{where}: {transport.reason(error)}") from error
        if response.status_code != requests.codes.ok:
            raise OutsideError(f"{where} refuses ({response.status_code}); check dockerconfig for {self.registry}")
        return read_token(body, where)

    def ask(self, realm: str, query: dict[str, Any], known: Credentials) -> requests.Response:
        """Ask for a token: with the refresh token (OAuth2) where there is one, else with basic or no credentials."""
        if known.identity_token:
            form = {"grant_type": "refresh_token", "client_id": "nearedge", "refresh_token": known.identity_token}
            scopes = {"service": query["service"], "scope": " ".join(query["scope"])}
            return self.session.post(realm, data=form | scopes, stream=True, allow_redirects=False)
        headers = {"Authorization": known.basic} if known.basic else {}
        return self.session.get(realm, params=query, headers=headers, stream=True)


def repository_of(scope: str) -> str:
    """The repository that a scope such as `repository:a/b:pull` names."""
    parts = scope.split(" ")[0].split(":")
    return parts[1] if len(parts) > 1 else ""


def read_token(body: bytes | None, where: str) -> tuple[str, float]:
    """Token and expiry of a token server's answer. Raises OutsideError where it holds none."""
    try:
        document = json.loads(body or b"")
        token = document.get("token") or document.get("access_token")
        life = max(SHORTEST_LIFE_S, float(document.get("expires_in") or 0))
    except (ValueError, AttributeError, TypeError) as error:
        raise OutsideError(f"{where} gives no token; try again later") from error
    if not isinstance(token, str) or not token or not token.isprintable():
        raise OutsideError(f"{where} gives no token; try again later")
    return token, time.monotonic() + life - EARLY_S

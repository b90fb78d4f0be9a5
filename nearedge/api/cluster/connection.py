"""A connection to the Kubernetes API: where and as whom is lightkube's to say, requests are plain JSON (ADR 0032)."""

import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
from lightkube import ConfigError, KubeConfig, SingleConfig
from lightkube.config.client_adapter import AsyncClient, ConnectionParams
from lightkube.config.models import User
from yaml import YAMLError

from nearedge.api.cluster.resources import Object
from nearedge.api.problems import ProblemError
from nearedge.errors import InputError, OutsideError

PATIENCE_S = 10.0
"""Seconds for each answer of the API server."""
MOST_STREAMS = 80
"""Watches and followed logs at a time; httpx2 opens 100 connections at most, and requests need some."""
CHUNK = 500
"""Objects of one answer of a list."""
LARGEST_LINE = 16 << 20
"""Bytes of one line of a stream: an object of a watch is smaller than etcd's limit of some megabytes."""
HANDED_ON = (401, 403, 404, 409, 410, 422, 429)
"""Statuses that mean to our caller what they mean to us; others are a fault of the cluster, 502."""
OWN_FAULT = (401, 403)
"""Statuses that, where we asked as ourselves, say nothing of our caller: it is our account that lacks a right, 502."""
LOGIN_FAULTS = (ConfigError, OSError, ValueError, LookupError)
"""What lightkube raises where the file or the program with our own token is not as it has to be."""
PATCHES = {"merge": "application/merge-patch+json", "json": "application/json-patch+json"}


class StatusError(ProblemError):
    """The API server said no. `code` and `reason` are those of its Status document."""

    def __init__(
        self, code: int, reason: str, message: str, headers: dict[str, str] | None = None, *, own: bool = False
    ) -> None:
        """`message` is one line; `own`: we had asked as ourselves."""
        super().__init__(handed_on(code, own=own), f"the cluster says: {message}", headers)
        self.code, self.reason, self.message = code, reason, message


class Cluster:
    """One API server, and the namespace that we look after. Every method may be called by many tasks at once.

    With `token` not empty that token is all that the server sees: no certificate and no token of ours.
    """

    def __init__(self, config: SingleConfig, namespace: str = "") -> None:
        """Nothing is asked yet. Raises InputError where what the configuration names cannot be used."""
        self.namespace = namespace or config.namespace
        self.server = config.cluster.server
        self.streams = 0
        timeout = httpx2.Timeout(PATIENCE_S, pool=PATIENCE_S)
        own = config._replace(user=config.user or User())
        nobody = config._replace(user=User())
        try:
            self.own = AsyncClient(own, ConnectionParams(timeout=timeout))
            self.others = AsyncClient(nobody, ConnectionParams(timeout=timeout))
        except (OSError, ValueError, ConfigError) as error:
            raise InputError(f"the cluster's configuration: {error}; mend its certificates or user") from error

    @classmethod
    def found(cls, kubeconfig: Path | None = None, context: str = "", namespace: str = "") -> "Cluster":
        """The cluster of a file, of the pod we are in, of KUBECONFIG or of ~/.kube/config. Raises InputError."""
        try:
            known = KubeConfig.from_env() if kubeconfig is None else KubeConfig.from_file(kubeconfig)
            config = known.get(context or None)
        except (OSError, ConfigError, YAMLError, LookupError, TypeError, ValueError, AttributeError) as error:
            told = (
                f"{type(error).__name__} {error}"
                if isinstance(error, LookupError | TypeError | AttributeError)
                else str(error)
            )
            raise InputError(f"no cluster is configured: {' '.join(told.split())}; give --kubeconfig") from error
        if config is None:
            raise InputError("no cluster is configured: the kubeconfig has no current context; give --context")
        return cls(config, namespace)

    async def aclose(self) -> None:
        """Close the connections."""
        await self.own.aclose()
        await self.others.aclose()

    async def get(self, path: str, *, token: str = "", **query: str | int) -> Object:
        """An object or a list. Raises StatusError, or OutsideError where the server is not reached."""
        return await self.asked("GET", path, token, query=query)

    async def pages(self, path: str, *, token: str = "", **query: str | int) -> AsyncIterator[Object]:
        """A list in chunks, each a list of its own; the last one's resourceVersion is where a watch begins."""
        more: dict[str, str] = {}
        while True:
            part = await self.get(path, token=token, **query, limit=CHUNK, **more)
            yield part
            following = part.get("metadata", {}).get("continue")
            if not following:
                return
            more = {"continue": str(following)}

    async def create(self, path: str, body: Object, *, token: str = "") -> Object:
        """A new object, as it is then. Raises as `get` does; AlreadyExists is a StatusError 409."""
        return await self.asked("POST", path, token, body=body)

    async def patch(self, path: str, body: object, *, token: str = "", kind: str = "merge") -> Object:
        """Change an object, by a merge patch (RFC 7386) or a json patch (RFC 6902). Raises as `get` does."""
        return await self.asked("PATCH", path, token, body=body, media_type=PATCHES[kind])

    async def delete(self, path: str, *, token: str = "", body: Object | None = None) -> Object:
        """Remove an object; `body` is a DeleteOptions. Raises as `get` does."""
        return await self.asked("DELETE", path, token, body=body)

    async def asked(
        self, method: str, path: str, token: str, *, query: dict[str, Any] | None = None, body: object = None,
        media_type: str = "application/json",
    ) -> Object:  # fmt: skip
        """One request."""
        headers = {"Accept": "application/json"}
        content = None
        if body is not None:
            content, headers["Content-Type"] = json.dumps(body).encode(), media_type
        with_token, client = self.as_whom(token)
        try:
            answer = await client.request(method, path, params=query, content=content, headers=headers | with_token)
        except (httpx2.HTTPError, *LOGIN_FAULTS) as error:
            raise self.away(error) from error
        if answer.status_code >= 400:
            raise refusal(answer, own=not token)
        return read(answer.content, f"{self.server}{path}")

    async def lines(
        self, path: str, *, token: str = "", quiet_s: float | None = None, opened: Callable[[], None] | None = None,
        **query: str | int,
    ) -> AsyncGenerator[bytes]:  # fmt: skip
        """The lines of an answer as they come, without their ends. Raises as `get` does.

        `quiet_s`: seconds of silence after which the connection counts as dead; None: however long it takes. `opened`
        is called when the answer begins, which may be long before its first line.
        """
        async with self.streamed(path, token, quiet_s, query) as answer:
            if opened is not None:
                opened()
            rest = b""
            async for piece in answer.aiter_bytes():
                *whole, rest = (rest + piece).split(b"\n")
                for line in whole:
                    yield line
                if len(rest) > LARGEST_LINE:
                    raise OutsideError(f"{self.server}{path}: a line is larger than {LARGEST_LINE >> 20} MiB")
            if rest:
                yield rest

    @asynccontextmanager
    async def streamed(
        self, path: str, token: str, quiet_s: float | None, query: dict[str, Any]
    ) -> AsyncIterator[httpx2.Response]:
        """An answer whose body is still to come."""
        headers, client = self.as_whom(token)
        timeout = httpx2.Timeout(PATIENCE_S, read=quiet_s)
        if self.streams >= MOST_STREAMS:
            raise ProblemError(503, f"{self.streams} logs and watches are open already; try again later")
        self.streams += 1
        try:
            async with client.stream("GET", path, params=query, headers=headers, timeout=timeout) as answer:
                if answer.status_code >= 400:
                    await answer.aread()
                    raise refusal(answer, own=not token)
                yield answer
        except (httpx2.HTTPError, *LOGIN_FAULTS) as error:
            raise self.away(error) from error
        finally:
            self.streams -= 1

    def as_whom(self, token: str) -> tuple[dict[str, str], httpx2.AsyncClient]:
        """Headers and client for a caller's token, or for ourselves. Raises StatusError 401 for what no token is."""
        if not (token.isascii() and token.isprintable()):  # no header has such letters; its error would show the token
            raise StatusError(401, "Unauthorized", "the token has letters that no token has")
        return ({"Authorization": f"Bearer {token}"}, self.others) if token else ({}, self.own)

    def away(self, error: Exception) -> OutsideError:
        """The server is not reached, or broke off, or we have nothing to log in with."""
        why = " ".join(str(error).split()) or type(error).__name__
        if isinstance(error, httpx2.LocalProtocolError):  # its text would show our own token
            return OutsideError("this API has no login at the cluster: its token is damaged")
        if not isinstance(error, httpx2.HTTPError):
            return OutsideError(f"this API has no login at the cluster ({type(error).__name__}): {why[:300]}")
        return OutsideError(f"the cluster at {self.server} does not answer: {why[:300]}")


def handed_on(code: int, *, own: bool) -> int:
    """HTTP's status for our caller, for one that the API server gave to them, or to us as `own` account."""
    return code if code in HANDED_ON and not (own and code in OWN_FAULT) else 502


def refusal(answer: httpx2.Response, *, own: bool = False) -> StatusError:
    """The error of an answer, by its Status document where it has one; `own`: we had asked as ourselves."""
    try:
        status = json.loads(answer.content)
        message, reason = str(status["message"]), str(status.get("reason", ""))
    except (ValueError, LookupError, TypeError, AttributeError):
        message, reason = f"status {answer.status_code}", ""
    wait = answer.headers.get("Retry-After")
    more = {"Retry-After": wait} if wait else None
    return StatusError(answer.status_code, reason, " ".join(message.split())[:500], more, own=own)


def read(content: bytes, where: str) -> Object:
    """A JSON object. Raises OutsideError."""
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise OutsideError(f"{where}: its answer is no JSON; is it the API server of a cluster?") from error
    if not isinstance(found, dict):
        raise OutsideError(f"{where}: its answer is no JSON object; is it the API server of a cluster?")
    return found

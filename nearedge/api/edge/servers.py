"""The model servers of this machine: where they are, and what each says of its models."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from nearedge.api.edge import client, exposition
from nearedge.api.edge.exposition import Sample
from nearedge.errors import OutsideError
from nearedge.runner.serving import Served

SMALL = 1 << 20
"""Bytes of a document about a model."""
WANTED = (
    "nearedge_model_info", "nearedge_self_test_", "nearedge_model_load_seconds", "process_start_time_seconds",
)  # fmt: skip
MOST_MODELS = 64
Address = Served
"""A server: its URL, and what `nearedge serve` wrote down of it; empty where somebody else started it."""


@dataclass(frozen=True)
class Entry:
    """One version of a model as its server tells of it."""

    name: str
    version: str
    state: str
    reason: str


@dataclass(frozen=True)
class Server:
    """What a server says: whether it is ready, its models by name (all versions), and its figures about them."""

    ready: bool
    state: str
    models: Mapping[str, tuple[Entry, ...]]
    samples: tuple[Sample, ...]

    @property
    def began(self) -> float | None:
        """When its process began, in seconds since 1970."""
        return exposition.first(self.samples, "process_start_time_seconds")


@dataclass(frozen=True)
class About:
    """What does not change while a server runs: metadata and the release's identity, empty where there is none."""

    metadata: Mapping[str, Any] = field(default_factory=dict)
    release: Mapping[str, Any] = field(default_factory=dict)


class Talk:
    """Asks servers; `token` is the file with the bearer token that they want, None where they want none.

    `log_token` is the same for what is told them by POST: their log level. Where it is None `token` is sent.
    """

    def __init__(self, token: Path | None, timeout_s: float, log_token: Path | None = None) -> None:
        """The files are read each time: they may be replaced."""
        self.token, self.timeout_s, self.log_token = token, timeout_s, log_token

    async def get(self, address: Address, path: str, *, largest: int = SMALL, slow: float = 1.0) -> client.Answer:
        """An answer of a server; `slow` times our usual patience. Raises OutsideError."""
        headers = {"Accept-Encoding": "identity", **client.with_token(self.token)}
        return await client.ask(at(address, path), self.timeout_s * slow, headers=headers, largest=largest)

    async def post(self, address: Address, path: str, body: bytes) -> client.Answer:
        """An answer of a server to JSON. Raises OutsideError."""
        headers = {"Accept-Encoding": "identity", **client.with_token(self.log_token or self.token)}
        return await client.ask(at(address, path), self.timeout_s, headers=headers, largest=SMALL, body=body)

    async def server(self, address: Address) -> Server:
        """What a server says now. Raises OutsideError where it does not answer, or not as a server of ours does."""
        answer = await self.get(address, "/v2/health/ready")
        document = of_json(answer, address, (200, 503))
        models: dict[str, tuple[Entry, ...]] = {}
        try:
            for one in document["models"][: 4 * MOST_MODELS]:
                entry = Entry(*(text(one[key]) for key in ("name", "version", "state", "reason")))
                models[entry.name] = (*models.get(entry.name, ()), entry)
            ready, state = bool(document["ready"]), text(document["state"])
        except (KeyError, TypeError, ValueError) as error:
            raise OutsideError(f"{address.url}: is no server of ours ({type(error).__name__})") from None
        return Server(ready, state, models, await self.samples(address))

    async def samples(self, address: Address) -> tuple[Sample, ...]:
        """The figures that the rest of us wants; none where the server refuses them."""
        try:
            answer = await self.get(address, "/metrics", largest=client.LARGEST)
        except OutsideError:
            return ()
        said = answer.body.decode(errors="replace") if answer.status == 200 else ""
        return tuple(exposition.samples(said, WANTED))

    async def about(self, address: Address, name: str) -> About:
        """What does not change about a model. Raises OutsideError where the server does not say."""
        path = f"/v2/models/{quote(name, safe='')}"
        metadata = await self.get(address, path)
        release = await self.get(address, f"{path}/release")
        known = of_json(release, address, (200, 404))
        return About(of_json(metadata, address, (200,)), known if release.status == 200 else {})


def at(address: Address, path: str) -> str:
    """The URL of a path of a server."""
    return f"{address.url.rstrip('/')}{path}"


def of_json(answer: client.Answer, address: Address, statuses: tuple[int, ...]) -> dict[str, Any]:
    """The object in an answer. Raises OutsideError where it is another."""
    try:
        document = json.loads(answer.body)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict) or answer.status not in statuses:
        said = document.get("error") if isinstance(document, dict) else None
        raise OutsideError(f"{address.url}: status {answer.status}{f', {said}' if said else ', is no server of ours'}")
    return document


def text(value: object) -> str:
    """A text of a document. Raises ValueError."""
    if not isinstance(value, str):
        raise ValueError("no text")
    return value[:500]

"""What was last known of each model, kept on disk, so that a restart of ours or an absent server costs no answer."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from nearedge.api.edge.documents import SelfTest, Version
from nearedge.api.edge.exposition import Sample, first
from nearedge.api.edge.servers import MOST_MODELS, About, Address, Server
from nearedge.files import write_text

LARGEST = 64 << 10
"""Letters of JSON of a release's identity; of a larger one the drift reference is left out, else all of it."""


@dataclass(frozen=True)
class Seen:
    """A model as its server last told of it; `up`: it said ready, and still answers.

    `at` and `began` are seconds since 1970.
    """

    name: str
    url: str
    served: tuple[str, ...] = ()
    state: str = "unknown"
    reason: str = ""
    ready: bool = False
    up: bool = False
    at: float = 0.0
    began: float | None = None
    digest: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    release: Mapping[str, Any] = field(default_factory=dict)
    self_test: Mapping[str, Any] = field(default_factory=dict)

    def told(self, key: str) -> str | None:
        """A text of the release's identity."""
        value = self.release.get(key)
        return value if isinstance(value, str) else None

    @property
    def version(self) -> Version:
        """The release in a few words."""
        ir = self.release.get("ir")
        weights = ir.get("bin_sha256") if isinstance(ir, dict) else None
        return Version(
            version=self.told("version"), digest=self.digest, precision=self.told("precision"),
            bin_sha256=weights if isinstance(weights, str) else None,
        )  # fmt: skip

    @property
    def proven(self) -> SelfTest | None:
        """The latest self-test."""
        return SelfTest(**self.self_test) if self.self_test else None


def seen(name: str, address: Address, server: Server, at: float, before: Seen | None) -> Seen:
    """A model as a server tells of it now; what does not change is taken over from `before`, of the same process."""
    entries = server.models[name]
    ready = [entry for entry in entries if entry.state == "ready"]
    entry = (ready or list(entries))[-1]
    same = before is not None and before.url == address.url and before.began == server.began
    state = "draining" if server.state == "draining" else entry.state
    return Seen(
        name=name, url=address.url, served=tuple(one.version for one in entries), state=state, reason=entry.reason,
        ready=state == "ready", up=state == "ready", at=at, began=server.began,
        digest=digest_of(server.samples, name, entry.version),
        metadata=before.metadata if before and same else {}, release=before.release if before and same else {},
        self_test=proven(server.samples, name, entry.version),
    )  # fmt: skip


def digest_of(samples: tuple[Sample, ...], name: str, version: str) -> str | None:
    """The digest of the image, where the server knows it."""
    for one in samples:
        if one.name == "nearedge_model_info" and (one.labels.get("model"), one.labels.get("version")) == (
            name,
            version,
        ):
            return one.labels.get("digest") or None
    return None


def proven(samples: tuple[Sample, ...], name: str, version: str) -> dict[str, Any]:
    """The latest self-test as the metrics tell of it; empty where there was none."""
    passed = first(samples, "nearedge_self_test_passed", model=name, version=version)
    if passed is None:
        return {}
    count = first(samples, "nearedge_self_test_samples", model=name, version=version)
    difference = first(samples, "nearedge_self_test_largest_difference", model=name, version=version)
    return {"passed": passed == 1, "samples": None if count is None else int(count), "largest_difference": difference}


def with_about(one: Seen, about: About) -> Seen:
    """With what does not change, as far as it is small enough to keep."""
    release = dict(about.release)
    if len(json.dumps(release)) > LARGEST:
        release.pop("drift", None)
    metadata = {key: about.metadata.get(key) for key in ("inputs", "outputs")}
    if len(json.dumps(release)) > LARGEST:
        release = {}
    if len(json.dumps(metadata)) > LARGEST:
        metadata = {"inputs": [], "outputs": []}
    return replace(one, release=release, metadata=metadata)


def read(path: Path) -> dict[str, Seen]:
    """What was kept; nothing where there is nothing that can be read."""
    try:
        with path.open("rb") as file:
            documents = json.loads(file.read(2 * MOST_MODELS * LARGEST))
        kept = [Seen(**{**document, "served": tuple(document["served"])}) for document in documents]
        return {one.name: one for one in kept if known_well(one)}
    except (OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return {}


def known_well(one: Seen) -> bool:
    """Whether what was kept can be shown. Raises ValueError, pydantic's included, where it cannot."""
    return one.proven is None or one.version is not None


def write(path: Path, known: Mapping[str, Seen]) -> None:
    """Keep it. Raises OSError."""
    write_text(path, json.dumps([asdict(one) for one in known.values()]))

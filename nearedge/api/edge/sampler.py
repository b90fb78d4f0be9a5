"""Looks at the model servers every few seconds, counts what it finds, and writes down what changed."""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import anyio

from nearedge.api.edge import memory
from nearedge.api.edge.held import Held, Said, when
from nearedge.api.edge.journal import Journal
from nearedge.api.edge.memory import Seen
from nearedge.api.edge.rings import Rings
from nearedge.api.edge.servers import MOST_MODELS, Address, Server, Talk
from nearedge.errors import NearedgeError, OutsideError

EVENTS = 1 << 18
"""Bytes of the newer of two files of events; a file holds about a thousand."""
FRESH_S, PATIENCE_S = 2.0, 0.5
"""How old what an answer is made of may be, and how long an answer waits for something newer."""


class Sampler:
    """The servers of a site, and what is known of their models."""

    def __init__(self, talk: Talk, addresses: Callable[[], Sequence[Address]], folder: Path, every_s: float) -> None:
        """`addresses` is asked at each look, in a thread; `folder` holds what is kept."""
        self.talk, self.addresses, self.every_s = talk, addresses, every_s
        self.file = folder / "known.json"
        self.rings, self.events = Rings(folder / "rings"), Journal(folder / "events.jsonl", EVENTS)
        self.known = memory.read(self.file)
        self.faults: dict[str, str] = {}
        self.at: dict[str, Address] = {}
        self.held: dict[str, Held[Server]] = {}
        self.lock = asyncio.Lock()
        self.looked = 0.0
        self.fault = ""

    async def run(self) -> None:
        """Look, for ever. What goes wrong here, such as a full disk, is said by `fault`, and tried again."""
        while True:
            await self.look(self.talk.timeout_s * 2 + 1, count=True)
            await asyncio.sleep(self.every_s)

    async def fresh(self) -> None:
        """See that what is known is not old, without waiting for long."""
        if time.monotonic() - self.looked > FRESH_S:
            await self.look(PATIENCE_S, count=False)

    async def look(self, patience_s: float, *, count: bool) -> None:
        """Ask every server, and take over what they say."""
        async with self.lock:
            if not count and time.monotonic() - self.looked <= FRESH_S:
                return
            try:
                await self.take(patience_s, count=count)
                self.fault = ""
            except (OSError, NearedgeError) as error:
                self.fault = " ".join(str(error).split())[:300]
            self.looked = time.monotonic()

    async def take(self, patience_s: float, *, count: bool) -> None:
        """As `look`, without its protection. Raises OSError where what is kept cannot be written."""
        addresses = await anyio.to_thread.run_sync(self.addresses)
        self.at = {one.url: one for one in reversed(addresses)}
        for url in [url for url in self.held if url not in self.at]:
            await self.held.pop(url).close()
        for url, address in self.at.items():
            if url not in self.held:
                self.held[url] = Held(partial(self.talk.server, address), FRESH_S, PATIENCE_S)
        said = await asyncio.gather(*(self.held[url].get(anew=True, patience_s=patience_s) for url in self.at))
        self.faults = {url: self.fault_of(url, one, count) for url, one in zip(self.at, said, strict=True)}
        before, self.known = self.known, await self.merged()
        await anyio.to_thread.run_sync(self.write_down, before, self.known, count)

    def fault_of(self, url: str, said: Said[Server], count: bool) -> str:
        """What is wrong with a server; of one that is only slow, what was wrong before, unless `count`."""
        if said.fault and self.at[url].end:
            return f"nearedge serve {self.at[url].end}"
        undecided = not count and self.held[url].task is not None
        return self.faults.get(url, said.fault) if undecided else said.fault

    async def merged(self) -> dict[str, Seen]:
        """The models of all servers by name: of the first server that has it and answers, else of where it was last."""
        found: dict[str, Seen] = {}
        for url, address in self.at.items():
            said = self.held[url].said
            if not self.faults[url] and said.value is not None:
                for name in [name for name in said.value.models if name not in found][: MOST_MODELS - len(found)]:
                    now = memory.seen(name, address, said.value, said.at or 0.0, self.known.get(name))
                    found[name] = await self.complete(now, address)
        for name, seen in self.known.items():
            if name not in found and self.faults.get(seen.url):
                found[name] = replace(seen, up=False)
        return dict(sorted(found.items()))

    async def complete(self, seen: Seen, address: Address) -> Seen:
        """With metadata and release, asked for once in a server's life."""
        if seen.metadata or seen.state != "ready":
            return seen
        try:
            return memory.with_about(seen, await self.talk.about(address, seen.name))
        except OutsideError:
            return seen

    def write_down(self, before: dict[str, Seen], after: dict[str, Seen], count: bool) -> None:
        """Count the look, tell of what changed, and keep what is known. Raises OSError."""
        now = time.time()
        for name, seen in after.items():
            if count:
                self.rings.add(name, now, ready=seen.up)
            for kind, message in self.changes(before.get(name), seen):
                self.events.add(**seen.version.model_dump(), model=name, time=when(now), kind=kind, message=message)
        if [kept(one) for one in before.values()] != [kept(one) for one in after.values()]:
            memory.write(self.file, after)

    def changes(self, old: Seen | None, new: Seen) -> Iterator[tuple[str, str]]:
        """What is different from the last time, as kinds and messages of events."""
        if old is None:
            yield "appeared", f"served at {new.url}"
        elif old.url == new.url and old.began != new.began and None not in (old.began, new.began):
            address = self.at.get(new.url)
            reason = (address.end or address.before) if address else ""
            yield "restarted", f"the process before it {reason or 'ended, how is not known'}"
        if new.release and (old is None or old.version != new.version):
            yield "running", f"runs {new.version.version or 'a model without a release'}"
        if old is None or old.up != new.up:
            yield ("ready", "takes requests") if new.up else ("not ready", self.why_not(new))

    def why_not(self, seen: Seen) -> str:
        """Why a model takes no requests."""
        return self.faults.get(seen.url) or seen.reason or seen.state

    def restarts(self, name: str) -> list[Mapping[str, Any]]:
        """The restarts that were seen, the oldest first. Raises OSError."""
        return [line for line in self.events.lines() if (line.get("model"), line.get("kind")) == (name, "restarted")]

    async def close(self) -> None:
        """Stop asking."""
        for held in self.held.values():
            await held.close()


def kept(seen: Seen) -> Seen:
    """What is worth writing down when it changes: not that we looked again."""
    return replace(seen, at=0.0, self_test={})

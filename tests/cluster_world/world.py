"""Controllers that make a cluster of an API server: each acts through the Kubernetes API alone, in one thread.

An error in one of them fails the test that has it: `world` raises it at its end.
"""

import asyncio
import contextlib
import itertools
import tempfile
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from nearedge.api.cluster.connection import Cluster, StatusError
from nearedge.api.cluster.resources import EVENTS, Api, Object, path
from nearedge.api.cluster.watched import Watched
from nearedge.errors import OutsideError

Answer = TypeVar("Answer")
AGAIN_S = 0.1
"""Pause before a request is sent again that met a fault."""
END_S = 20.0
"""Everything must have ended by then."""


class Hands:
    """How a controller acts: as `Cluster` does, and again where the server is away or has trouble."""

    def __init__(self, cluster: Cluster, namespace: str, scratch: Path) -> None:
        """`scratch`: a folder for volumes and results."""
        self.cluster, self.namespace, self.scratch = cluster, namespace, scratch
        self.tasks: set[asyncio.Task[None]] = set()
        self.faults: list[BaseException] = []
        self.numbers = itertools.count()
        self.images: set[str] = set()
        """Those that the node has."""

    def folder(self, name: str) -> Path:
        """A folder of its own."""
        made = self.scratch / f"{next(self.numbers)}-{name}"
        made.mkdir(parents=True)
        return made

    async def again(self, call: Callable[[], Awaitable[Answer]]) -> Answer:
        """The answer, however long the server has trouble. Raises StatusError of what will not get better."""
        while True:
            try:
                return await call()
            except StatusError as error:
                if error.code < 500 and error.code != 429:
                    raise
            except OutsideError:
                pass
            await asyncio.sleep(AGAIN_S)

    async def get(self, api: Api, name: str) -> Object | None:
        """An object, None where there is none."""
        with missing_is_fine():
            return await self.again(lambda: self.cluster.get(path(api, self.namespace, name)))
        return None

    async def create(self, api: Api, body: Object) -> Object:
        """A new object, or the one of that name that is there."""
        try:
            return await self.again(lambda: self.cluster.create(path(api, self.namespace), body))
        except StatusError as error:
            if error.reason != "AlreadyExists":
                raise
        return await self.again(lambda: self.cluster.get(path(api, self.namespace, body["metadata"]["name"])))

    async def patch(self, api: Api, name: str, body: object, sub: str = "") -> None:
        """Merge into an object; nothing where it is gone."""
        with missing_is_fine():
            await self.again(lambda: self.cluster.patch(path(api, self.namespace, name, sub), body))

    async def delete(self, api: Api, name: str) -> None:
        """Remove an object at once; nothing where it is gone."""
        with missing_is_fine():
            body: Object = {"gracePeriodSeconds": 0}
            await self.again(lambda: self.cluster.delete(path(api, self.namespace, name), body=body))

    async def tell(self, event: Object) -> None:
        """Write an Event."""
        await self.create(EVENTS, event)

    def spawn(self, work: Awaitable[None]) -> "asyncio.Task[None]":
        """Do it beside; an error is kept for the end."""

        async def kept() -> None:
            try:
                await work
            except Exception as error:
                self.faults.append(error)
                raise

        task = asyncio.create_task(kept())
        self.tasks.add(task)
        task.add_done_callback(self.ended)
        return task

    def ended(self, task: "asyncio.Task[None]") -> None:
        """Forget it; its error was kept."""
        self.tasks.discard(task)
        if not task.cancelled():
            task.exception()

    async def follow(self, api: Api, changed: Callable[[Object], None], gone: Callable[[str], None]) -> None:
        """Tell of each object as it is now, whenever it changed, and of the names of those that went."""
        watched: Watched[Object] = Watched(self.cluster, api, self.namespace, lambda item: item)
        self.spawn(watched.run())
        seen: dict[str, int] = {}
        while True:
            news = watched.news
            for name in set(seen) - set(watched.known):
                del seen[name]
                gone(name)
            for name, entry in list(watched.known.items()):
                if seen.get(name) != entry.version:
                    seen[name] = entry.version
                    changed(entry.value)
            await news.wait()


class Controller(Protocol):
    """One of them."""

    def __init__(self, hands: Hands) -> None:
        """Nothing happens yet."""

    async def run(self) -> None:
        """Act until cancelled."""


@contextlib.contextmanager
def missing_is_fine() -> Iterator[None]:
    """What is gone, or was made again under the same name, needs no more of us."""
    try:
        yield
    except StatusError as error:
        if error.code not in (404, 409):
            raise


class World:
    """A thread in which controllers act."""

    def __init__(self, kubeconfig: Path, namespace: str, controllers: Sequence[type[Controller]]) -> None:
        """Nothing acts yet."""
        self.kubeconfig, self.namespace, self.controllers = kubeconfig, namespace, controllers
        self.loop: asyncio.AbstractEventLoop | None = None
        self.over: asyncio.Event | None = None
        self.faults: list[BaseException] = []
        self.begun = threading.Event()
        self.thread = threading.Thread(target=self.act, daemon=True)

    def act(self) -> None:
        """The thread."""
        try:
            asyncio.run(self.main())
        except BaseException as error:
            self.faults.append(error)
        finally:
            self.begun.set()

    async def main(self) -> None:
        """All of them, until it is over."""
        self.loop, self.over = asyncio.get_running_loop(), asyncio.Event()
        cluster = Cluster.found(self.kubeconfig, namespace=self.namespace)
        with tempfile.TemporaryDirectory() as folder:
            hands = Hands(cluster, self.namespace, Path(folder))
            for controller in self.controllers:
                hands.spawn(controller(hands).run())
            self.begun.set()
            await self.over.wait()
            while hands.tasks:
                for task in hands.tasks:
                    task.cancel()
                await asyncio.wait(hands.tasks)
            self.faults += hands.faults
        await cluster.aclose()

    def __enter__(self) -> "World":
        """Begin."""
        self.thread.start()
        assert self.begun.wait(END_S)
        return self

    def __exit__(self, *_: object) -> None:
        """End at once; raise what went wrong."""
        if self.loop is not None and self.over is not None:
            with contextlib.suppress(RuntimeError):  # it may have ended by itself
                self.loop.call_soon_threadsafe(self.over.set)
        self.thread.join(END_S)
        assert not self.thread.is_alive()
        if self.faults:
            raise self.faults[0]

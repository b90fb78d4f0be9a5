"""Several sources as one, and waiting for the first of several things to happen."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from nearedge.api.cluster.watched import Watched

Item = TypeVar("Item")


@asynccontextmanager
async def merged(*sources: AsyncIterator[Item]) -> AsyncIterator[AsyncIterator[Item]]:
    """The items of all sources as they come; the sources are asked from the beginning on, and no more at the end."""
    waiting = {asyncio.ensure_future(one_of(source)): source for source in sources}
    await asyncio.sleep(0)  # each has begun, so that nothing falls between

    async def items() -> AsyncIterator[Item]:
        while waiting:
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                source = waiting.pop(task)
                found = task.result()
                waiting[asyncio.ensure_future(one_of(source))] = source
                yield found

    try:
        yield items()
    finally:
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


async def one_of(source: AsyncIterator[Item]) -> Item:
    """The next item of a source that has no end."""
    return await anext(source)


async def any_news(watches: list[Watched[Any]], patience_s: float) -> None:
    """Until one of them changes, or so long."""
    tasks = [asyncio.ensure_future(one.wait(patience_s)) for one in watches]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

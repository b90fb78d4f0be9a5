"""What the steps of a run printed, from the logs of their pods: one stream at a time for each who reads.

A step's log is read from its beginning, and what was handed out already is passed over: so lines keep their
numbers, and a connection that broke off is taken up again.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import NamedTuple

from nearedge.api.cluster.connection import StatusError
from nearedge.api.cluster.resources import PODS, Object
from nearedge.api.core.engine import LogQuery
from nearedge.api.core.models import ENDED, LogLine
from nearedge.api.core.tekton.following import any_news
from nearedge.api.core.tekton.listing import RUNS, of_one_run
from nearedge.api.core.tekton.looking import Looking
from nearedge.api.core.tekton.summaries import condition_of, state_of
from nearedge.api.core.tekton.task_statuses import Child, children
from nearedge.api.core.tekton.watches import Watches
from nearedge.errors import OutsideError

LONGEST = 1 << 16
"""Characters of a line; what is longer becomes several lines."""
QUIET_S = 300.0
"""Seconds of silence after which a log's connection counts as dead, and is made anew."""
LOOK_AGAIN_S = 5.0
"""Seconds after which who follows looks again, whatever the watches say."""
BREAKS, PAUSE_S = 5, 1.0
"""Breaks of one step's log in a row that are mended, and seconds between."""
Mark = tuple[str, str, str]


class Place(NamedTuple):
    """The log of a step: Task, step, pod and container; whether it has ended, and what there is to say without one."""

    task: str
    step: str
    pod: str
    container: str
    ended: bool
    missing: str = ""

    @property
    def mark(self) -> Mark:
        """What tells it from others: a Task that is tried again has another pod, whose log begins anew."""
        return self.task, self.step, self.pod


@dataclass
class Reading:
    """One reader of a run's logs. `done` are those read whole, `seen` how many lines of each were handed out.

    `gone` are pods that are not there any more, `breaks` how often in a row the cluster did not answer.
    """

    looking: Looking
    watches: Watches
    name: str
    query: LogQuery
    token: str
    done: set[Mark] = field(default_factory=set)
    gone: set[str] = field(default_factory=set)
    seen: dict[Mark, int] = field(default_factory=dict)
    breaks: int = 0

    async def lines(self) -> AsyncGenerator[LogLine]:
        """The lines that are asked for, in the order of Tasks and steps as far as they have begun."""
        if self.query.tail is not None:
            for line in await self.last(self.query.tail):
                yield line
            if not self.query.follow:
                return
        if not self.query.follow:
            run, taskruns = await self.looking.documents(self.name, self.token)
            for place in self.left(run, taskruns):
                async with aclosing(self.rest(place, follow=False)) as found:
                    async for line in found:
                        yield line
            return
        async with aclosing(self.followed()) as found:
            async for line in found:
                yield line

    async def followed(self) -> AsyncGenerator[LogLine]:
        """Lines until the run has ended, and all there is was read."""
        wanted = of_one_run(self.name)
        async with self.watches.of(RUNS, self.token) as runs, self.watches.of(wanted, self.token) as tasks:
            while True:
                before, ended = self.progress(), False
                try:
                    run, taskruns = await self.looking.documents(self.name, self.token)
                    ended = state_of(condition_of(run.get("status") or {})) in ENDED
                    async with aclosing(self.further(self.left(run, taskruns), ended=ended)) as found:
                        async for line in found:
                            yield line
                    self.breaks = 0
                except (OutsideError, StatusError) as error:
                    await self.mend(error)
                    continue
                if ended:
                    return
                if self.progress() == before:
                    await any_news([runs.watched, tasks.watched], LOOK_AGAIN_S)

    async def further(self, places: list[Place], *, ended: bool) -> AsyncGenerator[LogLine]:
        """What there is of each log, up to one that goes on: when it has ended, others may have begun."""
        for place in places:
            going = not (place.ended or ended)
            async with aclosing(self.rest(place, follow=going)) as found:
                async for line in found:
                    yield line
            if going:
                return

    def progress(self) -> int:
        """A number that grows whenever something was read."""
        return sum(self.seen.values()) + len(self.done) + len(self.gone)

    async def mend(self, error: OutsideError | StatusError) -> None:
        """Wait, where it is worth it to try again; raise the error where it is not."""
        self.breaks += 1
        if self.breaks > BREAKS or (isinstance(error, StatusError) and error.code < 500 and error.code != 429):
            raise error
        await asyncio.sleep(PAUSE_S * self.breaks)

    def left(self, run: Object, taskruns: list[Object]) -> list[Place]:
        """The logs that have begun and were not read whole, in order."""
        found = [place for child in children(run, taskruns) if self.fits(child) for place in places(child)]
        wanted = [one for one in found if self.query.step in (None, one.step) or one.missing]
        return [one for one in wanted if one.mark not in self.done and one.pod not in self.gone]

    def fits(self, child: Child) -> bool:
        """Whether a Task is asked for: by its name, or the name of the matrix it is of."""
        return self.query.task in (None, child.name, child.name.partition(".")[0])

    async def rest(self, place: Place, *, follow: bool) -> AsyncGenerator[LogLine]:
        """The lines of a log that were not handed out yet."""
        mark = place.mark
        if place.missing:
            self.done.add(mark)
            yield LogLine(task=place.task, step=place.step, number=0, text=place.missing)
            return
        if place.pod in self.gone:
            return
        number = 0
        try:
            async with aclosing(self.pieces(place, follow=follow)) as found:
                async for text in found:
                    number += 1
                    if number > self.seen.get(mark, 0):
                        self.seen[mark], self.breaks = number, 0
                        yield LogLine(task=place.task, step=place.step, number=number, text=text)
        except StatusError as error:
            if error.code == 404:
                self.gone.add(place.pod)
                yield LogLine(task=place.task, step=place.step, number=0, text=gone(f"pod {place.pod}"))
            elif error.code != 400:  # 400: its container has not begun
                raise
            return
        if place.ended:
            self.done.add(mark)

    async def pieces(self, place: Place, *, follow: bool) -> AsyncGenerator[str]:
        """The lines of a container's log, the long ones in pieces."""
        reach = self.looking.reach
        where, given = reach.path(PODS, place.pod, "log"), reach.token(self.token)
        lines = reach.cluster.lines(
            where, token=given, quiet_s=QUIET_S, container=place.container, follow="true" if follow else "false"
        )
        async with aclosing(lines) as found:
            async for line in found:
                text = line.decode(errors="replace").removesuffix("\r")
                for at in range(0, max(1, len(text)), LONGEST):
                    yield text[at : at + LONGEST]

    async def last(self, count: int) -> list[LogLine]:
        """The last `count` lines that are there; the lines before them count as handed out."""
        run, taskruns = await self.looking.documents(self.name, self.token)
        found: deque[LogLine] = deque()
        for place in reversed(self.left(run, taskruns)):
            if len(found) >= count and place.ended:
                self.done.add(place.mark)
                continue
            kept: deque[LogLine] = deque(maxlen=max(0, count - len(found)))
            async with aclosing(self.rest(place, follow=False)) as lines:
                async for line in lines:
                    kept.append(line)
            found.extendleft(reversed(kept))
        return list(found)


def places(child: Child) -> Iterator[Place]:
    """The logs of a Task that have begun."""
    if child.taskrun is None:
        if child.reference is not None:
            yield Place(child.name, "", "", "", ended=True, missing=gone(f"TaskRun {child.reference['name']}"))
        return
    status = child.taskrun.get("status") or {}
    pod, over = str(status.get("podName") or ""), state_of(condition_of(status)) in ENDED
    for step in status.get("steps") or []:
        name = str(step.get("name", ""))
        container = str(step.get("container") or f"step-{name}")
        if pod and (step.get("running") or step.get("terminated")):
            yield Place(child.name, name, pod, container, ended=over or bool(step.get("terminated")))


def gone(what: str) -> str:
    """The line in the place of a log."""
    return f"(its {what} is gone, and the log with it)"

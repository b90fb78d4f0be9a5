"""Availability from Prometheus where there is one that answers, else from what we saw ourselves."""

import asyncio
import time
from collections.abc import Sequence

import anyio

from nearedge.api.edge.documents import Availability, SourceState, Window
from nearedge.api.edge.held import absent, state_of, when
from nearedge.api.edge.prometheus import Prometheus
from nearedge.api.edge.rings import Rings
from nearedge.api.edge.settings import Settings
from nearedge.api.edge.site import WINDOWS
from nearedge.errors import OutsideError

AGE_S = 30.0
"""How long an answer of Prometheus is good for."""
MOST_KEPT = 256
PATIENCE_S = 3.0


class Records:
    """Both sources."""

    def __init__(self, settings: Settings, rings: Rings) -> None:
        """There need be no Prometheus in the settings."""
        url, token, ca = settings.prometheus, settings.prometheus_token, settings.ca
        self.prometheus = Prometheus(url, token, ca, settings.namespace) if url else None
        self.rings = rings
        self.kept: dict[tuple[str, str], tuple[float, Window]] = {}
        self.at: float | None = None
        self.fault = ""

    def source(self) -> SourceState:
        """Prometheus, as it answered last."""
        if self.prometheus is None:
            return absent("prometheus", "give --prometheus; availability is what was seen from here")
        return state_of("prometheus", self.at, self.fault)

    async def availability(self, name: str, windows: Sequence[str]) -> Availability:
        """How much of the time a model was ready."""
        found: list[Window] = []
        if self.prometheus is not None:
            try:
                async with asyncio.timeout(PATIENCE_S):
                    found = list(await asyncio.gather(*(self.asked(name, label) for label in windows)))
                self.at, self.fault = time.time(), ""
            except (OutsideError, TimeoutError) as error:
                self.fault = str(error) or f"no answer within {PATIENCE_S:g} s"
        sources = [self.source()]
        if not found:
            try:
                found = [await anyio.to_thread.run_sync(self.looked, name, label) for label in windows]
                sources.append(state_of("sampler", time.time(), ""))
            except OSError as error:
                sources.append(state_of("sampler", None, error.strerror or "cannot be read"))
        return Availability(name=name, windows=found, sources=sources)

    async def asked(self, name: str, label: str) -> Window:
        """One window from Prometheus, or as it was a moment ago. Raises OutsideError."""
        at, window = self.kept.get((name, label), (0.0, None))
        if window is None or time.monotonic() - at > AGE_S:
            assert self.prometheus is not None
            window = await self.prometheus.window(name, label, WINDOWS[label])
            self.kept.pop((name, label), None)
            self.kept[name, label] = (time.monotonic(), window)
            if len(self.kept) > MOST_KEPT:
                del self.kept[next(iter(self.kept))]
        return window

    def looked(self, name: str, label: str) -> Window:
        """One window from our own looks. Raises OSError."""
        minutes = WINDOWS[label] // 60
        seen = self.rings.observed(name, time.time(), minutes)
        return Window(
            window=label, ratio=round(seen.ready / seen.looks, 6) if seen.looks else None,
            observed=round(seen.minutes / minutes, 6), since=None if seen.first is None else when(seen.first * 60),
            origin="sampler",
        )  # fmt: skip

"""Faults that a test switches on, each for a verb and a resource ("*": any), for some times or until it is taken back.

    fault = fake.faults.answer(503, "list", "pods", retry_after=1, times=2)
    fake.faults.cut("pods", after=3)                # the next watch ends after three events
    with fake.faults.hang("get", "applications"): ...

`resource` is a plural, of a subresource `pods/log`. The first fault that fits and is not used up is done.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass

ANY = "*"


@dataclass(eq=False)
class Fault:
    """What to do to requests of a verb and a resource. Also a context manager, which takes it back at the end."""

    faults: "Faults"
    what: str
    """answer, text, delay, hang, cut, reset, silence or expire"""
    verb: str
    resource: str
    times: int | None
    code: int = 500
    message: str = ""
    retry_after: int | None = None
    seconds: float = 0.0
    after: int = 0
    done: int = 0
    """How often it was done."""

    def __enter__(self) -> "Fault":
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """No more of it; what hangs goes on."""
        self.faults.drop(self)


class Faults:
    """The faults that are switched on."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.on: list[Fault] = []
        self.changed: Callable[[], None] = lambda: None
        """Called when one is taken back."""

    def answer(
        self, code: int, verb: str = ANY, resource: str = ANY, *, times: int | None = None,
        message: str = "a fault of the test", retry_after: int | None = None,
    ) -> Fault:  # fmt: skip
        """Answer with a Status of that code instead (410 to a watch is HTTP 410); `retry_after` in seconds."""
        return self._add(Fault(self, "answer", verb, resource, times, code, message, retry_after))

    def text(self, code: int, text: str, verb: str = ANY, resource: str = ANY, *, times: int | None = None) -> Fault:
        """Answer with plain text instead, as a proxy in between does, or nonsense."""
        return self._add(Fault(self, "text", verb, resource, times, code, text))

    def slow(self, seconds: float, verb: str = ANY, resource: str = ANY, *, times: int | None = None) -> Fault:
        """Answer that much later."""
        return self._add(Fault(self, "delay", verb, resource, times, seconds=seconds))

    def hang(self, verb: str = ANY, resource: str = ANY, *, times: int | None = None) -> Fault:
        """Take the request and do not answer, until this is taken back; then it is done as asked."""
        return self._add(Fault(self, "hang", verb, resource, times))

    def cut(self, resource: str = ANY, *, after: int = 0, reset: bool = True, times: int | None = 1) -> Fault:
        """End a watch after `after` events (a followed log, `pods/log`, after pieces) in the midst, or as timed out."""
        return self._add(Fault(self, "reset" if reset else "cut", "watch", resource, times, after=after))

    def expire(self, resource: str = ANY, *, after: int = 0, times: int | None = 1) -> Fault:
        """After `after` events of a watch say ERROR with 410, and end it."""
        return self._add(Fault(self, "expire", "watch", resource, times, after=after))

    def silence(self, resource: str = ANY, *, after: int = 0, times: int | None = None) -> Fault:
        """After `after` events a watch says nothing any more, but stays open, as behind a dead connection."""
        return self._add(Fault(self, "silence", "watch", resource, times, after=after))

    def clear(self) -> None:
        """Take all back."""
        with self.lock:
            self.on.clear()
        self.changed()

    def drop(self, fault: Fault) -> None:
        """Take one back."""
        with self.lock:
            if fault in self.on:
                self.on.remove(fault)
        self.changed()

    def _add(self, fault: Fault) -> Fault:
        with self.lock:
            self.on.append(fault)
        return fault

    def next(self, verb: str, resource: str, kinds: tuple[str, ...]) -> Fault | None:
        """The fault for a request, which counts as done."""
        with self.lock:
            for fault in self.on:
                fits = fault.what in kinds and fault.verb in (ANY, verb) and fault.resource in (ANY, resource)
                if fits and (fault.times is None or fault.done < fault.times):
                    fault.done += 1
                    return fault
        return None

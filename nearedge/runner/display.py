"""What a person sees of a run on stderr: a line for each Task, a spinner with the time while it runs on a terminal."""

import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from nearedge.runner import events
from nearedge.runner.conditions import Skip
from nearedge.runner.durations import readable
from nearedge.runner.substitution import Value

LAST_LINES = 12
# Bytes of a log that are read for each line shown.
MOST_READ = 4096
WIDEST_VALUE = 100
# How our own programs begin their one-line errors.
ERROR_PREFIX = "nearedge "


def tail(log: Path, count: int = LAST_LINES) -> list[str]:
    """The last lines of a log that hold something; none where it is not there."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - MOST_READ * count))
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    return [line.rstrip() for line in text.splitlines() if line.strip()][-count:]


def own_error_first(lines: list[str]) -> list[str]:
    """The lines with the program's own one-line error, the last of its kind, moved to the front."""
    own = [line for line in lines if line.startswith(ERROR_PREFIX) and ": " in line]
    return [own[-1], *(line for line in lines if line != own[-1])] if own else lines


def short(value: Value) -> str:
    """A result's value in one line."""
    text = value if isinstance(value, str) else str(value)
    text = " ".join(text.split())
    return text if len(text) <= WIDEST_VALUE else f"{text[: WIDEST_VALUE - 1]}…"


def columns(names: list[str]) -> int:
    """The width for names, so that what follows them lines up."""
    return min(40, max((len(name) for name in names), default=0))


class Display:
    """Shows events. Use it as a context manager; call it with each event."""

    def __init__(self, quiet: bool = False, console: Console | None = None) -> None:
        """Write to stderr; `quiet` shows failures only."""
        self.quiet = quiet
        self.console = console or Console(stderr=True, highlight=False, soft_wrap=True)
        self.since: dict[str, tuple[float, str, Path | None]] = {}
        self.width = 0
        self.without_effect = 0
        self.undone = 0
        self.spinner = Spinner("dots")
        self.folder = Path()
        self.live: Live | None = None

    def __enter__(self) -> "Display":
        """Start the spinner where there is a terminal."""
        if self.console.is_terminal and not self.quiet:
            self.live = Live(get_renderable=self.running, console=self.console, transient=True, refresh_per_second=8)
            self.live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the spinner."""
        if self.live is not None:
            self.live.stop()

    def running(self) -> Table:
        """The Tasks that run now: a spinner, the step, the time since the Task began, the last line that it printed."""
        table = Table.grid(padding=(0, 1))
        for _ in range(5):
            table.add_column(no_wrap=True, overflow="ellipsis")
        for label, (since, step, log) in list(self.since.items()):
            last = tail(log, 1) if log is not None else []
            told = Text(last[0] if last else "", style="dim")
            table.add_row(self.spinner, Text(label), Text(step, style="dim"), readable(time.monotonic() - since), told)
        return table

    def __call__(self, event: events.Event) -> None:
        """Show one event."""
        handlers: dict[type, Callable[..., None]] = {
            events.RunStarted: self.run_started,
            events.Note: self.note,
            events.TaskStarted: self.task_started,
            events.StepStarted: self.step_started,
            events.SidecarStarted: self.sidecar_started,
            events.TaskRetried: self.task_retried,
            events.TaskEnded: self.task_ended,
            events.TaskSkipped: self.task_skipped,
            events.TaskReused: self.task_reused,
            events.RunEnded: self.run_ended,
        }
        if not isinstance(event, events.Note):
            self.say_without_effect()
        handlers[type(event)](event)

    def line(self, text: str, style: str = "", always: bool = False) -> None:
        """One line, if it is to be seen."""
        if always or not self.quiet:
            self.console.print(Text(text, style=style))

    def run_started(self, event: events.RunStarted) -> None:
        """Where the run is kept."""
        self.folder, self.width = event.folder, columns(list(event.tasks))
        self.line(f"run {event.name}: {len(event.tasks)} Tasks, logs in {relative(event.folder)}", "bold")

    def note(self, event: events.Note) -> None:
        """A doubt is shown; fields without effect are counted, and named in the run's log."""
        if event.warning:
            self.line(f"! {event.text}", "yellow")
        else:
            self.without_effect += 1

    def say_without_effect(self) -> None:
        """Once: how many fields have no effect here, and where they are named."""
        if self.without_effect:
            some = "1 field matters" if self.without_effect == 1 else f"{self.without_effect} fields matter"
            self.line(f"  {some} on a cluster only; see run.log", "dim")
            self.without_effect = 0

    def task_started(self, event: events.TaskStarted) -> None:
        """On a terminal the spinner shows it."""
        self.since[event.label] = (time.monotonic(), "", None)
        if self.live is None and event.attempt == 0:
            self.line(f"▶ {event.label}")

    def step_started(self, event: events.StepStarted) -> None:
        """The spinner names the step."""
        since, _, _ = self.since.get(event.label, (time.monotonic(), "", None))
        self.since[event.label] = (since, event.step, event.log)

    def sidecar_started(self, event: events.SidecarStarted) -> None:
        """What a sidecar runs on is worth a line."""
        self.line(f"  {event.label}: sidecar {event.name} runs on {event.backend}", "dim")

    def task_retried(self, event: events.TaskRetried) -> None:
        """A new attempt."""
        self.line(f"↻ {event.label:{self.width}}  exit {event.exit_status}, attempt {event.attempt + 1}", "yellow")

    def task_ended(self, event: events.TaskEnded) -> None:
        """Done, or failed with what a person needs to know."""
        self.since.pop(event.label, None)
        took = f"{event.label:{self.width}}  {readable(event.duration_s):>8}"
        if event.succeeded:
            self.line(f"✔ {took}", "green")
            return
        if event.reason == "TaskRunCancelled":
            self.line(f"◼ {took}  stopped: {event.message}", "yellow", always=True)
            return
        ignored = "  (ignored: onError: continue)" if event.ignored else ""
        self.line(f"✖ {took}  exit {event.exit_status}{ignored}", "yellow" if event.ignored else "red", always=True)
        if not event.message.startswith('"step-') or event.log is None:
            self.line(f"    {event.message}", always=True)
        self.last_lines(event)

    def last_lines(self, event: events.TaskEnded) -> None:
        """The end of the log that says why, and where all of it is."""
        if event.log is None or not event.log.is_file():
            return
        for text in own_error_first(tail(event.log)):
            self.line(f"    {text}", always=True)
        self.line(f"    log: {relative(event.log)}", "dim", always=True)

    def task_skipped(self, event: events.TaskSkipped) -> None:
        """Skipped, and why; those that a failure leaves undone are one line at the end."""
        if event.reason == Skip.STOPPING.value:
            self.undone += 1
            return
        self.line(f"- {event.label:{self.width}}  skipped: {event.reason}", "dim")

    def task_reused(self, event: events.TaskReused) -> None:
        """Taken over."""
        self.line(f"✔ {event.label:{self.width}}  unchanged, not run again", "green")

    def run_ended(self, event: events.RunEnded) -> None:
        """The results, and how it went."""
        if self.undone:
            self.line(f"- {self.undone} {'Task' if self.undone == 1 else 'Tasks'} not run: the run was stopping", "dim")
        self.since.clear()
        width = columns(list(event.results))
        for name, value in event.results.items():
            self.line(f"  {name:{width}}  {short(value)}")
        style = "bold green" if event.succeeded else "bold red"
        text = f"run {event.name}: {event.reason}, {readable(event.duration_s)}"
        self.line(text if event.succeeded else f"{text}. {event.message}", style, always=not event.succeeded)


def relative(path: Path) -> str:
    """A path as a person would type it from here."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)

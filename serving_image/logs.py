"""JSON lines on stderr. Never a payload: only names, statuses and durations."""

import logging
import sys
from datetime import UTC, datetime

import orjson

LOGGER = logging.getLogger("serving_image")
SAID_ELSEWHERE = "Invalid HTTP request received."
"""uvicorn's warning; such a request has a line of its own, where requests are logged."""
LEVELS = ("debug", "info", "warning", "error")


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, message, and what `extra={"fields": {...}}` adds."""

    def format(self, record: logging.LogRecord) -> str:
        """The line for one record; an exception becomes its type and where it was raised, on the same line."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
        }
        line.update(getattr(record, "fields", {}))
        if record.exc_info and record.exc_info[1] is not None:
            line["exception"] = where(record.exc_info[1])
        return orjson.dumps(line, default=str).decode()


def where(error: BaseException) -> str:
    """The type of an exception and the frames it came through; not its text, which may hold a client's values."""
    frames = []
    trace = error.__traceback__
    while trace is not None:
        frames.append(f"{trace.tb_frame.f_code.co_name}:{trace.tb_lineno}")
        trace = trace.tb_next
    return f"{type(error).__name__} in {' > '.join(frames)}"


def configure(level: str) -> None:
    """Send our own lines from `level` up, and uvicorn's warnings, to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    for logger, threshold in ((LOGGER, level.upper()), (logging.getLogger("uvicorn"), "WARNING")):
        logger.handlers = [handler]
        logger.propagate = False
        logger.setLevel(threshold)
    logging.getLogger("uvicorn.error").addFilter(lambda record: record.msg != SAID_ELSEWHERE)
    logging.captureWarnings(True)


def event(level: int, message: str, **fields: object) -> None:
    """Write one line with `fields` as keys of their own."""
    if LOGGER.isEnabledFor(level):
        LOGGER.log(level, message, extra={"fields": fields})


class Sampled:
    """Which requests are logged: those at fault, and a share of the others; with None for the share not one.

    At the level debug it is every request, unless it is to be not one.
    """

    def __init__(self, share: float | None) -> None:
        """`share` is from 0 to 1."""
        self.share = share
        self.debt = 0.0

    def __call__(self, *, fault: bool) -> bool:
        """Whether this one is: each time the shares of those without a fault add up to one."""
        if self.share is None or fault or LOGGER.isEnabledFor(logging.DEBUG):
            return self.share is not None
        self.debt += self.share
        if self.debt < 1:
            return False
        self.debt -= 1
        return True

"""The log level of a model server while it runs: Triton's logging extension, `/v2/logging` (docs/serving.md)."""

import json
from collections.abc import Sequence
from typing import get_args

from nearedge.api.edge.held import absent, state_of
from nearedge.api.edge.manage_documents import Level, LogLevel
from nearedge.api.edge.servers import Address, Talk, of_json
from nearedge.api.problems import ProblemError
from nearedge.errors import OutsideError

PATH = "/v2/logging"
LEVELS: tuple[Level, ...] = get_args(Level)
TOO_OLD = "its server cannot change it while it runs; it is of an older release"


def flags(level: Level) -> dict[str, object]:
    """The settings that mean a level."""
    place = LEVELS.index(level)
    return {"log_verbose_level": int(place == 0), "log_info": place <= 1, "log_warning": place <= 2, "log_error": True}


async def read(talk: Talk, address: Address, name: str, models: Sequence[str], at: float) -> LogLevel:
    """What the server logs, asked at `at` (seconds since 1970). Never fails: the answer says what is missing."""
    try:
        answer = await talk.get(address, PATH)
        if answer.status == 404:
            return unknown(name, models, TOO_OLD)
        found = of_json(answer, address, (200,))
    except OutsideError as error:
        said = unknown(name, models, str(error))
        return said.model_copy(update={"sources": [state_of("server", None, str(error))]})
    return document(name, models, found, at)


async def write(talk: Talk, address: Address, name: str, models: Sequence[str], level: Level, at: float) -> LogLevel:
    """Set it. Raises ProblemError 409 where the server does not let us, OutsideError where it does not answer."""
    answer = await talk.post(address, PATH, json.dumps(flags(level)).encode())
    if answer.status == 404:
        raise ProblemError(409, f"model {name!r}: {TOO_OLD}")
    found = of_json(answer, address, (200, 401, 403))
    if answer.status != 200:
        raise ProblemError(409, f"model {name!r}: {found.get('error', 'its server does not let us')}"[:300])
    return document(name, models, found, at)


def document(name: str, models: Sequence[str], found: dict[str, object], at: float) -> LogLevel:
    """What the server said."""
    now, start = (level_of(found.get(key)) for key in ("log_level", "log_level_at_start"))
    reason = "" if now else "its server names a level that we do not know"
    source = state_of("server", at, "")
    return LogLevel(name=name, level=now, at_start=start, models=list(models), reason=reason, sources=[source])


def unknown(name: str, models: Sequence[str], reason: str) -> LogLevel:
    """Nothing is known of it."""
    source = absent("server", reason)
    return LogLevel(name=name, level=None, at_start=None, models=list(models), reason=reason, sources=[source])


def level_of(value: object) -> Level | None:
    """A level, None for what is none."""
    return next((level for level in LEVELS if level == value), None)

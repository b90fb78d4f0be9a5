"""The log level while the server runs, as Triton's logging extension has it: GET and POST /v2/logging.

Triton's flags may be set in any combination; here a level implies those above it (debug, info, warning, error). What
cannot be changed (where the log goes, its form, that errors are logged) is in the document and may be sent as it is.
"""

import logging
from pathlib import Path
from typing import Any

import orjson

from serving_image.auth import Token
from serving_image.faults import BadRequestError, ForbiddenError
from serving_image.logs import LEVELS, LOGGER, event
from serving_image.settings import Settings
from serving_image.tensors import quoted

PATH = "/v2/logging"
MOST_BYTES = 4096
FIXED: dict[str, object] = {"log_file": "", "log_error": True, "log_format": "default"}
PLACES = {"log_verbose_level": 0, "log_info": 1, "log_warning": 2}
"""Which of LEVELS each setting turns on or off."""


def flags(level: str) -> dict[str, object]:
    """What Triton's settings are at a level."""
    place = LEVELS.index(level)
    return {**FIXED, "log_verbose_level": int(place == 0), "log_info": place <= 1, "log_warning": place <= 2}


class LogControl:
    """Who may set the level, and what it is."""

    def __init__(self, settings: Settings, token: Token) -> None:
        """The level is that of the settings until somebody sets another."""
        self.at_start = self.level = settings.log_level
        self.who, self.token, self.host = settings.log_control, token, settings.host
        self.own = settings.log_token_file

    def document(self) -> dict[str, Any]:
        """The settings, and the levels that they mean: now, and at the next start."""
        return {**flags(self.level), "log_level": self.level, "log_level_at_start": self.at_start}

    def judges(self, method: str, path: str) -> bool:
        """Whether a request needs our own token in place of the clients'."""
        return self.own is not None and path == PATH and method == "POST"

    def check(self, headers: dict[bytes, bytes]) -> None:
        """Raise ForbiddenError or UnauthorizedError where whoever asks may not set the level.

        The clients' token is checked before, unless we judge. Without any token the address that we listen on decides,
        and not the caller's: behind a proxy of the same pod everybody is local.
        """
        if self.who == "off":
            raise ForbiddenError("the log level is not to be changed here: --log-control is off")
        if self.own is not None:
            self.check_own(self.own, headers)
        elif self.token.expected is None:
            if b"origin" in headers:
                raise ForbiddenError("a page in a browser may not change the log level without a token")
            if self.who == "auto" and self.host not in ("127.0.0.1", "::1", "localhost"):
                raise ForbiddenError(
                    "this server has no token and listens on more than this machine; set --log-token-file"
                )

    @staticmethod
    def check_own(path: Path, headers: dict[bytes, bytes]) -> None:
        """Compare with the token in a file, which may come and change while we run."""
        try:
            own = Token(path)
        except (OSError, ValueError):
            raise ForbiddenError(f"the token for it, --log-token-file {path}, is not there or is none") from None
        own.check(headers.get(b"authorization"))

    def change(self, body: bytes) -> dict[str, Any]:
        """Take over settings; what is left out stays. Raises BadRequestError."""
        level = wanted(body, self.level)
        before, self.level = self.level, level
        LOGGER.setLevel(logging.INFO)  # whatever is logged otherwise, that somebody changed it is
        event(logging.INFO, "log level set", log_level=level, before=before)
        LOGGER.setLevel(level.upper())
        return self.document()


def wanted(body: bytes, now: str) -> str:
    """The level nearest to `now` that has the settings of a request. Raises BadRequestError."""
    try:
        given = orjson.loads(body)
    except orjson.JSONDecodeError:
        given = None
    if not isinstance(given, dict):
        raise BadRequestError('send a JSON object of settings, such as {"log_verbose_level": 1}')
    least, most = 0, len(LEVELS) - 1
    for name, value in given.items():
        if name in PLACES:
            place = PLACES[name]
            if on(name, value):
                most = min(most, place)
            else:
                least = max(least, place + 1)
        elif name not in FIXED:
            raise BadRequestError(f"there is no log setting {quoted(name)}; there are {', '.join(flags(now))}")
        elif type(value) is not type(FIXED[name]) or value != FIXED[name]:
            raise BadRequestError(f"{name} cannot be changed; it is {orjson.dumps(FIXED[name]).decode()}")
    if least > most:
        raise BadRequestError("no level has these settings together: one that is logged implies those above it")
    return LEVELS[min(max(LEVELS.index(now), least), most)]


def on(name: str, value: object) -> bool:
    """Whether a setting asks for its level. Raises BadRequestError for what is no value of it."""
    if name == "log_verbose_level":
        if type(value) is int and value >= 0:
            return value > 0
        raise BadRequestError(f"{name} is to be a whole number from 0; all above 0 are alike")
    if isinstance(value, bool):
        return value
    raise BadRequestError(f"{name} is to be true or false")

"""The audit log: one line of JSON for each thing that somebody changed, or tried to."""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TextIO

from nearedge.api.access import Caller


@dataclass(frozen=True)
class Audit:
    """Where the lines go; standard error, which the platform collects, unless another stream is given."""

    log: TextIO | None = None
    more: Mapping[str, str] = field(default_factory=dict)

    def say(self, caller: Caller, action: str, what: Mapping[str, object], outcome: str, detail: str = "") -> None:
        """Who did what, when, and what came of it: `outcome` is done, unchanged or refused."""
        line = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"), "level": "info", "message": "audit",
            "who": caller.name, "role": caller.role, "action": action, "what": dict(what), "outcome": outcome,
            "detail": detail, **self.more,
        }  # fmt: skip
        print(json.dumps(line), file=self.log or sys.stderr, flush=True)

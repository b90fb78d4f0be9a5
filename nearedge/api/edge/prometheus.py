"""Availability from the site's Prometheus, where there is one: it saw more, and earlier, than our own looks.

On OpenShift that is Thanos' querier of the cluster's monitoring, which wants a ServiceAccount's token.
"""

import json
import time
from pathlib import Path
from urllib.parse import quote

from nearedge.api.edge import client
from nearedge.api.edge.documents import Window
from nearedge.api.edge.held import when
from nearedge.errors import OutsideError

TIMEOUT_S = 5.0
STEP_S = 60
"""Seconds between two points of a subquery."""


class Prometheus:
    """Asks one Prometheus."""

    def __init__(self, url: str, token: Path | None = None, ca: Path | None = None, namespace: str = "") -> None:
        """`url` is its own, without /api; `token` a file with the bearer token that it wants, read each time.

        `ca`: certificates to trust besides the machine's. `namespace`: that of the models, where it sees others.
        """
        self.url, self.token, self.ca, self.namespace = url.rstrip("/"), token, ca, namespace

    async def number(self, expression: str, at: float) -> float | None:
        """The value of an expression with one sample, None where it has none. Raises OutsideError."""
        url = f"{self.url}/api/v1/query?query={quote(expression, safe='')}&time={at:.3f}&timeout={TIMEOUT_S:g}s"
        answer = await client.ask(url, TIMEOUT_S, headers=client.with_token(self.token), ca=self.ca)
        try:
            document = json.loads(answer.body)
            found = document["data"]["result"]
            if document["status"] != "success":
                raise ValueError(document["status"])
            return float(found[0]["value"][1]) if found else None
        except (ValueError, LookupError, TypeError, RecursionError) as error:
            raise OutsideError(f"{self.url}: status {answer.status}, no answer to a query") from error

    async def window(self, name: str, label: str, length_s: int) -> Window:
        """A model's availability over the last `length_s` seconds. Raises OutsideError.

        A server that is down gives no sample at all. Minutes from the first one on in which Prometheus scraped
        anything count, whether the model's server was there or not.
        """
        now = time.time()
        labels = {"model": name, **({"namespace": self.namespace} if self.namespace else {})}
        matched = ",".join(f"{key}={json.dumps(text, ensure_ascii=False)}" for key, text in labels.items())
        ready = f"max(nearedge_model_ready{{{matched}}})"
        span = f"[{length_s}s:{STEP_S}s]"
        first = await self.number(f"min_over_time(timestamp({ready}){span})", now)
        if first is None:
            return Window(window=label, ratio=None, observed=0.0, since=None, origin="prometheus")
        up = await self.number(f"sum_over_time({ready}{span})", now)
        scraped = await self.number(f"count_over_time(max(up)[{max(STEP_S, int(now - first) + 1)}s:{STEP_S}s])", now)
        ratio = None if up is None or not scraped else min(1.0, up / scraped)
        return Window(
            window=label, ratio=ratio, observed=round(min(1.0, (scraped or 0.0) * STEP_S / length_s), 6),
            since=when(first), origin="prometheus",
        )  # fmt: skip

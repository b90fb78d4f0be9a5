"""PromQL over HTTP: instant queries of one Prometheus, all of them within a few seconds, answers bounded."""

import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
import urllib3

from nearedge.delivery.git import without_credentials
from nearedge.errors import InputError, OutsideError

TIMEOUT_S = 5.0
LARGEST = 64 << 20
"""Bytes of one answer; 20,000 series are some 5 MB."""
PART = 1 << 16
Sample = tuple[Mapping[str, str], float]
"""A series' labels, and its value, which is a number."""


@dataclass(frozen=True)
class PrometheusPlace:
    """Where it is (https://host/path as before /api/v1), and files with a bearer token and CAs."""

    url: str
    token_file: Path | None = None
    ca_bundle: Path | None = None

    @property
    def shown(self) -> str:
        """The address for a message."""
        return without_credentials(self.url)


class Queries:
    """Queries with one deadline for all of them, on one connection."""

    def __init__(self, place: PrometheusPlace, within_s: float = TIMEOUT_S) -> None:
        """Begin; raises InputError where the token cannot be read."""
        self.place, self.end, self.session = place, time.monotonic() + within_s, requests.Session()
        if place.ca_bundle is not None:
            self.session.verify = str(place.ca_bundle)
        if place.token_file is not None:
            try:
                token = place.token_file.read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                raise InputError(f"{place.token_file}: the token for Prometheus cannot be read") from error
            self.session.headers["Authorization"] = f"Bearer {token}"

    def ask(self, query: str) -> list[Sample]:
        """The series of an instant query; those that are no number are left out.

        Raises OutsideError where Prometheus is away, slow, refuses, or says what it does not say.
        """
        where = self.place.shown
        try:
            body = self.body(query)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            raise OutsideError(f"{where}: {reason(error)}") from error
        try:
            document = json.loads(body)
            if document["status"] != "success":
                raise OutsideError(f"{where}: {str(document.get('error', 'failed without a word'))[:200]}")
            return [one for one in map(sample, document["data"]["result"]) if math.isfinite(one[1])]
        except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError) as error:
            raise OutsideError(f"{where}: the answer is not Prometheus' own; check its address") from error

    def body(self, query: str) -> bytes:
        """What it answers. Raises what requests and urllib3 raise, OutsideError for an answer that is none."""
        left = self.end - time.monotonic()
        if left <= 0:
            raise OutsideError(f"{self.place.shown}: no whole answer within {TIMEOUT_S:g} s")
        url = f"{self.place.url.rstrip('/')}/api/v1/query"
        form = {"query": query, "timeout": f"{max(1, round(left * 1000))}ms"}
        with self.session.post(url, data=form, timeout=left, stream=True, allow_redirects=False) as answer:
            if answer.status_code not in (200, 400, 422, 503) or 300 <= answer.status_code < 400:
                raise OutsideError(f"{self.place.shown}: status {answer.status_code}")
            body = b""
            while part := answer.raw.read1(PART, decode_content=True):
                body += part
                if len(body) > LARGEST:
                    raise OutsideError(f"{self.place.shown}: answers with more than {LARGEST >> 20} MiB")
                if time.monotonic() > self.end:
                    raise OutsideError(f"{self.place.shown}: no whole answer within {TIMEOUT_S:g} s")
            return body


def reason(error: Exception) -> str:
    """Why it could not be asked, in a few words."""
    if isinstance(error, requests.exceptions.SSLError):
        return "its certificate is not trusted; give a CA bundle"
    if isinstance(error, requests.Timeout | urllib3.exceptions.TimeoutError | TimeoutError):
        return f"no whole answer within {TIMEOUT_S:g} s"
    if isinstance(error, requests.ConnectionError):
        return "cannot be reached"
    return f"the connection broke ({type(error).__name__})"


def sample(document: Any) -> Sample:
    """One series of an instant vector."""
    labels = {str(key): str(value) for key, value in document["metric"].items()}
    return labels, float(document["value"][1])

"""Calls to a forge's REST API: time-outs, retries, limits on the rate, private CAs, proxies.

The token is in the header Authorization and nowhere else; redirects are not followed, since it would go with them.
"""

import json
import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import requests

from nearedge.delivery import transport
from nearedge.errors import OutsideError
from nearedge.progress import say

ATTEMPTS = 5
FIRST_WAIT_S, LIMITED_WAIT_S, LONGEST_WAIT_S = 0.5, 60.0, 300.0
"""Seconds: after a first fault; where a limit is hit and nothing says for how long (GitHub asks for a minute); and the
longest that is waited for in all."""
LARGEST_ANSWER = 16 << 20
MOST_PAGES = 200
SHOWN = 300
"""Letters of a forge's own words in a message."""


@dataclass(frozen=True)
class Answer:
    """What the API said: `document` is its JSON, None where the body is none; `next_page` an address or empty."""

    status: int
    document: object
    headers: Mapping[str, str] = field(default_factory=dict)
    next_page: str = ""


class Connection:
    """An API and the token to talk to it with."""

    def __init__(
        self, api: str, token: str, scheme: str, ca_bundle: Path | None, wait: Callable[[float], None] = time.sleep
    ) -> None:
        """`scheme` is the word before the token in the header; `wait` is called with seconds."""
        host = urlsplit(api).netloc
        self.api, self.host, self.token, self.wait = api, host, token, wait
        self.waited_s = 0.0
        self.session = transport.new_session(host, ca_bundle, 0, tls=api.startswith("https:"))
        self.session.headers.update({"Authorization": f"{scheme} {token}", "Accept": "application/json"})

    def ask(self, method: str, path: str, body: Mapping[str, object] | None = None) -> Answer:
        """One call, tried again after passing faults. What is made is asked for by name, so twice does no harm.

        Raises OutsideError where the API cannot be reached or asks to wait for too long.
        """
        return self.persist(method, f"{self.api}{path}", body, {})

    def pages(self, path: str, **query: str) -> Iterator[Answer]:
        """All pages of a list, by the links from one to the next (RFC 8288). Raises OutsideError for a foreign one."""
        answer = self.persist("GET", f"{self.api}{path}", None, query)
        for _ in range(MOST_PAGES):
            yield answer
            if not answer.next_page:
                return
            if transport.origin(answer.next_page) != transport.origin(self.api):
                raise OutsideError(f"{self.host}: the next page of its list is on another host; check api-url")
            answer = self.persist("GET", answer.next_page, None, {})
        raise OutsideError(f"{self.host}: lists more than {MOST_PAGES} pages of open requests; close some")

    def persist(self, method: str, address: str, body: Mapping[str, object] | None, query: Mapping[str, str]) -> Answer:
        """As `ask`, for a whole address."""
        for number in range(ATTEMPTS):
            last = number == ATTEMPTS - 1
            pause_s = FIRST_WAIT_S * 2**number * random.uniform(0.8, 1.2)  # noqa: S311  # no secret
            try:
                answer = self.once(method, address, body, query)
            except requests.RequestException as error:
                why = transport.reason(error)
                if last:
                    raise OutsideError(f"{self.host}: {why}; run it again when it can be reached") from None
            else:
                limited = is_limited(answer)
                if not limited and answer.status not in transport.PASSING:
                    return answer
                asked_s = asked_to_wait(answer, time.time())
                pause_s = max(pause_s, asked_s if asked_s is not None else LIMITED_WAIT_S if limited else 0.0)
                why = "its limit on the rate of requests is reached" if limited else f"status {answer.status}"
                if last or self.waited_s + pause_s > LONGEST_WAIT_S:
                    raise OutsideError(f"{self.host}: {why}; run it again in {max(1, round(pause_s))} s or later")
            say(f"{self.host}: {why}; again in {pause_s:.1f} s")
            self.waited_s += pause_s
            self.wait(pause_s)
        raise AssertionError  # the last attempt returns or raises

    def once(self, method: str, address: str, body: Mapping[str, object] | None, query: Mapping[str, str]) -> Answer:
        """One call. Raises requests.RequestException."""
        response = self.session.request(
            method, address, json=body, params=dict(query), allow_redirects=False, stream=True
        )
        with response:
            content = transport.body_of(response, LARGEST_ANSWER)
        following = response.links.get("next", {}).get("url", "")
        return Answer(response.status_code, parsed(content), response.headers, following)

    def clean(self, text: str) -> str:
        """`text` as one short line without the token."""
        line = " ".join(text.replace(self.token, "***").split())
        return "".join(letter for letter in line if letter.isprintable())[:SHOWN]


def parsed(content: bytes | None) -> object:
    """The JSON of an answer, None where it is none."""
    try:
        found: object = json.loads(content or b"null")
    except (ValueError, RecursionError):
        return None
    return found


def is_limited(answer: Answer) -> bool:
    """Whether the answer says "too fast": 429, or GitHub's 403 with Retry-After, no requests left, or its words.

    https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api, "Exceeding the rate limit".
    """
    if answer.status == requests.codes.too_many_requests:
        return True
    if answer.status != requests.codes.forbidden:
        return False
    left = answer.headers.get("x-ratelimit-remaining")
    return "retry-after" in answer.headers or left == "0" or "rate limit" in words(answer.document).lower()


def asked_to_wait(answer: Answer, now_s: float) -> float | None:
    """Seconds that the answer asks to wait from `now_s` (Unix time) on; None where it does not say."""
    after = answer.headers.get("retry-after", "")
    if after.isdigit():
        return float(after)
    reset = answer.headers.get("x-ratelimit-reset", "")
    if answer.headers.get("x-ratelimit-remaining") == "0" and reset.isdigit():
        return max(0.0, float(reset) - now_s)
    return None


def words(document: object) -> str:
    """What a forge says of a refusal: `message` (a text, a list or an object), `error`, and GitHub's list `errors`."""
    if not isinstance(document, dict):
        return ""
    found = [said(document.get(key)) for key in ("message", "error", "error_description", "errors")]
    return "; ".join(dict.fromkeys(one for one in found if one))


def said(value: object) -> str:
    """Texts inside a value, joined."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return ", ".join(one for one in map(said, value) if one)
    if isinstance(value, dict):
        inner = value.get("message") or ", ".join(one for one in map(said, value.values()) if one)
        return said(inner)
    return ""

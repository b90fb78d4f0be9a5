"""The log level while the server runs: what it is set to, and who may."""

import json
import logging
from pathlib import Path
from types import SimpleNamespace

import pytest
import requests

from serving_image import logs
from serving_image.auth import Token
from serving_image.faults import BadRequestError, ForbiddenError, UnauthorizedError
from serving_image.log_control import LogControl, flags, wanted

PATH = "/v2/logging"


def of(
    log_control: str = "auto", host: str = "127.0.0.1", token: bytes | None = None, own: Path | None = None
) -> LogControl:
    found = Token(None)
    found.expected = token
    told = {"log_level": "info", "log_control": log_control, "host": host, "log_token_file": own}
    return LogControl(SimpleNamespace(**told), found)


@pytest.mark.parametrize(
    ("now", "given", "level"),
    [
        ("info", {}, "info"), ("info", {"log_verbose_level": 3}, "debug"), ("debug", {"log_verbose_level": 0}, "info"),
        ("error", {"log_verbose_level": 0}, "error"), ("info", {"log_info": False}, "warning"),
        ("debug", {"log_warning": False}, "error"), ("error", {"log_info": True}, "info"),
        ("debug", {"log_info": True}, "debug"), ("warning", {"log_error": True, "log_file": ""}, "warning"),
        *((now, flags(level), level) for now in logs.LEVELS for level in logs.LEVELS),
    ],
)  # fmt: skip
def test_the_level_that_settings_mean(now: str, given: dict[str, object], level: str) -> None:
    assert wanted(json.dumps(given).encode(), now) == level


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "a JSON object"), (b"[]", "a JSON object"), (b"[" * 4000, "a JSON object"), (b'{"a\xff": 1}', "a JSON"),
        (b'{"log_level": "debug"}', "no log setting 'log_level'"), (b'{"log_info": 1}', "true or false"),
        (b'{"log_verbose_level": true}', "whole number"), (b'{"log_verbose_level": -1}', "whole number"),
        (b'{"log_file": "/etc/passwd"}', "log_file cannot be changed"), (b'{"log_error": false}', "it is true"),
        (b'{"log_error": 1}', "it is true"), (b'{"log_info": true, "log_warning": false}', "no level"),
        (b'{"log_verbose_level": 1, "log_info": false}', "no level"),
    ],
)  # fmt: skip
def test_settings_that_are_none(body: bytes, says: str) -> None:
    with pytest.raises(BadRequestError, match=says):
        wanted(body, "info")


@pytest.mark.parametrize(
    ("control", "allowed"),
    [
        (of(), True), (of(host="::1"), True), (of(host="0.0.0.0"), False), (of(host=""), False),
        (of(host="0.0.0.0", token=b"t"), True), (of("open", "0.0.0.0"), True), (of("off"), False),
        (of("off", token=b"t"), False),
    ],
)  # fmt: skip
def test_who_may(control: LogControl, allowed: bool) -> None:
    if allowed:
        control.check({})
    else:
        with pytest.raises(ForbiddenError):
            control.check({})


def test_a_page_in_a_browser_may_not_without_a_token() -> None:
    with pytest.raises(ForbiddenError, match="browser"):
        of().check({b"origin": b"http://evil.example"})
    of(token=b"t").check({b"origin": b"http://own.example"})


def test_a_token_for_this_alone_comes_and_changes_while_it_runs(tmp_path) -> None:
    path = tmp_path / "token"
    control = of(host="0.0.0.0", token=b"bearer clients", own=path)
    assert control.judges("POST", PATH) and not control.judges("GET", PATH)
    for text in ("own", "new"):
        with pytest.raises(ForbiddenError, match="--log-token-file"):
            control.check({b"authorization": b"Bearer clients"})
        path.write_text(f"{text}\n")
        control.check({b"authorization": f"Bearer {text}".encode()})
        for other in (b"Bearer clients", b"Bearer ", b"Basic own"):
            with pytest.raises(UnauthorizedError):
                control.check({b"authorization": other})
        path.unlink()
    with pytest.raises(ForbiddenError, match="off"):
        of("off", own=path).check({})


def test_at_debug_every_request_is_logged_unless_none_is_to_be() -> None:
    saved = logs.LOGGER.level
    few, none = logs.Sampled(0.0), logs.Sampled(None)
    try:
        logs.LOGGER.setLevel(logging.INFO)
        assert not few(fault=False)
        logs.LOGGER.setLevel(logging.DEBUG)
        assert few(fault=False) and not none(fault=False)
    finally:
        logs.LOGGER.setLevel(saved)


def test_the_log_of_a_server_that_runs(released, start, tmp_path) -> None:
    secret = tmp_path / "token"
    secret.write_text("t" * 20)
    running = start(released.models, "--access-log=errors", f"--token-file={secret}", "--host=127.0.0.1")
    url, own = running.url(PATH), {"Authorization": f"Bearer {'t' * 20}"}
    assert requests.get(url, timeout=30).status_code == 401
    assert requests.post(url, json={"log_info": False}, timeout=30).status_code == 401
    found = requests.get(url, headers=own, timeout=30).json()
    assert (found["log_level"], found["log_level_at_start"], found["log_file"]) == ("info", "info", "")

    def asked(name: str) -> None:
        requests.get(running.url("/v2"), headers={**own, "x-request-id": name}, timeout=30).raise_for_status()

    asked("quiet")
    found = requests.post(url, headers=own, json={"log_verbose_level": 1}, timeout=30).json()
    assert (found["log_level"], found["log_level_at_start"]) == ("debug", "info")
    asked("loud")
    for level in ("error", "info"):
        requests.post(url, headers=own, json=flags(level), timeout=30).raise_for_status()
    answers = [requests.post(url, headers=own, data=body, timeout=30) for body in (b"{", b" " * 5000)]
    assert [answer.status_code for answer in answers] == [400, 413]
    answer = requests.put(url, headers=own, timeout=30)
    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET, HEAD, POST")
    lines = [json.loads(line) for line in running.log.read_text().splitlines()]
    assert [(one["before"], one["log_level"]) for one in lines if one["message"] == "log level set"] == [
        ("info", "debug"), ("debug", "error"), ("error", "info")
    ]  # fmt: skip
    assert "loud" in str(lines) and "quiet" not in str(lines)


def test_whoever_infers_does_not_set_it_where_it_has_a_token_of_its_own(released, start, tmp_path) -> None:
    for name in ("clients", "own"):
        (tmp_path / name).write_text(name * 5)
    running = start(released.models, f"--token-file={tmp_path / 'clients'}", f"--log-token-file={tmp_path / 'own'}")
    url, body = running.url(PATH), {"log_info": False}
    for method, name, status in (
        ("GET", "clients", 200),
        ("GET", "own", 401),
        ("POST", "clients", 401),
        ("POST", "own", 200),
    ):
        more = {"json": body} if method == "POST" else {}
        answer = requests.request(method, url, headers={"Authorization": f"Bearer {name * 5}"}, timeout=30, **more)
        assert answer.status_code == status, (method, name)
    assert requests.get(running.url("/v2"), timeout=30).status_code == 401


def test_tritons_client_sets_it(server) -> None:
    import tritonclient.http as triton

    client = triton.InferenceServerClient(server.url("").removeprefix("http://"))
    try:
        assert "logging" in client.get_server_metadata()["extensions"]
        assert client.update_log_settings({"log_verbose_level": 1})["log_level"] == "debug"
        assert client.get_log_settings()["log_verbose_level"] == 1
    finally:
        client.update_log_settings(flags("info"))
        client.close()

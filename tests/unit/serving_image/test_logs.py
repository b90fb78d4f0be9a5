"""JSON lines, and what is not in them."""

import io
import json
import logging

import pytest

from serving_image import logs


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch):
    """What is logged from level info up, as JSON values."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logs.JsonLines())
    monkeypatch.setattr(logs.LOGGER, "handlers", [handler])
    monkeypatch.setattr(logs.LOGGER, "propagate", False)
    monkeypatch.setattr(logs.LOGGER, "level", logging.INFO)
    logs.LOGGER.manager._clear_cache()
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    logs.LOGGER.manager._clear_cache()


def test_a_line_holds_time_level_message_and_fields(lines) -> None:
    logs.event(logging.WARNING, "something\nnew", model="m", seconds=0.5, path=b"x")
    logs.event(logging.DEBUG, "unseen")
    (line,) = lines()
    assert line.pop("time").endswith("+00:00")
    assert line == {"level": "warning", "message": "something\nnew", "model": "m", "seconds": 0.5, "path": "b'x'"}


def test_an_exception_is_told_without_its_text(lines) -> None:
    try:
        raise ValueError("a client's secret")
    except ValueError:
        logs.LOGGER.exception("internal error")
    (line,) = lines()
    assert line["exception"].startswith("ValueError in test_an_exception_is_told_without_its_text:")
    assert "secret" not in json.dumps(line)


def test_configure_sends_ours_and_uvicorns_warnings_to_stderr(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("uvicorn.error"), "level", logging.NOTSET)  # other tests run uvicorn, too
    logging.getLogger("uvicorn.error").manager._clear_cache()
    saved = {
        name: (logging.getLogger(name).handlers, logging.getLogger(name).level) for name in ("serving_image", "uvicorn")
    }
    try:
        logs.configure("debug")
        logging.getLogger("uvicorn.error").info("unseen")
        logging.getLogger("uvicorn.error").warning("seen")
        logs.event(logging.DEBUG, "seen too")
        assert [json.loads(line)["message"] for line in capsys.readouterr().err.splitlines()] == ["seen", "seen too"]
    finally:
        logging.captureWarnings(False)
        for name, (handlers, level) in saved.items():
            logging.getLogger(name).handlers = handlers
            logging.getLogger(name).setLevel(level)
            logging.getLogger(name).propagate = True

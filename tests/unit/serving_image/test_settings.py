"""Options, the environment behind them, and the help."""

from pathlib import Path

import pytest

from serving_image import options, settings


def test_defaults() -> None:
    found = settings.parse([], {})
    assert (found.models, found.host, found.port) == (Path("/models"), "127.0.0.1", 8080)
    assert (found.drain, found.timeout, found.queue) == (5.0, 30.0, 32)
    assert (found.max_body, found.max_json) == (64 << 20, 16 << 20)
    assert (found.access_log, found.cache, found.digest) == (0.0, None, "")


def test_options_go_before_the_environment_and_that_before_defaults() -> None:
    environment = {
        "NEAREDGE_MODELS": "/m",
        "NEAREDGE_HOST": "0.0.0.0",
        "NEAREDGE_PORT": "9000",
        "NEAREDGE_DRAIN_SECONDS": "0",
        "NEAREDGE_QUEUE": "",
        "NEAREDGE_CACHE_DIR": "/cache",
        "NEAREDGE_IMAGE_DIGEST": "sha256:1",
    }
    found = settings.parse(["--port=9001"], environment)
    assert (found.models, found.host, found.port, found.drain) == (Path("/m"), "0.0.0.0", 9001, 0.0)
    assert (found.queue, found.cache, found.digest) == (32, Path("/cache"), "sha256:1")


@pytest.mark.parametrize(
    ("argv", "environment", "message"),
    [
        (["--port=http"], {}, "'http' is no number from 0 to 65535"),
        (["--port=70000"], {}, "no number from 0"),
        ([], {"NEAREDGE_PORT": "x"}, "'x' is no number"),
        (["--drain-seconds=nan"], {}, "no number from 0"),
        (["--access-log=some"], {}, "'some' is none of all, errors, off"),
        (["--nonsense"], {}, "unrecognized"),
    ],
)
def test_wrong_settings_are_one_line_and_status_2(
    argv: list[str], environment: dict[str, str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        settings.parse(argv, environment)
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


def test_the_help_says_everything(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        settings.parse(["--help"], {})
    text = capsys.readouterr().out
    for option in options.OPTIONS:
        assert f"--{option.name}" in text
        assert option.variable in text.replace("\n", "").replace(" ", "")
    assert "NEAREDGE_CACHE_DIR" in text and "curl" in text and "SIGTERM" in text

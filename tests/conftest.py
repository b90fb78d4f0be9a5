"""How xdist deals the tests out, and how Hypothesis makes examples up.

Files that share something expensive go to one process. Examples are the same in each run, so that nothing fails by
chance; `pytest --hypothesis-profile=default` tries others.
"""

import os
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.internal.conjecture import providers

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before a test loads ONNX Runtime by itself

settings.register_profile(
    "same", derandomize=True, database=None, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("same")
# It tries constants found in our modules that are loaded, which depends on the tests that ran before in this process.
providers._get_local_constants = lambda: providers._local_constants

TOGETHER: Sequence[tuple[str, ...]] = (
    ("tests/images/",),  # images of ours, a minute to build
    ("tests/pipelines/test_model_to_edge.py", "tests/pipelines/test_image_layouts.py"),  # digits, trained and released
)
"""Beginnings of names of files that one process runs, one after the other."""


def unit(nodeid: str) -> str:
    """What a test is dealt out with: its file, or the files that it belongs together with."""
    return next((beginnings[0] for beginnings in TOGETHER if nodeid.startswith(beginnings)), nodeid.partition("::")[0])


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """`--dist loadfile` with such files together."""
    if config.getvalue("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class Together(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return unit(nodeid)

    return Together(config, log)

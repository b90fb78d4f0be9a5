"""Real Pipelines on real models, run as a person runs them: `nearedge run` in a process of its own."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.pipelines.site import ENVIRONMENT, Site

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def new_site(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Callable[[], Site]:
    def make() -> Site:
        home = tmp_path_factory.mktemp("site")
        (home / "release").mkdir()
        subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(home / "gitops.git")], check=True)
        return Site(home, cache)

    return make


@pytest.fixture
def site(new_site: Callable[[], Site]) -> Site:
    return new_site()


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """The folder of an example as its train.py writes it, made once for each seed."""
    made: dict[tuple[str, int], Path] = {}

    def train(example: str, seed: int = 1) -> Path:
        if (example, seed) not in made:
            folder = tmp_path_factory.mktemp(example) / "trained"
            command = [
                sys.executable,
                str(ROOT / "examples" / example / "train.py"),
                f"--out={folder}",
                f"--seed={seed}",
            ]
            done = subprocess.run(command, capture_output=True, text=True, check=False, env=ENVIRONMENT, timeout=300)
            assert done.returncode == 0, done.stderr
            made[example, seed] = folder
        return made[example, seed]

    return train


@pytest.fixture(scope="session")
def released(new_site: Callable[[], Site], trained: Callable[..., Path]) -> Site:
    """A site with digits released once; tests that change it take a site of their own."""
    site = new_site()
    done = site.run(trained("digits"))
    assert done.returncode == 0, done.stdout + done.stderr
    return site

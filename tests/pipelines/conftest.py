"""Real Pipelines on real models, run as a person runs them: `nearedge run` in a process of its own."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.pipelines.refusing_proxy import Proxy
from tests.pipelines.site import ENVIRONMENT, Site
from tests.unit import conftest as digits

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the host's base layer is kept: one folder for all processes of xdist, which wait for each other there."""
    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "nearedge-cache"
    folder.mkdir(exist_ok=True)
    return folder


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
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small ONNX model of digits with real accuracy, for what is not about a framework."""
    folder = tmp_path_factory.mktemp("small")
    digits.fetched(folder / "made")
    return folder / "made" / "source"


@pytest.fixture(scope="session")
def refusing_proxy() -> Iterator[Proxy]:
    """The proxy that `released` was made behind."""
    proxy = Proxy()
    yield proxy
    proxy.stop()


@pytest.fixture(scope="session")
def released(new_site: Callable[[], Site], trained: Callable[..., Path], refusing_proxy: Proxy) -> Site:
    """A site with digits released once, behind a proxy; tests that change it take a site of their own (`again`)."""
    site = new_site()
    proxies = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), refusing_proxy.address)
    environment = {**proxies, "NO_PROXY": "127.0.0.1,localhost", "no_proxy": "127.0.0.1,localhost"}
    given = [f"-p={name}={refusing_proxy.address}" for name in ("http-proxy", "https-proxy")]
    done = site.run(trained("digits"), *given, "-p=no-proxy=127.0.0.1,localhost", **environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return site


@pytest.fixture
def again(released: Site, site: Site) -> Site:
    """A site of its own with what that run left: the release workspace and the GitOps repository."""
    shutil.copytree(released.release, site.release, dirs_exist_ok=True)
    shutil.copytree(released.gitops, site.gitops, dirs_exist_ok=True)
    return site

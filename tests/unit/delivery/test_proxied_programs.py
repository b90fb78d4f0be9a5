"""build-serving-image, mirror-image and bundle-release through proxies: tinyproxy, and one that looks into TLS.

Registries listen on loopback. 0.0.0.0 reaches them too and counts as no loopback address; registry.example exists
nowhere but behind the proxy of ours.
"""

import os
import shutil
import subprocess

import pytest

from nearedge.delivery.access import Access
from nearedge.delivery.registry import Registry
from nearedge.delivery.repository import Repository
from scripts import build_serving_image, bundle_release, mirror_image
from tests.forward_proxy import PASSWORD, USER, Interceptor, authority, tinyproxy
from tests.unit.scripts.test_build_serving_image import write_release

NAMED = "registry.example"
SELF_SIGNED = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=r -addext subjectAltName=IP:0.0.0.0,IP:127.0.0.1"


@pytest.fixture(autouse=True)
def own_environment(monkeypatch):
    """No proxies and logins of whoever runs the tests."""
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    for name in ("REGISTRY_AUTH_FILE", "DOCKER_CONFIG", "XDG_RUNTIME_DIR", "HOME"):
        monkeypatch.setenv(name, "/nonexistent")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Certificates: `registry/` the registry's own, `proxy/` the proxy's CA, `both/` a bundle of the two."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    found = tmp_path_factory.mktemp("certificates")
    for name in ("registry", "proxy", "both"):
        (found / name).mkdir()
    names = ["-keyout", "key.pem", "-out", "ca-bundle.crt"]
    subprocess.run(["openssl", *SELF_SIGNED.split(), *names], cwd=found / "registry", check=True, capture_output=True)
    authority(found / "proxy", f"DNS:{NAMED},IP:0.0.0.0")
    both = [(found / name / "ca-bundle.crt").read_text() for name in ("registry", "proxy")]
    (found / "both" / "ca-bundle.crt").write_text("".join(both))
    return found


@pytest.fixture(scope="module")
def tls_port(start_registry, folder):
    """Of a registry with TLS."""
    own = folder / "registry"
    host = start_registry(http=f"  tls: {{certificate: {own}/ca-bundle.crt, key: {own}/key.pem}}\n")
    return host.rpartition(":")[2]


@pytest.fixture
def interceptor(folder):
    found = Interceptor(folder / "proxy")
    yield found
    found.close()


def through(monkeypatch, url, no_proxy=""):
    """Set the environment as the Tasks do."""
    for name, value in (("HTTP_PROXY", url), ("HTTPS_PROXY", url), ("NO_PROXY", no_proxy)):
        monkeypatch.setenv(name, value)


def prepared(tmp_path, direct, name, small_base, ca=None):
    """A workspace with a release, and a base in the registry; the repository's name is the test's own."""
    small_base(Repository(Registry(direct, Access(ca_bundle=ca)), f"{name}/base"), "1")
    return write_release(tmp_path / "release")


def run_all(workspace, host, name, *flags, target=""):
    """Each program once; their exit statuses. What goes into a registry is meant for `target`."""
    to = target or host
    return {
        "build": build_serving_image.main([
            f"--workspace={workspace}", f"--serving-image={to}/{name}/built:1", f"--base-image={host}/{name}/base:1",
            *flags,
        ]),
        "mirror": mirror_image.main([
            f"--workspace={workspace}", f"--to={to}/{name}/mirrored", "--give-up-after=0s", *flags,
            "--", f"{host}/{name}/base:1",
        ]),
        "export": bundle_release.main([
            f"--workspace={workspace}", "--mode=export", *flags, "--", f"{host}/{name}/base:1"
        ]),
        "import": bundle_release.main([
            f"--workspace={workspace}", "--mode=import", f"--to={to}/{name}/imported", *flags
        ]),
    }  # fmt: skip


ALL_WELL = {"build": 0, "mirror": 0, "export": 0, "import": 0}


def arrived(direct, name, ca=None):
    """Whether what the programs put into the registry is there."""
    registry = Registry(direct, Access(ca_bundle=ca))
    names = (f"{name}/built", f"{name}/mirrored/{name}/base", f"{name}/imported/{name}/base")
    return [Repository(registry, one).find("1") is not None for one in names]


@pytest.mark.skipif(shutil.which("tinyproxy") is None, reason="tinyproxy is not installed")
@pytest.mark.parametrize("private", [False, True])
def test_through_tinyproxy(plain_registry, small_base, monkeypatch, tmp_path, private):
    name = f"proxied-{private}".lower()
    workspace = prepared(tmp_path, plain_registry, name, small_base)
    host = plain_registry.replace("127.0.0.1", "0.0.0.0")
    (tmp_path / "proxy").mkdir()
    with tinyproxy(tmp_path / "proxy", private=private) as proxy:
        through(monkeypatch, proxy.url(f"{USER}:{PASSWORD}@" if private else ""))
        assert run_all(workspace, host, name, "--plain-http=true") == ALL_WELL
        assert proxy.connections() >= 4
    assert arrived(plain_registry, name) == [True] * 3


@pytest.mark.skipif(shutil.which("tinyproxy") is None, reason="tinyproxy is not installed")
@pytest.mark.parametrize("user", ["", f"{USER}:wr0ng@"])
def test_a_proxy_that_refuses(plain_registry, small_base, monkeypatch, tmp_path, capsys, user):
    name = f"refused-{bool(user)}".lower()
    workspace = prepared(tmp_path, plain_registry, name, small_base)
    host = plain_registry.replace("127.0.0.1", "0.0.0.0")
    (tmp_path / "proxy").mkdir()
    with tinyproxy(tmp_path / "proxy", private=True) as proxy:
        through(monkeypatch, proxy.url(user))
        statuses = run_all(workspace, host, name, "--plain-http=true")
    assert {statuses[one] for one in ("build", "mirror", "export")} == {4}
    error = capsys.readouterr().err
    assert "wr0ng" not in error and "Traceback" not in error
    assert error.count("\n") == 4
    assert arrived(plain_registry, name) == [False] * 3


def test_through_a_proxy_that_looks_into_tls(tls_port, small_base, monkeypatch, tmp_path, folder, interceptor):
    """Its CA is given as ca-bundle; the registry's own is not, since nobody but the proxy meets it."""
    direct = f"127.0.0.1:{tls_port}"
    workspace = prepared(tmp_path, direct, "inside", small_base, folder / "registry")
    through(monkeypatch, interceptor.url)
    host = f"{NAMED}:{tls_port}"
    assert run_all(workspace, host, "inside", f"--ca-bundle={folder / 'proxy'}") == ALL_WELL
    assert set(interceptor.asked) == {host}
    assert any(line.startswith(b"PUT /v2/inside/built/manifests/1 ") for line in interceptor.seen)
    assert arrived(direct, "inside", folder / "registry") == [True] * 3


def test_without_its_ca_it_is_not_trusted(tls_port, small_base, monkeypatch, tmp_path, folder, interceptor, capsys):
    direct = f"127.0.0.1:{tls_port}"
    workspace = prepared(tmp_path, direct, "untrusted", small_base, folder / "registry")
    through(monkeypatch, interceptor.url)
    statuses = run_all(workspace, f"{NAMED}:{tls_port}", "untrusted", f"--ca-bundle={folder / 'registry'}")
    assert {statuses[one] for one in ("build", "mirror", "export")} == {4}
    error = capsys.readouterr().err
    assert error.count("its certificate is not trusted; give its CA in ca-bundle") == 3
    assert not any(line.startswith((b"GET", b"PUT", b"POST")) for line in interceptor.seen)
    assert len(interceptor.asked) == 3, "what is not trusted once is not asked again"


def test_nothing_of_a_host_in_no_proxy_goes_through_it(
    tls_port, small_base, monkeypatch, tmp_path, folder, interceptor
):
    """The source is named in no-proxy, the target is not: one run goes both ways."""
    direct = f"127.0.0.1:{tls_port}"
    workspace = prepared(tmp_path, direct, "partly", small_base, folder / "registry")
    through(monkeypatch, interceptor.url, "other.example,0.0.0.0")
    host, target = f"0.0.0.0:{tls_port}", f"{NAMED}:{tls_port}"
    assert run_all(workspace, host, "partly", f"--ca-bundle={folder / 'both'}", target=target) == ALL_WELL
    assert set(interceptor.asked) == {target}
    assert not any(b"/v2/partly/base/" in line for line in interceptor.seen if not line.startswith(b"POST"))
    assert arrived(direct, "partly", folder / "registry") == [True] * 3


def test_with_all_hosts_in_no_proxy_the_proxy_is_never_asked(
    tls_port, small_base, monkeypatch, tmp_path, folder, interceptor
):
    direct = f"127.0.0.1:{tls_port}"
    workspace = prepared(tmp_path, direct, "direct", small_base, folder / "registry")
    through(monkeypatch, interceptor.url, "0.0.0.0")
    assert run_all(workspace, f"0.0.0.0:{tls_port}", "direct", f"--ca-bundle={folder / 'registry'}") == ALL_WELL
    assert interceptor.asked == []

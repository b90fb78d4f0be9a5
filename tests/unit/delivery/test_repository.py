"""The registry client against a real registry, and against one that misbehaves."""

import base64
import json
import shutil
import subprocess
from urllib.parse import parse_qs, urlsplit

import pytest

from nearedge.delivery import digest, oci, transport, upload
from nearedge.delivery.access import Access
from nearedge.delivery.layout import Layout
from nearedge.delivery.registry import Registry
from nearedge.delivery.repository import Repository
from nearedge.errors import OutsideError, UnsupportedError

BIG = bytes(range(256)) * 12_000


def blob(content, kind="application/octet-stream"):
    return oci.Descriptor(kind, digest.of_bytes(content), len(content))


def a_manifest(text="a", layers=()):
    config = blob(b"{}", oci.EMPTY)
    document = {
        "schemaVersion": 2, "mediaType": oci.MANIFEST, "config": config.to_json(),
        "layers": [layer.to_json() for layer in layers], "annotations": {"t": text},
    }  # fmt: skip
    return oci.manifest(oci.encode(document), "x")


def repo(host, name="team/model", **access):
    return Repository(Registry(host, Access(**access)), name)


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    """Backoff as it is, but short; nobody's own logins."""
    monkeypatch.setattr(upload, "FIRST_WAIT_S", 0.001)
    monkeypatch.setattr(upload, "LONGEST_WAIT_S", 0.01)
    for name in ("REGISTRY_AUTH_FILE", "DOCKER_CONFIG", "XDG_RUNTIME_DIR", "HOME"):
        monkeypatch.setenv(name, "/nonexistent")


@pytest.fixture
def config(tmp_path):
    """A function that writes a config.json with one login; its folder."""

    def write(host, user, password, **more):
        pair = base64.b64encode(f"{user}:{password}".encode()).decode()
        (tmp_path / "config.json").write_text(json.dumps({"auths": {host: {"auth": pair} | more}}))
        return tmp_path

    return write


# With a real registry


def test_what_is_pushed_is_pulled(plain_registry, tmp_path):
    store = repo(plain_registry, "round/trip")
    (tmp_path / "big").write_bytes(BIG)
    assert store.find("1") is None
    assert store.add_file(blob(BIG), tmp_path / "big") == len(BIG)
    assert store.add_file(blob(BIG), tmp_path / "big") == 0
    store.add_bytes(blob(b"{}", oci.EMPTY), b"{}")
    manifest = a_manifest(layers=[blob(BIG)])
    assert store.publish(manifest, "1") == manifest.descriptor.size
    assert store.publish(manifest, "1") == 0
    assert store.publish(manifest, "") == 0
    for which in ("1", manifest.descriptor.digest):
        assert store.resolve(which).content == manifest.content
    assert b"".join(store.chunks(blob(BIG))) == BIG
    assert store.read(blob(b"{}"), 2) == b"{}"


def test_a_blob_is_mounted_from_a_neighbour(plain_registry):
    first, second = repo(plain_registry, "mount/from"), repo(plain_registry, "mount/to")
    first.add_bytes(blob(BIG), BIG)
    assert second.adopt(blob(BIG), first) == 0
    assert second.has(blob(BIG))
    assert second.adopt(blob(BIG), second) == 0


def test_a_blob_is_streamed_from_a_layout_and_back(plain_registry, tmp_path):
    store, layout = repo(plain_registry, "from/layout"), Layout.create(tmp_path / "layout")
    layout.add_bytes(blob(BIG), BIG)
    assert store.adopt(blob(BIG), layout) == len(BIG)
    other = Layout.create(tmp_path / "other")
    assert other.adopt(blob(BIG), store) == len(BIG)
    assert other.read(blob(BIG), len(BIG)) == BIG


def test_a_source_that_is_damaged_leaves_nothing_behind(plain_registry, tmp_path):
    store, layout = repo(plain_registry, "from/damaged"), Layout.create(tmp_path / "layout")
    layout.add_bytes(blob(BIG), BIG)
    layout.path(blob(BIG).digest).write_bytes(BIG[:-1] + b"?")
    with pytest.raises(OutsideError, match="do not match"):
        store.adopt(blob(BIG), layout)
    assert not store.has(blob(BIG))


def test_what_is_missing(plain_registry):
    store = repo(plain_registry, "no/such")
    with pytest.raises(OutsideError, match="has no image '1'"):
        store.resolve("1")
    with pytest.raises(OutsideError, match="404"):
        list(store.chunks(blob(b"nothing")))
    assert not store.has(blob(b"nothing"))


def test_a_login_from_config_json(private_registry, login, config):
    folder = config(private_registry, *login)
    store = repo(private_registry, "with/login", dockerconfig=folder)
    store.add_bytes(blob(b"{}", oci.EMPTY), b"{}")
    store.publish(a_manifest(), "1")
    assert store.resolve("1").annotations == {"t": "a"}


@pytest.mark.parametrize("password", [None, "wrong-secret"])
def test_without_the_right_login(private_registry, config, password):
    folder = config(private_registry if password else "other.example", "edge", password)
    store = repo(private_registry, "with/login", dockerconfig=folder)
    with pytest.raises(OutsideError, match="401") as caught:
        store.add_bytes(blob(b"x"), b"x")
    assert "dockerconfig" in str(caught.value)
    assert "wrong-secret" not in str(caught.value)


@pytest.fixture(scope="module")
def tls_registry(start_registry, tmp_path_factory):
    """A registry with TLS whose certificate no one trusts, and the folder with its CA."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("tls")
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=test -addext subjectAltName=IP:127.0.0.1"
    names = ["-keyout", folder / "key.pem", "-out", folder / "ca-bundle.crt"]
    subprocess.run([*command.split(), *names], check=True, capture_output=True)
    tls = f"  tls: {{certificate: {folder}/ca-bundle.crt, key: {folder}/key.pem}}\n"
    return start_registry(http=tls), folder


def test_a_private_ca(tls_registry):
    host, folder = tls_registry
    store = repo(host, "tls/model", ca_bundle=folder)
    assert store.registry.base == f"https://{host}"
    assert store.add_bytes(blob(b"x"), b"x") == 1
    with pytest.raises(OutsideError, match="not trusted; give its CA in ca-bundle"):
        repo(host, "tls/model").find("1")


def test_plain_http_where_nobody_said_so(plain_registry, monkeypatch):
    monkeypatch.setattr(Registry, "speaks_plain_http", lambda _: False)  # as for a host that is not loopback
    with pytest.raises(OutsideError, match="speaks no TLS"):
        repo(plain_registry, "plain/model").find("1")


def test_a_ca_bundle_that_is_none(tmp_path):
    from nearedge.errors import InputError

    (tmp_path / "ca-bundle.crt").write_text("nonsense")
    with pytest.raises(InputError, match="CA certificates"):
        Registry("r.example", Access(ca_bundle=tmp_path))


@pytest.mark.images
def test_skopeo_reads_what_we_push(plain_registry, small_base):
    if shutil.which("skopeo") is None:
        pytest.skip("skopeo is not installed (apt-get install skopeo)")
    store = repo(plain_registry, "for/skopeo")
    manifest = small_base(store, "1")
    done = subprocess.run(
        ["skopeo", "inspect", "--tls-verify=false", f"docker://{plain_registry}/for/skopeo:1"],
        check=True,
        capture_output=True,
    )
    assert json.loads(done.stdout)["Digest"] == manifest.descriptor.digest


@pytest.mark.images
def test_we_read_what_skopeo_pushes_as_docker_schema_2(plain_registry, small_base, tmp_path):
    if shutil.which("skopeo") is None:
        pytest.skip("skopeo is not installed (apt-get install skopeo)")
    small_base(Layout.create(tmp_path / "layout"), "1")
    target = f"docker://{plain_registry}/by/skopeo:1"
    command = ["skopeo", "copy", "--insecure-policy", "--format=v2s2", "--dest-tls-verify=false"]
    subprocess.run([*command, f"oci:{tmp_path}/layout:1", target], check=True, capture_output=True)
    found = repo(plain_registry, "by/skopeo").resolve("1")
    assert found.descriptor.media_type == oci.DOCKER_MANIFEST
    assert found.layers[0].media_type == oci.DOCKER_LAYER_GZIP


# With a registry that misbehaves


def test_bearer_tokens(serve, answer, config):
    def respond(request):
        if request.path.startswith("/token"):
            asked = parse_qs(urlsplit(request.path).query)
            assert asked["service"] == ["the service"]
            body = {"token": "t-" + asked["scope"][0].rpartition(":")[2], "expires_in": 300}
            return answer(body=json.dumps(body).encode())
        wanted = "t-pull,push" if request.method in ("POST", "PUT") else "t-pull"
        if request.headers.get("Authorization") != f"Bearer {wanted}":
            realm = f'Bearer realm="http://{server.host}/token",service="the service"'
            return answer(401, headers={"WWW-Authenticate": realm})
        if request.method == "HEAD":
            return answer(404)
        if request.method == "POST":
            return answer(202, headers={"Location": "/upload?state=1"})
        return answer(201)

    server = serve(respond)
    folder = config(server.host, "me", "secret")
    store = repo(server.host, dockerconfig=folder)
    assert store.add_bytes(blob(b"abc"), b"abc") == 3
    assert store.add_bytes(blob(b"abcd"), b"abcd") == 4
    tokens = [request for request in server.requests if request.path.startswith("/token")]
    assert len(tokens) == 2, "a token is used until it expires"
    assert {request.headers["Authorization"] for request in tokens} == {"Basic bWU6c2VjcmV0"}
    assert server.asked("PUT")[-1].body == b"abcd"


def test_identity_tokens_are_exchanged(serve, answer, config):
    def respond(request):
        if request.path == "/token":
            form = parse_qs(request.body.decode())
            assert form["grant_type"] == ["refresh_token"]
            assert form["refresh_token"] == ["id-secret"]
            return answer(body=b'{"access_token": "fresh"}')
        if request.headers.get("Authorization") == "Bearer fresh":
            return answer(404)
        return answer(401, headers={"WWW-Authenticate": f'Bearer realm="http://{server.host}/token",service="s"'})

    server = serve(respond)
    folder = config(server.host, "", "", identitytoken="id-secret")
    assert repo(server.host, dockerconfig=folder).find("1") is None


@pytest.mark.parametrize("token", ["reg-secret", "stale"])
def test_a_registry_token_is_sent_as_it_is(serve, answer, config, token):
    def respond(request):
        if request.headers.get("Authorization") == "Bearer reg-secret":
            return answer(404)
        return answer(401, headers={"WWW-Authenticate": f'Bearer realm="http://{server.host}/token",service="s"'})

    server = serve(respond)
    store = repo(server.host, dockerconfig=config(server.host, "", "", registrytoken=token))
    if token == "stale":
        with pytest.raises(OutsideError, match=r"401.*give dockerconfig"):
            store.find("1")
    else:
        assert store.find("1") is None
    assert not any(request.path.startswith("/token") for request in server.requests)


def test_a_token_server_that_refuses(serve, answer):
    def respond(request):
        if request.path.startswith("/token"):
            return answer(403)
        return answer(401, headers={"WWW-Authenticate": f'Bearer realm="http://{server.host}/token"'})

    server = serve(respond)
    with pytest.raises(OutsideError, match=r"token server 127\.0\.0\.1 refuses .403"):
        repo(server.host).find("1")


def test_no_login_is_sent_to_an_odd_address(serve, answer):
    server = serve(lambda _request: answer(401, headers={"WWW-Authenticate": 'Bearer realm="ftp://elsewhere/token"'}))
    with pytest.raises(OutsideError, match="without https"):
        repo(server.host).find("1")


def test_no_login_goes_to_a_host_that_the_registry_redirects_to(serve, answer, config):
    other = serve(lambda _request: answer(body=b"content"))

    def respond(request):
        if request.path == "/v2/":
            return answer()
        if "Authorization" not in request.headers:
            return answer(401, headers={"WWW-Authenticate": 'Basic realm="x"'})
        place = other.host.replace("127.0.0.1", "localhost")
        return answer(307, headers={"Location": f"http://{place}/blob"})

    server = serve(respond)
    folder = config(server.host, "me", "secret")
    assert b"".join(repo(server.host, dockerconfig=folder).chunks(blob(b"content"))) == b"content"
    assert all("Authorization" not in request.headers for request in other.requests)


def test_no_login_goes_to_another_host_that_takes_the_upload(serve, answer, config):
    other = serve(lambda _request: answer(201))

    def respond(request):
        if request.path != "/v2/" and "Authorization" not in request.headers:
            return answer(401, headers={"WWW-Authenticate": 'Basic realm="x"'})
        if request.method == "POST":
            return answer(202, headers={"Location": f"http://{other.host}/bucket?signed=1"})
        return answer(404 if request.method == "HEAD" else 200)

    server = serve(respond)
    folder = config(server.host, "me", "secret")
    assert repo(server.host, dockerconfig=folder).add_bytes(blob(b"abc"), b"abc") == 3
    assert other.requests[0].body == b"abc"
    assert other.requests[0].path == f"/bucket?signed=1&digest={blob(b'abc').digest.replace(':', '%3A')}"
    assert "Authorization" not in other.requests[0].headers


def test_a_download_goes_on_where_it_broke_off(serve, answer):
    def respond(request):
        if request.path == "/v2/":
            return answer()
        start = int(request.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
        rest = BIG[start:]
        return answer(206 if start else 200, rest, cut=len(rest) // 2 if len(rest) > 200_000 else 0)

    server = serve(respond)
    assert b"".join(repo(server.host).chunks(blob(BIG))) == BIG
    assert len(server.asked("GET")) > 3
    assert sum("Range" in request.headers for request in server.requests) == len(server.asked("GET")) - 2


def test_a_server_without_ranges_is_read_again(serve, answer):
    def respond(request):
        if request.path == "/v2/":
            return answer()
        return answer(body=BIG, cut=1000 if len(server.asked("GET")) < 4 else 0)

    server = serve(respond)
    assert b"".join(repo(server.host).chunks(blob(BIG))) == BIG


@pytest.mark.parametrize(
    ("body", "cut", "said"),
    [
        (b"other bytes", 0, "do not match"),
        (b"right bytes and more", 0, "more than the 11 bytes"),
        (b"right", 0, "ends after 5 of 11"),
        (b"right bytes", 11, "connection broke off"),
    ],
)
def test_wrong_blobs_are_not_taken(serve, answer, tmp_path, body, cut, said):
    server = serve(lambda request: answer(body=body, cut=cut if request.path != "/v2/" else 0))
    layout = Layout.create(tmp_path / "layout")
    with pytest.raises(OutsideError, match=said):
        layout.adopt(blob(b"right bytes"), repo(server.host))
    assert list((layout.folder / "blobs/sha256").iterdir()) == []


MANIFEST = a_manifest()


@pytest.mark.parametrize(
    ("which", "body", "headers", "kind", "said"),
    [
        ("1", b"x" * (oci.LARGEST_DOCUMENT + 1), {}, OutsideError, "larger than 4 MiB"),
        ("1", b"<html>", {}, OutsideError, "no JSON"),
        ("1", MANIFEST.content, {"Docker-Content-Digest": "sha256:" + "0" * 64}, OutsideError, "not match its digest"),
        ("sha256:" + "0" * 64, MANIFEST.content, {}, OutsideError, "not match its digest"),
        ("1", b'{"schemaVersion": 1, "fsLayers": []}', {}, UnsupportedError, "schemaVersion '1'"),
        ("1", b'{"schemaVersion": 2, "manifests": []}', {}, UnsupportedError, "no platform"),
    ],
)
def test_wrong_manifests_are_not_taken(serve, answer, which, body, headers, kind, said):
    server = serve(lambda _request: answer(body=body, headers=headers))
    with pytest.raises(kind, match=said):
        repo(server.host).resolve(which)


def test_an_index_that_names_itself_ends(serve, answer):
    entry = {"mediaType": oci.INDEX, "digest": "sha256:" + "0" * 64, "size": 1}
    index = oci.encode({"schemaVersion": 2, "mediaType": oci.INDEX, "manifests": [entry]})
    server = serve(lambda _request: answer(body=index))
    with pytest.raises(OutsideError, match=r"digest|more than twice"):
        repo(server.host).resolve("1")


def test_an_index_is_followed_to_our_platform(serve, answer):
    entry = MANIFEST.descriptor.to_json() | {"platform": {"os": "linux", "architecture": "amd64"}}
    index = oci.encode({"schemaVersion": 2, "mediaType": oci.INDEX, "manifests": [entry]})
    server = serve(lambda request: answer(body=MANIFEST.content if "sha256" in request.path else index))
    assert repo(server.host).resolve("1").content == MANIFEST.content
    assert oci.INDEX in server.requests[-1].headers["Accept"]


def uploads(answer, faults):
    """A registry that takes uploads, with `faults` as its first answers to PUT."""
    waiting = list(faults)
    there: set[str] = set()

    def respond(request):
        if request.method == "HEAD":
            return answer(200 if request.path.rpartition("/")[2] in there else 404)
        if request.method == "POST":
            return answer(202, headers={"Location": "/up"})
        if request.method == "PUT":
            if waiting:
                return waiting.pop(0)
            there.add(parse_qs(urlsplit(request.path).query)["digest"][0])
            return answer(201)
        return answer()

    return respond


def test_an_upload_begins_anew_after_passing_faults(serve, answer):
    faults = [answer(503, headers={"Retry-After": "1"}), answer(500), answer(429)]
    server = serve(uploads(answer, faults))
    assert repo(server.host).add_bytes(blob(BIG), BIG) == len(BIG)
    assert [len(request.body) for request in server.asked("PUT")] == [len(BIG)] * 4


@pytest.mark.parametrize("times", [1, 3, 100])
def test_a_connection_cut_in_the_middle_of_an_upload(serve, answer, times):
    server = serve(uploads(answer, []))
    cuts = []

    def hang_up(method):
        if method == "PUT" and len(cuts) < times:
            cuts.append(method)
            return True
        return False

    server.hang_up = hang_up
    store = repo(server.host)
    if times < upload.ATTEMPTS:
        assert store.add_bytes(blob(BIG), BIG) == len(BIG)
        assert store.has(blob(BIG))
        assert [request.body for request in server.asked("PUT")] == [BIG]
    else:
        with pytest.raises(OutsideError, match="retry"):
            store.add_bytes(blob(BIG), BIG)
        assert not store.has(blob(BIG))
    assert len(cuts) == min(times, upload.ATTEMPTS)


def test_an_upload_whose_answer_was_lost_is_not_sent_again(serve, answer):
    store_of = uploads(answer, [])
    lost = []

    def respond(request):
        found = store_of(request)
        if request.method == "PUT" and not lost:
            lost.append(request)
            return answer(502)
        return found

    server = serve(respond)
    assert repo(server.host).add_bytes(blob(b"abc"), b"abc") == 3
    assert len(server.asked("PUT")) == 1


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (403, b'{"errors": [{"code": "DENIED", "message": "no"}]}', r"status 403 .DENIED.; the login may not"),
        (413, b"", "413; it refuses a blob of that size"),
        (400, b'{"errors": [{"code": "\\u001b[31mred"}]}', "status 400; check the reference"),
        (503, b"", "503; try again later"),
    ],
)
def test_refusals_are_one_line(serve, answer, status, body, said):
    server = serve(uploads(answer, [answer(status, body)] * 10))
    with pytest.raises(OutsideError, match=said) as caught:
        repo(server.host).add_bytes(blob(b"abc"), b"abc")
    assert "\n" not in str(caught.value)


def test_an_upload_without_a_location(serve, answer):
    server = serve(lambda request: answer({"HEAD": 404, "POST": 202}.get(request.method, 200)))
    with pytest.raises(OutsideError, match="an upload: status 202"):
        repo(server.host).add_bytes(blob(b"abc"), b"abc")


def test_a_registry_that_makes_another_manifest_of_ours(serve, answer):
    other = {"Docker-Content-Digest": "sha256:" + "0" * 64}
    server = serve(lambda request: answer(201, headers=other) if request.method == "PUT" else answer(404))
    with pytest.raises(OutsideError, match="took 1 as 'sha256:000"):
        repo(server.host, plain_http=True).publish(MANIFEST, "1")


def test_a_manifest_that_is_refused(serve, answer):
    server = serve(lambda request: answer(409 if request.method == "PUT" else 404))
    with pytest.raises(OutsideError, match="the manifest of 1: status 409"):
        repo(server.host, plain_http=True).publish(MANIFEST, "1")
    server.respond = lambda request: answer(502 if request.method == "PUT" else 404)
    with pytest.raises(OutsideError, match="502"):
        repo(server.host, plain_http=True).publish(MANIFEST, "1")
    assert len(server.asked("PUT")) == 1 + upload.ATTEMPTS


def test_a_refusal_to_read(serve, answer):
    server = serve(lambda _request: answer(403))
    store = repo(server.host, plain_http=True)
    for action in (lambda: store.find("1"), lambda: store.has(blob(b"x")), lambda: list(store.chunks(blob(b"x")))):
        with pytest.raises(OutsideError, match="403; the login may not"):
            action()


def test_plain_http_only_where_it_is_allowed():
    assert Registry("r.example", Access(plain_http=True)).base == "http://r.example"
    assert Registry("r.example:80", Access()).base == "https://r.example:80"
    assert Registry("docker.io", Access()).base == "https://registry-1.docker.io"
    assert Repository(Registry("docker.io", Access()), "debian").path == "/v2/library/debian"


def test_a_location_behind_a_proxy_that_ends_tls_keeps_our_scheme():
    registry = Registry("r.example", Access())
    assert registry.absolute("http://r.example/v2/up?a=1") == "https://r.example/v2/up?a=1"
    assert registry.absolute("/v2/up") == "https://r.example/v2/up"
    assert registry.absolute("http://other.example/up") == "http://other.example/up"


@pytest.mark.parametrize(
    ("host", "expected"),
    [("localhost:1", True), ("127.0.0.9", True), ("[::1]:5", True), ("10.0.0.1", False), ("localhost.example", False)],
)
def test_loopback(host, expected):
    assert transport.is_loopback(host) is expected


def test_names_that_are_not_known():
    with pytest.raises(OutsideError, match=r"no-such-host\.invalid"):
        store = repo("no-such-host.invalid")
        store.registry.session = transport.new_session("no-such-host.invalid", None, retries=0)
        store.registry.session.trust_env = False
        store.find("1")


def test_a_proxy_from_the_environment(serve, answer, monkeypatch):
    proxy = serve(lambda _request: answer(404))
    monkeypatch.setenv("http_proxy", f"http://user:pass@{proxy.host}")
    monkeypatch.setenv("no_proxy", "")
    assert repo("r.example", plain_http=True).find("1") is None
    assert proxy.requests[0].path == "http://r.example/v2/team/model/manifests/1"
    monkeypatch.setenv("http_proxy", "http://user:secret-word@127.0.0.1:1")
    store = repo("r.example", plain_http=True)
    store.registry.session = transport.new_session("r.example", None, retries=0)
    with pytest.raises(OutsideError, match="the proxy cannot be reached") as caught:
        store.find("1")
    assert "secret-word" not in str(caught.value)


def test_loopback_is_never_asked_through_a_proxy(serve, answer, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "")
    server = serve(lambda request: answer(404 if "manifests" in request.path else 200))
    assert repo(server.host).find("1") is None

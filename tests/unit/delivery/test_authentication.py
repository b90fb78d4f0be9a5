import base64
import json

import pytest

from nearedge.delivery import authentication
from nearedge.delivery.authentication import Credentials, challenge, credentials
from nearedge.errors import InputError


def auth(user, password):
    return {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}


def write(folder, auths, name="config.json"):
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(json.dumps({"auths": auths}))
    return folder


@pytest.mark.parametrize(
    ("registry", "repository", "expected"),
    [
        ("r.example", "any/thing", "host"),
        ("r.example", "team/model", "team"),
        ("r.example", "teammates/model", "host"),
        ("docker.io", "library/x", "hub"),
        ("r.example:5000", "x", "port"),
        ("url.example", "x", "url"),
        ("other.example", "x", ""),
    ],
)
def test_the_entry_with_the_longest_name_counts(tmp_path, registry, repository, expected):
    folder = write(
        tmp_path / "docker",
        {
            "r.example": auth("host", "p:w"),
            "r.example/team": auth("team", "pw"),
            "https://index.docker.io/v1/": auth("hub", "pw"),
            "r.example:5000": {"username": "port", "password": "pw"},
            "https://url.example/v2/": auth("url", "pw"),
        },
    )
    found = credentials(folder, registry, repository)
    assert found.username == expected
    assert found.password == {"": "", "host": "p:w"}.get(expected, "pw")


def test_a_mounted_secret_has_its_own_file_name(tmp_path):
    folder = write(tmp_path / "docker", {"r": auth("u", "p")}, ".dockerconfigjson")
    assert credentials(folder, "r", "x").basic == "Basic dTpw"


def test_identity_tokens(tmp_path):
    folder = write(tmp_path / "docker", {"r": {"identitytoken": "abc"}})
    assert credentials(folder, "r", "x") == Credentials(identity_token="abc")


def test_the_usual_places_are_looked_at(tmp_path, monkeypatch):
    for name in ("REGISTRY_AUTH_FILE", "DOCKER_CONFIG", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert credentials(None, "r", "x") == Credentials()
    write(tmp_path / ".docker", {"r": auth("home", "p")})
    assert credentials(None, "r", "x").username == "home"
    monkeypatch.setenv("DOCKER_CONFIG", str(write(tmp_path / "d", {"r": auth("docker", "p")})))
    assert credentials(None, "r", "x").username == "docker"
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(write(tmp_path / "a", {"r": auth("file", "p")}) / "config.json"))
    assert credentials(None, "r", "x").username == "file"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"auths": 7}', '{"auths": {"r": {"auth": "%%"}}}'])
def test_damaged_files_are_one_line_without_their_content(tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(InputError) as caught:
        credentials(tmp_path, "r", "x")
    assert "config.json" in str(caught.value)
    assert "%%" not in str(caught.value)


def test_a_folder_without_one_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"holds no config\.json"):
        credentials(tmp_path, "r", "x")


def test_secrets_do_not_show():
    shown = repr(Credentials("user", "pass-word", "tok-en", "bea-rer"))
    assert not any(secret in shown for secret in ("user", "pass-word", "tok-en", "bea-rer"))


def test_challenges():
    found = challenge('Bearer realm="https://a/token",service="r, one",scope="repository:x:pull,push"')
    assert found.scheme == "bearer"
    assert found.parameters == {
        "realm": "https://a/token",
        "service": "r, one",
        "scope": "repository:x:pull,push",
    }
    assert challenge("Basic realm=plain").parameters == {"realm": "plain"}
    assert challenge("").scheme == ""


@pytest.mark.parametrize(
    "body", [None, b"", b"[]", b"{}", b'{"token": 7}', b'{"token": "a\\nb"}', b'{"expires_in": []}']
)
def test_answers_without_a_token(body):
    from nearedge.errors import OutsideError

    with pytest.raises(OutsideError, match="gives no token"):
        authentication.read_token(body, "here")


@pytest.mark.parametrize(
    "document",
    [
        {"credHelpers": {"r.example": "secretservice"}},
        {"credHelpers": {"https://r.example/v2/": "x"}, "auths": {"r.example": auth("u", "p")}},
        {"credsStore": "desktop", "auths": {"r.example": {}}},
    ],
)
def test_credential_helpers_are_refused(tmp_path, document):
    (tmp_path / "config.json").write_text(json.dumps(document))
    with pytest.raises(InputError, match=r"leaves the login for r\.example to a credential helper"):
        credentials(tmp_path, "r.example", "x")
    assert credentials(tmp_path, "other.example", "x") == Credentials()


def test_a_store_of_helpers_that_has_no_login_for_it_is_no_fault(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"credsStore": "desktop", "auths": {}, "credHelpers": None}))
    assert credentials(tmp_path, "r.example", "x") == Credentials()

"""What a build is lent of pip's settings."""

import pytest

from nearedge.delivery.building import pip_settings


@pytest.fixture
def machine(tmp_path):
    """Folders as a machine without a public index has them."""
    for name in ("index/simple", "wheels"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "ca.crt").write_text("CA")
    (tmp_path / "list.html").write_text("")
    return tmp_path


def test_local_folders_get_neutral_places(machine):
    given = {
        "index-url": "https://user:secret@index.example/simple",
        "extra-index-url": f"file://{machine}/index/simple https://other.example/simple",
        "find-links": f"{machine}/wheels {machine}/list.html",
        "cert": f"{machine}/ca.crt",
        "timeout": "60",
        "cache-dir": str(machine),
        "user": "yes",
    }
    lent = pip_settings.lend(given, {})
    places = dict(lent.folders)
    assert lent.conf.splitlines() == [
        "[global]",
        "index-url = https://user:secret@index.example/simple",
        "extra-index-url = file:///run/secrets/pip/1/simple",
        "    https://other.example/simple",
        "find-links = /run/secrets/pip/2",
        "    /run/secrets/pip/3/list.html",
        "timeout = 60",
        "cert = /run/secrets/ca.crt",
    ]
    assert places == {
        "/run/secrets/pip/1": machine / "index",
        "/run/secrets/pip/2": machine / "wheels",
        "/run/secrets/pip/3": machine,
    }
    assert lent.ca == machine / "ca.crt"


def test_one_folder_is_lent_once(machine):
    lent = pip_settings.lend({"find-links": f"{machine}/wheels file://{machine}/wheels/x {machine}/wheels"}, {})
    assert dict(lent.folders) == {"/run/secrets/pip/1": machine / "wheels"}
    assert str(machine) in lent.conf  # a folder that is not there stays as it was written


@pytest.mark.parametrize("name", pip_settings.CA_VARIABLES)
def test_the_ca_of_the_environment(machine, name):
    assert pip_settings.lend({}, {name: str(machine / "ca.crt")}).ca == machine / "ca.crt"
    assert pip_settings.lend({}, {name: str(machine / "absent")}).ca is None


def test_settings_are_those_in_force(tmp_path, monkeypatch):
    (tmp_path / "pip.conf").write_text(
        "[global]\ntimeout = 5\nretries = 1\n[install]\nretries = 2\n[freeze]\ntimeout = 9\n"
    )
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    monkeypatch.setenv("PIP_TIMEOUT", "7")
    found = pip_settings.settings()
    assert (found["timeout"], found["retries"]) == ("7", "2")

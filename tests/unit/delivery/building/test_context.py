"""The build context, and a user's files in it."""

import pytest

from nearedge import catalog
from nearedge.delivery.building import context
from nearedge.errors import InputError, MachineError, OutsideError


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "source"
    (folder / "inner").mkdir(parents=True)
    (folder / "Containerfile").write_text("ARG BASE_IMAGE=x\n")
    (folder / "inner" / "file").write_text("1")
    return folder


@pytest.fixture
def made(tmp_path, monkeypatch):
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "constraints.txt").write_text("ours")
    monkeypatch.setenv(context.KEPT, str(tmp_path / "kept"))
    context.fill(tmp_path / "context")
    return tmp_path / "context"


def test_files_of_the_user_join_the_context(source, made):
    (source / "constraints.txt").write_text("theirs")
    context.add(source, made)
    assert (made / "constraints.txt").read_text() == "theirs"
    assert (made / "inner" / "file").read_text() == "1"
    assert context.containerfile(made, "Containerfile").read_text() == "ARG BASE_IMAGE=x\n"


def test_a_config_map_s_volume_is_read_through_its_links(source, made):
    (source / "..data").symlink_to("inner")
    (source / "file").symlink_to("..data/file")
    context.add(source, made)
    assert (made / "file").read_text() == "1"
    assert not (made / "file").is_symlink()
    assert not (made / "..data").exists()


@pytest.mark.parametrize("target", ["/etc/passwd", "../outside", "inner", "absent"])
def test_links_that_lead_elsewhere_are_refused(source, made, target):
    (source / "link").symlink_to(target)
    with pytest.raises(InputError, match="link: is a link"):
        context.add(source, made)


def test_a_source_that_is_not_there_is_refused(source, made):
    with pytest.raises(InputError, match="no such folder"):
        context.add(source / "absent", made)


@pytest.mark.parametrize("name", ["absent", "inner"])
def test_a_containerfile_that_is_none(source, made, name):
    context.add(source, made)
    with pytest.raises(InputError, match="no such file"):
        context.containerfile(made, name)


def test_an_installed_nearedge_has_no_context(tmp_path, monkeypatch):
    monkeypatch.delenv(context.KEPT, raising=False)
    monkeypatch.setattr(catalog, "root", lambda: tmp_path)
    with pytest.raises(MachineError, match="step image build"):
        context.fill(tmp_path / "context")


def test_pip_s_last_words_are_told(tmp_path):
    with pytest.raises(OutsideError, match="pip wheel: "):
        context.pip("wheel", "--no-deps", str(tmp_path / "absent"))


def test_a_users_pip_conf_takes_the_place_of_the_machines(tmp_path):
    (tmp_path / "pip.conf").write_text("[global]\nindex_url = https://index.example/simple\n[install]\ntimeout=9\n")
    (tmp_path / "ca.crt").write_text("CA")
    lent = context.lend(tmp_path / "lent", tmp_path / "pip.conf", tmp_path / "ca.crt")
    text = (tmp_path / "lent" / "pip.conf").read_text()
    assert "index-url = https://index.example/simple" in text and "timeout = 9" in text
    assert lent.ca == tmp_path / "ca.crt"
    assert (tmp_path / "lent").stat().st_mode & 0o77 == 0


def test_what_is_no_pip_conf_is_refused(tmp_path):
    (tmp_path / "pip.conf").write_text("no section\n")
    with pytest.raises(InputError, match="is no pip"):
        context.lend(tmp_path / "lent", tmp_path / "pip.conf", None)

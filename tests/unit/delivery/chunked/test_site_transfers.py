"""The transfer budget with real parts: what git says, a registry's log, podman with and without partial pulls."""

import functools
import random
import shutil
from pathlib import Path

import pytest

from nearedge import catalog
from nearedge.delivery import budget, git
from nearedge.delivery.access import Access
from nearedge.delivery.chunked.partial_pull import PODMAN_4
from nearedge.delivery.gitops import previous, publish
from nearedge.delivery.registry import Registry
from nearedge.delivery.repository import Repository
from nearedge.files import sha256_file
from nearedge.release import record, sections
from scripts import build_serving_image, fetch_release, publish_gitops, render_gitops
from tests.unit.scripts.test_build_serving_image import YAML, write_release

EXAMPLE = record.read(Path(__file__).parents[1] / "data" / "release.json")
TENSOR, TENSORS = 300_000, 24
AUTHOR = publish.Author("n", "n@localhost")


class Maker:
    """Makes releases of models on one base, for sites of one GitOps repository."""

    def __init__(self, folder, host):
        self.folder, self.host, self.git = folder, host, folder / "gitops.git"
        publish.create_local(self.git, "main")

    def workspace(self, name, version, changed=()):
        """A proven release: tensors of random bytes, those in `changed` of others."""
        path = write_release(self.folder / f"{name}-{version}")
        (path / "source" / "model.yaml").write_text(YAML.replace("tiny", name).replace('"3"', f'"{version}"'))
        source = sections.read(path, sections.SourceSection)
        sections.write(path, source.model_copy(update={"name": name, "version": str(version)}))
        sections.write(path, EXAMPLE.evidence.verification_deployed)
        self.write_weights(path, name, changed)
        profile = (catalog.root() / "manifests" / "profiles" / "microshift-small.yaml").read_text()
        partial = profile.replace("name: microshift-small", "name: partial") + "partial_pulls: true\n"
        (path / "source" / "partial.yaml").write_text(partial)
        previous.bring(path, name, git.Access(), str(self.git), "main")
        return path

    def write_weights(self, path, name, changed):
        """model.xml and model.bin, and that they are what was proven."""
        seeds = [f"{name} {n} {n in changed}" for n in range(TENSORS)]
        ir = path / "ir" / "deployed"
        (ir / "model.bin").write_bytes(b"".join(random.Random(seed).randbytes(TENSOR) for seed in seeds))
        tensors = (f'<layer type="Const"><data offset="{n * TENSOR}" size="{TENSOR}"/></layer>' for n in range(TENSORS))
        (ir / "model.xml").write_text(f"<net><layers>{''.join(tensors)}</layers></net>")
        found = {"xml_sha256": sha256_file(ir / "model.xml"), "bin_sha256": sha256_file(ir / "model.bin")}
        sections.write(path, sections.read(path, sections.OptimizationSection).model_copy(update=found))

    def build(self, path, sites, *more, layout="sharded"):
        """Run build-serving-image; its exit status."""
        name, version = path.name.split("-")
        return build_serving_image.main([
            f"--workspace={path}", f"--serving-image={self.host}/budget/{name}:{version}", f"--layout={layout}",
            f"--base-image={self.host}/budget/base:1", *more, "--", "sites:", *sites,
        ])  # fmt: skip

    def publish(self, path, sites):
        """Render and publish; the commit's message."""
        assert render_gitops.main([f"--workspace={path}", "--monitoring=false", "--", *sites]) == 0
        assert publish_gitops.main([f"--workspace={path}", f"--git-url={self.git}"]) == 0
        with git.session(git.Access()) as client:
            return client.run("log", "-1", "--format=%B", "main", at=self.git)


@pytest.fixture(scope="module")
def maker(tmp_path_factory, logging_registry, small_base):
    """Site a runs version 1 of a model, site c another model on the same base; site b runs nothing."""
    content = random.Random(7).randbytes(900_000)
    small_base(Repository(Registry(logging_registry, Access()), "budget/base"), "1", content=content)
    found = Maker(tmp_path_factory.mktemp("budget"), logging_registry)
    for name, site in (("tiny", "a"), ("other", "c")):
        path = found.workspace(name, 1)
        assert found.build(path, [site]) == 0
        found.publish(path, [site])
    return found


@pytest.fixture
def upgrade(maker, monkeypatch):
    """Version 2, of which one tensor of 24 is new; podman here is of version 4."""
    monkeypatch.setattr(budget, "Reckoning", functools.partial(budget.Reckoning, engine=PODMAN_4))
    shutil.rmtree(maker.folder / "tiny-2", ignore_errors=True)
    return maker.workspace("tiny", 2, changed=[5])


SITES = ("a=partial.yaml", "b", "c", "d=partial.yaml")


def close_to(real, predicted):
    return abs(real - predicted) <= predicted / 100


def test_sites_pull_what_was_predicted(maker, upgrade, new_site, capsys):
    assert maker.build(upgrade, SITES) == 0
    found = {one.site: one for one in sections.read(upgrade, sections.ImageSection).sites}
    log = capsys.readouterr().err
    a, b, c, d = (new_site(partial=letter in "ad") for letter in "abcd")
    a.pull("1", "budget/tiny")
    c.pull("1", "budget/other")
    for letter, site in zip("abcd", (a, b, c, d), strict=True):
        real = site.pull("2", "budget/tiny")
        assert close_to(real, found[letter].bytes), (letter, real, found[letter])
    assert found["a"].bytes == found["a"].partial_bytes < TENSOR * 1.1
    assert found["a"].whole_bytes == found["c"].bytes  # c has the base, by another model
    assert found["b"].bytes > found["c"].bytes + 900_000
    assert len(found["a"].against) == len(found["c"].against) == 1
    assert not found["b"].against and not any(one.at_most for one in found.values())
    assert "to pull at b, d: 8.1 MB, 6.5 s at 10 Mbit/s" in log


def test_nothing_is_pushed_where_a_site_would_pull_too_much(maker, upgrade, capsys):
    assert maker.build(upgrade, SITES, "--max-transfer-bytes=1000000") == 3
    *before, said = capsys.readouterr().err.splitlines()
    assert len(before) == 3 and all(line.startswith("to pull at ") for line in before)
    assert "max-transfer-bytes 1000000: more would be pulled by b 8.1 MB, 6.5 s at 10 Mbit/s (" in said
    assert "c 7.2 MB" in said and "a 0" not in said and "take a smaller precision" in said
    assert sections.read_optional(upgrade, sections.ImageSection) is None
    registry = Registry(maker.host, Access())
    never = Repository(registry, "budget/never")
    assert maker.build(upgrade, ["c"], "--max-transfer-bytes=0", f"--serving-image={maker.host}/budget/never:2") == 3
    assert "enable these there" not in capsys.readouterr().err
    assert never.find("2") is None and maker.build(upgrade, ["a=partial.yaml"], "--max-transfer-bytes=400000") == 0


def test_what_would_help_is_said(maker, upgrade, capsys):
    assert maker.build(upgrade, ["a"], "--max-transfer-bytes=400000") == 3
    assert "a 7.2 MB" in (said := capsys.readouterr().err) and "partial_pulls: true in their profile" in said
    assert maker.build(upgrade, ["b"], "--max-transfer-bytes=400000") == 3
    assert "git names no image there yet" in capsys.readouterr().err
    assert maker.build(upgrade, ["a=partial.yaml"], "--max-transfer-bytes=400000", layout="single") == 3
    assert "take image layout sharded for sites with partial pulls" in capsys.readouterr().err
    assert maker.build(upgrade, [], "--max-transfer-bytes=400000") == 2
    assert "no site is named" in capsys.readouterr().err


def test_the_record_and_the_commit_say_it_the_same_each_time(maker, upgrade, tmp_path):
    flags = ("--max-transfer-bytes=9000000", f"--result-largest-transfer-bytes={tmp_path}/largest")
    assert maker.build(upgrade, SITES, *flags) == 0
    first = (upgrade / "release" / "image.json").read_bytes()
    section = sections.read(upgrade, sections.ImageSection)
    assert section.max_transfer_bytes == 9_000_000
    assert int((tmp_path / "largest").read_text()) == section.sites[1].bytes == max(one.bytes for one in section.sites)
    assert maker.build(upgrade, SITES, *flags) == 0
    again = sections.read(upgrade, sections.ImageSection)
    sections.write(upgrade, again.model_copy(update={"uploaded_bytes": section.uploaded_bytes}))
    assert (upgrade / "release" / "image.json").read_bytes() == first
    apart = tmp_path / "gitops.git"
    shutil.copytree(maker.git, apart)
    maker, here = Maker.__new__(Maker), maker
    maker.folder, maker.host, maker.git = here.folder, here.host, apart
    message = maker.publish(upgrade, SITES)
    assert "- b, d: 8.1 MB, 6.5 s at 10 Mbit/s\n- c: 7.2 MB, 5.8 s at 10 Mbit/s\n- a: 30" in message
    previous.bring(upgrade, "tiny", git.Access(), str(apart), "main")
    assert maker.build(upgrade, ["a", "e"]) == 0
    assert [(one.site, one.bytes == 0) for one in sections.read(upgrade, sections.ImageSection).sites] == [
        ("a", True), ("e", False)
    ]  # fmt: skip
    assert maker.publish(upgrade, SITES) == message  # evidence of the same release stays; nothing is committed


def test_a_release_whose_image_exists_is_held_too(maker, upgrade, tmp_path, capsys):
    assert maker.build(upgrade, ()) == 0
    image = f"{maker.host}/budget/tiny:2"
    path = tmp_path / "carried"
    fetch_release.run(path, image, known_as=(git.Access(), str(maker.git), "main"))
    (path / "source").mkdir()
    shutil.copy(upgrade / "source" / "partial.yaml", path / "source")
    flags = [f"--workspace={path}", f"--serving-image={image}", "--", *SITES]
    assert render_gitops.main(["--max-transfer-bytes=400000", *flags]) == 3
    assert "more would be pulled by b 8.1 MB" in capsys.readouterr().err and not (path / "gitops").exists()
    assert render_gitops.main(["--max-transfer-bytes=9000000", *flags]) == 0
    found = publish.rendered(path / "gitops").record.evidence.image
    assert maker.build(upgrade, SITES) == 0
    assert found.sites == sections.read(upgrade, sections.ImageSection).sites
    assert found.max_transfer_bytes == 9_000_000
    (path / "previous" / "sites.json").unlink()
    assert render_gitops.main(flags) == 0
    assert publish.rendered(path / "gitops").record.evidence.image.sites == []
    assert render_gitops.main([f"--workspace={upgrade}", "--max-transfer-bytes=1", "--", "a"]) == 2


def test_a_table_that_cannot_be_read_makes_it_a_bound(maker, upgrade):
    path = upgrade / "previous" / "sites.json"
    path.write_text(path.read_text().replace("budget/tiny", "budget/gone"))
    assert maker.build(upgrade, ["a=partial.yaml", "c"]) == 0
    a, c = sections.read(upgrade, sections.ImageSection).sites
    assert a.at_most and not c.at_most and c.bytes == a.whole_bytes
    assert a.bytes == a.partial_bytes > 7_000_000

"""The transfer budget: how many bytes each site pulls for an image, and the gate on it.

A site has the blobs of the images that git says it runs, of all its models, and nothing else: what a node keeps of
images it no longer runs, or of images git does not name, is its engine's to throw away. What it pulls then is the
manifest, the config, and every layer whose digest it has not. Where its engine does partial pulls, it pulls of a
zstd:chunked layer the files and chunks that no chunked layer there holds; plain layers always whole.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nearedge.delivery import chunked, oci
from nearedge.delivery.chunked import CURRENT, Contents, Engine, Pulled
from nearedge.delivery.gitops.figures import megabytes
from nearedge.delivery.layout import Layout
from nearedge.delivery.proven import SOURCE
from nearedge.delivery.repository import Repository
from nearedge.errors import GateError, InputError, OutsideError, UsageError
from nearedge.progress import say
from nearedge.release import description, profile, sections, usage
from nearedge.release.profile import Profile
from nearedge.release.record import Record
from nearedge.release.sections import ImageSection, SiteTransfer
from nearedge.release.usage import Image, Usage

MOST_NAMED = 5
"""Sites that a message names; of more it says how many."""

Opener = Callable[[str], Layout | Repository]
"""The store of an image, by its reference."""


@dataclass
class Reckoning:
    """What sites pull for the image `manifest`; `contents` reads its chunked layers' tables, `opened` finds others'.

    Sites that run the same images pull the same, so each table is read once.
    """

    manifest: oci.Manifest
    contents: Callable[[oci.Descriptor], Contents]
    opened: Opener
    engine: Engine = CURRENT
    known: dict[tuple[str, ...], tuple[Pulled, bool]] = field(default_factory=dict)
    tables: dict[str, list[Contents] | None] = field(default_factory=dict)

    def at(self, site: str, node: Profile, running: Usage) -> SiteTransfer:
        """What `site` pulls. Raises OutsideError where a table of the image's own layers is not honest."""
        there = running.images_at(site)
        key = tuple(image.digest for image in there)
        if key not in self.known:
            self.known[key] = self.beside(there)
        pulled, complete = self.known[key]
        return SiteTransfer(
            site=site,
            bytes=pulled.partial if node.partial_pulls else pulled.whole,
            partial_bytes=pulled.partial,
            whole_bytes=pulled.whole,
            link_mbit_s=node.link_mbit_s,
            against=list(key),
            at_most=node.partial_pulls and not complete,
        )

    def beside(self, there: Sequence[Image]) -> tuple[Pulled, bool]:
        """What is pulled to where these images are, and whether every table that counts could be read."""
        if self.manifest.descriptor.digest in {image.digest for image in there}:
            return Pulled(0, 0), True
        lacking = chunked.lacked(self.manifest, {digest for image in there for digest in image.layers})
        found = [self.tables_of(image) for image in there] if any(map(chunked.is_chunked, lacking)) else []
        have = [contents for some in found for contents in some or ()]
        layers = chunked.of_layers(lacking, self.contents, have, self.engine)
        documents = self.manifest.descriptor.size + self.manifest.config.size
        return Pulled(documents + layers.partial, documents + layers.whole), None not in found

    def tables_of(self, image: Image) -> list[Contents] | None:
        """The tables of an image's chunked layers; None where its registry does not give them."""
        if image.digest not in self.tables:
            self.tables[image.digest] = self.read_tables(image)
        return self.tables[image.digest]

    def read_tables(self, image: Image) -> list[Contents] | None:
        """As `tables_of`, from the registry."""
        try:
            store = self.opened(image.url)
            manifest = store.resolve(image.digest)
            return [chunked.read_contents(store, layer) for layer in manifest.layers if chunked.is_chunked(layer)]
        except (InputError, OutsideError):  # more is predicted then, never less
            return None


def transfers(reckoning: Reckoning, nodes: Mapping[str, Profile], running: Usage) -> list[SiteTransfer]:
    """What each of the sites pulls, in their order."""
    return [reckoning.at(site, node, running) for site, node in nodes.items()]


def at_sites(
    workspace: Path, sites: Sequence[str], reckoning: Reckoning, common: Profile | None = None
) -> list[SiteTransfer]:
    """What each of `sites` (SITE or SITE=PROFILE) pulls, by what fetch-model read of git; it is said, too.

    `common` is the profile of sites that name none; else it is the model's.

    Raises InputError for a profile that there is none of, or a damaged file.
    """
    folder = workspace / SOURCE
    own = profile.by_site(sites, folder)
    if not own:
        return []
    if common is None:
        common = profile.read(description.read(folder / description.FILE_NAME).target.profile, folder)
    found = transfers(reckoning, {site: node or common for site, node in own.items()}, usage.read(workspace))
    for line in lines(found):
        say(f"to pull at {line}")
    return found


def gate(found: Sequence[SiteTransfer], most: int | None, layout: str) -> None:
    """Raise GateError where a site pulls more than `most` bytes (None: no gate); `layout` is the image's.

    Raises UsageError where there is a gate and no site.
    """
    if most is not None and not found:
        raise UsageError("max-transfer-bytes: no site is named that it could be held for; give sites")
    over = sorted((one for one in found if most is not None and one.bytes > most), key=lambda one: -one.bytes)
    if not over:
        return
    named = [f"{one.site} {said(one)} ({one.bytes} bytes)" for one in over[:MOST_NAMED]]
    more = f" and {len(over) - MOST_NAMED} more sites" if len(over) > MOST_NAMED else ""
    raise GateError(
        f"max-transfer-bytes {most}: more would be pulled by {', '.join(named)}{more}; nothing was pushed; "
        f"{remedy(over, most or 0, layout)}"
    )


def remedy(over: Sequence[SiteTransfer], most: int, layout: str) -> str:
    """What helps where these sites pull more than `most` bytes."""
    if all(one.partial_bytes <= most for one in over):
        return "they would hold it with partial pulls: enable these there and say partial_pulls: true in their profile"
    fresh = [one.site for one in over if not one.against]
    if len(fresh) == len(over):
        return "git names no image there yet, so all of it is pulled: raise the budget for the first release"
    finer = "" if layout == "sharded" else "image layout sharded for sites with partial pulls, "
    return f"take {finer}a smaller precision, the base that the sites have already, or raise it"


def of_existing(
    workspace: Path, sites: Sequence[str], common: Profile, release: Record, reckoning: Reckoning, most: int | None
) -> Record:
    """The record of a release whose image exists, with what each of `sites` pulls of it; holds the gate.

    Where nobody read git to the workspace (fetch-release does) and there is no gate, nothing is reckoned.
    """
    image = release.evidence.image
    if image is None or (most is None and not (workspace / usage.PATH).is_file()):
        return release
    found = at_sites(workspace, sites, reckoning, common)
    gate(found, most, image.layout)
    image = image.model_copy(update={"sites": found, "max_transfer_bytes": most})
    return release.model_copy(update={"evidence": release.evidence.model_copy(update={"image": image})})


def known(workspace: Path, release: Record) -> dict[str, SiteTransfer]:
    """What each site pulls for the release, by site: as this run reckoned, else as the record has it."""
    now, there = sections.read_optional(workspace, ImageSection), release.evidence.image
    image = now if now is not None and there is not None and now.digest == there.digest else there
    return {one.site: one for one in image.sites} if image else {}


def lines(found: Sequence[SiteTransfer]) -> list[str]:
    """For people: the sites that pull the same in one line each, the most bytes first."""
    groups: dict[str, list[SiteTransfer]] = {}
    for one in sorted(found, key=lambda one: (-one.bytes, -one.seconds)):
        groups.setdefault(said(one), []).append(one)
    return [f"{sites_named(group)}: {text}" for text, group in groups.items()]


def sites_named(some: Sequence[SiteTransfer]) -> str:
    """The names of sites, not all where they are many."""
    more = f" and {len(some) - MOST_NAMED} more" if len(some) > MOST_NAMED else ""
    return ", ".join(one.site for one in some[:MOST_NAMED]) + more


def said(one: SiteTransfer) -> str:
    """What a site pulls and how long that takes, for people."""
    bound = "at most " if one.at_most else ""
    if not one.bytes:
        return "nothing: it runs this image"
    return f"{bound}{megabytes(one.bytes)}, {duration(one.seconds)} at {one.link_mbit_s:g} Mbit/s"


def duration(seconds: float) -> str:
    """A time for people."""
    if seconds < 100:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"

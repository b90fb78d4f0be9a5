"""What goes into a bundle: the images' blobs that the site lacks, every manifest, what refers to them, and files."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from nearedge.delivery import closure, oci, referrers
from nearedge.delivery import digest as digests
from nearedge.delivery.bundle import bundle_file
from nearedge.delivery.bundle.bundle_index import BLOB, FILES, Absent, Image, Index, Member
from nearedge.delivery.layout import MARKER, MARKER_TEXT, Layout
from nearedge.delivery.repository import Repository
from nearedge.delivery.upload import pieces
from nearedge.errors import InputError
from nearedge.files import sha256_file

Store = Layout | Repository


@dataclass
class Packing:
    """A bundle in the making. `have` are the blobs that the site has, by digest."""

    have: dict[str, Absent] = field(default_factory=dict)
    images: list[Image] = field(default_factory=list)
    absent: dict[str, Absent] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    sources: dict[str, Store] = field(default_factory=dict)
    held: dict[str, bytes] = field(default_factory=dict)
    files: dict[str, Path] = field(default_factory=dict)

    def has_bundle(self, path: Path) -> None:
        """The site has imported the bundle at `path`, and therefore what that one built on."""
        with bundle_file.opened(path) as bundle:
            names = {}
            bundle.verify()
            for image in bundle.index.images:
                for blob in closure.of(bundle.document, image.digest, bundle.where).blobs:
                    names[blob.digest] = image.name
            for member in bundle.index.members:
                found = BLOB.fullmatch(member.path)
                if found and f"sha256:{found[1]}" in names:
                    digest = f"sha256:{found[1]}"
                    self.have[digest] = Absent(digest, member.size, names[digest], bundle.id)
            self.have |= {one.digest: one for one in bundle.index.absent}

    def has_image(self, store: Store, name: str, which: str) -> None:
        """The site has the image that `which` names in `store`, under `name`."""
        for blob in closure.of(closure.reader(store), which, store.where).blobs:
            self.have[blob.digest] = Absent(blob.digest, blob.size, name)

    def image(self, store: Store, name: str, which: str, tag: str) -> str:
        """Take an image in, and what refers to it; its digest. Blobs are read only when the bundle is written.

        Raises InputError where another image has that name and tag already.
        """
        found = closure.of(closure.reader(store), which, store.where)
        if tag and any((one.name, one.tag) == (name, tag) and one.digest != found.digest for one in self.images):
            raise InputError(f"{name}:{tag}: two images of that name and tag; a site can have one, bundle one of them")
        self.take(store, found)
        self.images.append(Image(name, tag, found.digest))
        for document in found.documents:
            for entry in referrers.listed(store, document.descriptor):
                digest = digests.require(entry.get("digest"), f"{store.where}: a referrer")
                self.take(store, closure.of(closure.reader(store), digest, store.where))
                kind = str(entry.get("artifactType") or "")
                self.images.append(Image(name, "", digest, document.descriptor.to_json(), kind))
        return found.digest

    def take(self, store: Store, found: closure.Closure) -> None:
        """Manifests always, blobs where the site has them not."""
        self.held |= {document.descriptor.digest: document.content for document in found.documents}
        for blob in found.blobs:
            if blob.digest in self.have:
                self.absent[blob.digest] = self.have[blob.digest]
            else:
                self.sizes[blob.digest], self.sources[blob.digest] = blob.size, store

    def add_files(self, path: Path, under: str) -> None:
        """A file, or the files of a folder, below `files/UNDER/`. Raises InputError for links and special files."""
        if not path.exists():
            raise InputError(f"{path}: no such file or folder to bundle")
        found = sorted(path.rglob("*")) if path.is_dir() else [path]
        for one in found:
            if one.is_symlink() or not (one.is_file() or one.is_dir()):
                raise InputError(f"{one}: is a link or a special file; bundle plain files only")
            if one.is_file():
                name = one.relative_to(path).as_posix() if path.is_dir() else one.name
                self.files[f"{FILES}{under}/{name}"] = one

    def layout_files(self) -> dict[str, bytes]:
        """What makes the tar an OCI layout that other tools read too."""
        entries = []
        for image in self.images:
            own = closure.named(self.held[image.digest], image.digest).descriptor
            named = {oci.REF_NAME: image.tag} if image.tag else {}
            kind = {"artifactType": image.kind} if image.kind else {}
            entries.append({**own.to_json(), **kind, **({"annotations": named} if named else {})})
        index = {"schemaVersion": 2, "mediaType": oci.INDEX, "manifests": entries}
        return {MARKER: MARKER_TEXT.encode(), "index.json": oci.encode(index)}

    def index(self) -> Index:
        """The index; members in order of their names, so that the same content makes the same bundle."""
        texts = self.layout_files()
        members = [Member(name, len(text), hashlib.sha256(text).hexdigest()) for name, text in texts.items()]
        blobs = self.sizes | {digest: len(text) for digest, text in self.held.items()}
        members += [Member(bundle_file.blob_path(one), size, one[7:]) for one, size in sorted(blobs.items())]
        members += [Member(name, path.stat().st_size, sha256_file(path)) for name, path in sorted(self.files.items())]
        images = [image for number, image in enumerate(self.images) if image not in self.images[:number]]
        return Index(tuple(images), tuple(members), tuple(one for _, one in sorted(self.absent.items())))

    def opened(self, member: Member) -> Iterator[bytes]:
        """A member's bytes, held against its sum while they are read."""
        digest = f"sha256:{member.sha256}"
        if member.path in self.files:
            content = pieces(self.files[member.path])
        elif BLOB.fullmatch(member.path) and digest not in self.held:
            return self.sources[digest].chunks(oci.Descriptor("", digest, member.size))
        else:
            content = iter((self.held.get(digest) or self.layout_files()[member.path],))
        return digests.verified(content, digest, member.size, member.path)

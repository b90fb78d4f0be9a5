"""A bundle's images into a registry or a layout, and its files into a folder.

First everything is verified: the index, every byte, that every manifest is whole with what the bundle and the target
have. Only then is anything written: blobs, manifests by digest, tags at the very end.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from nearedge.delivery import closure, oci, referrers
from nearedge.delivery.bundle.bundle_file import Bundle
from nearedge.delivery.bundle.bundle_index import FILES, Image
from nearedge.delivery.closure import Closure
from nearedge.delivery.layout import Layout
from nearedge.delivery.repository import Repository
from nearedge.errors import InputError, OutsideError
from nearedge.files import new_directory

Store = Layout | Repository
StoreFor = Callable[[str], Store]
"""The store for an image's name."""
SHOWN = 3


@dataclass(frozen=True)
class Imported:
    """How many bytes the target took, and what it had lacked."""

    written: int
    images: tuple[Image, ...]


class Importing:
    """One bundle on its way into one target."""

    def __init__(self, bundle: Bundle, store_for: StoreFor) -> None:
        """`bundle` has been verified."""
        self.bundle, self.store_for = bundle, store_for
        self.absent = {one.digest: one for one in bundle.index.absent}
        try:
            self.closures = [closure.of(bundle.document, image.digest, bundle.where) for image in bundle.index.images]
            self.subjects = [one.subject and oci.descriptor(one.subject, bundle.where) for one in bundle.index.images]
        except OutsideError as error:
            raise InputError(f"{error}; nothing was imported") from error

    def check(self) -> None:
        """Raises InputError, with the earlier bundles to import first, where a blob is neither here nor there.

        And where two images would take the same tag of one store, as of two names in one layout.
        """
        self.check_tags()
        missing = {}
        for image, found in zip(self.bundle.index.images, self.closures, strict=True):
            for blob in found.blobs:
                if self.bundle.has(blob.digest) and self.bundle.size(blob.digest) != blob.size:
                    raise InputError(f"{self.bundle.where}: {blob.digest} has another size than a manifest says")
                if not self.bundle.has(blob.digest) and self.place(image, blob) is None:
                    missing[blob.digest] = blob.size
        if missing:
            bundles = sorted({self.absent[one].bundle for one in missing if one in self.absent} - {""})
            first = f"import bundle {', '.join(bundles)} first" if bundles else "export a bundle that holds them"
            names = ", ".join(sorted(missing)[:SHOWN]) + (" ..." if len(missing) > SHOWN else "")
            size = sum(missing.values())
            raise InputError(
                f"{self.bundle.where}: {len(missing)} blobs ({size} bytes) are neither in it nor at the target: "
                f"{names}; {first}; nothing was imported"
            )

    def check_tags(self) -> None:
        """Raises InputError where one tag would have to name two images."""
        taken: dict[tuple[str, str], Image] = {}
        for image in filter(lambda one: one.tag, self.bundle.index.images):
            other = taken.setdefault((self.store_for(image.name).where, image.tag), image)
            if other.digest != image.digest:
                raise InputError(
                    f"{self.bundle.where}: {other.name}:{other.tag} and {image.name}:{image.tag} would have one name "
                    "at the target; import into a registry; nothing was imported"
                )

    def place(self, image: Image, blob: oci.Descriptor) -> Store | None:
        """The store at the target that has the blob: the image's own, or the one that an earlier bundle put it in."""
        own = self.store_for(image.name)
        if own.has(blob):
            return own
        said = self.absent.get(blob.digest)
        other = self.store_for(said.name) if said and said.name else own
        return other if other is not own and other.has(blob) else None

    def run(self) -> Imported:
        """Write all of it. Raises OutsideError where the target refuses; no tag names anything incomplete then."""
        pairs = list(zip(self.bundle.index.images, self.closures, strict=True))
        written = sum(self.blobs(image, found) for image, found in pairs)
        for image, found in pairs:
            store = self.store_for(image.name)
            written += sum(store.publish(document, "") for document in found.documents)
        for image, found in pairs:
            self.name(image, found)
        return Imported(written, self.bundle.index.images)

    def blobs(self, image: Image, found: Closure) -> int:
        """Have the image's blobs in its store; the bytes that took."""
        store, written = self.store_for(image.name), 0
        for blob in found.blobs:
            there = None if self.bundle.has(blob.digest) else self.place(image, blob)
            written += store.adopt(blob, there or self.bundle)
        return written

    def name(self, image: Image, found: Closure) -> None:
        """Let the tag name the image, or the subject's list what refers to it."""
        store, document = self.store_for(image.name), found.documents[-1]
        if image.tag:
            store.publish(document, image.tag)
        if not image.subject:
            return
        if isinstance(store, Layout):
            store.publish(document, "", image.kind)
            return
        subject = oci.descriptor(image.subject, self.bundle.where)
        if not any(one.get("digest") == image.digest for one in referrers.listed(store, subject)):
            entry = {**document.descriptor.to_json(), "artifactType": image.kind}
            referrers.add_to_fallback(store, subject, entry)


def unpack(bundle: Bundle, folder: Path) -> int:
    """Write the bundle's files to `folder`, which is replaced as a whole; how many there are."""
    names = [member.path for member in bundle.index.members if member.path.startswith(FILES)]
    if names:
        with new_directory(folder) as building:
            for name in names:
                path = building / name.removeprefix(FILES)
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("xb") as out:
                    out.writelines(bundle.member(name))
    return len(names)

"""A model in a bucket: `s3://BUCKET/KEY` of a model.yaml or an archive, or of a prefix with a model.yaml below."""

from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from nearedge.delivery.sources.archives import MAX_PATH, printable
from nearedge.delivery.sources.bucket import Access, Bucket, opened
from nearedge.delivery.sources.bucket_faults import DeniedError, MissingError
from nearedge.errors import InputError, OutsideError
from nearedge.files import inside, size_of

DESCRIPTION = "model.yaml"


def parse(reference: str) -> tuple[str, str]:
    """Bucket and key of `s3://BUCKET/KEY`; the key as it is, nothing in it is decoded. Raises InputError."""
    bucket, _, key = reference.partition("://")[2].partition("/")
    if "@" in bucket:
        raise InputError("s3://: an address holds no credentials; put them into the workspace aws-credentials")
    if not bucket or not printable(reference):
        raise InputError("s3://: is no address of an object; give s3://BUCKET/KEY")
    return bucket, key


def bring_first(bucket: Bucket, key: str, path: Path, max_bytes: int) -> str:
    """Download the object `key`, or the model.yaml below it, to `path`; the key that there was.

    A key may be a prefix too: where there is no object of that name, or the store does not say so because listing is
    not allowed, the model.yaml below it is asked for. Raises as `Bucket.download`.
    """
    is_description = key.endswith((".yaml", ".yml"))
    below = f"{key.rstrip('/')}/{DESCRIPTION}".lstrip("/")
    if key and not key.endswith("/"):
        try:
            bucket.download(key, path, max_bytes)
            return key
        except MissingError:
            if is_description:
                raise
        except OutsideError as error:
            if is_description or not isinstance(error, DeniedError):
                raise
    try:
        bucket.download(below, path, max_bytes)
    except MissingError as error:
        raise MissingError(f"s3://{bucket.name}/{key}: there is neither such an object nor {below}") from error
    return below


@dataclass
class Beside:
    """Brings the objects beside a model.yaml, whose key begins with `prefix`, to `root`."""

    name: str
    prefix: str
    root: Path
    access: Access
    max_bytes: int
    whole: set[Path] = field(default_factory=set)
    """Folders that were brought."""

    def bring(self, relative: str) -> None:
        """Download an object or all below a prefix, unless they are there; where there is nothing, nothing happens.

        What all files together may take is shared among them.
        """
        path = inside(self.root, relative)
        folders = path.parents[: len(path.relative_to(self.root).parts)]
        if path.is_file() or self.whole & {path, *folders} or any(folder.is_file() for folder in folders):
            return
        if relative.endswith(".xml"):  # an OpenVINO IR is no model without its weights
            self.bring(relative.removesuffix(".xml") + ".bin")
        with opened(self.name, self.access) as bucket:
            try:
                if not path.is_dir():
                    self.fetch(bucket, self.prefix + relative, path)
                    return
            except MissingError:
                pass
            self.folder(bucket, f"{self.prefix}{relative}/", path)

    def folder(self, bucket: Bucket, prefix: str, into: Path) -> None:
        """Download all objects below a prefix."""
        found = bucket.sizes_below(prefix, self.room())
        for name, key in sorted(relative_names(list(found), prefix).items()):
            if not (into / name).is_file():
                self.fetch(bucket, key, into / name)
        if found:
            self.whole.add(into)

    def fetch(self, bucket: Bucket, key: str, path: Path) -> None:
        """Download one object."""
        path.parent.mkdir(parents=True, exist_ok=True)
        bucket.download(key, path, self.room())

    def room(self) -> int:
        """Bytes that may still come."""
        return self.max_bytes - size_of(self.root)


def relative_names(keys: list[str], prefix: str) -> dict[str, str]:
    """Each key by its path below `prefix`. Raises InputError for one that leads out, or is no path or two things."""
    names = {key.removeprefix(prefix): key for key in keys}
    for name in names:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts:
            raise InputError(f"{prefix[:200]}: the key {name[:200]!r} below it leads out of the folder")
        plain = printable(name) and "\\" not in name and len(name.encode(errors="replace")) <= MAX_PATH
        if str(path) != name or not plain or any(len(part.encode()) > 255 for part in path.parts):
            raise InputError(f"{prefix[:200]}: the key {name[:200]!r} below it is no name that every system takes")
    both = {str(parent) for name in names for parent in PurePosixPath(name).parents} & names.keys()
    if both:
        raise InputError(f"{prefix[:200]}: the key {min(both)[:200]!r} below it is a file and a folder")
    return names

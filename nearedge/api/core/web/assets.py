"""The page's style and script, under names that change with what is in them: a browser keeps them for ever."""

import hashlib
from pathlib import Path

from fastapi import Response

from nearedge.api.problems import missing

FOLDER = Path(__file__).parent / "static"
KINDS = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
FOREVER = {"Cache-Control": "public, max-age=31536000, immutable"}


class Assets:
    """The files of `folder` in memory, by name with the content's hash in it."""

    def __init__(self, folder: Path = FOLDER) -> None:
        """Read them."""
        self.names: dict[str, str] = {}
        self.files: dict[str, bytes] = {}
        for path in sorted(folder.iterdir()):
            if path.suffix in KINDS:
                content = path.read_bytes()
                name = f"{path.stem}.{hashlib.sha256(content).hexdigest()[:16]}{path.suffix}"
                self.names[path.name], self.files[name] = name, content

    def url(self, name: str) -> str:
        """Where a page finds the file."""
        return f"/assets/{self.names[name]}"

    def answer(self, name: str) -> Response:
        """The file. Raises ProblemError 404."""
        if name not in self.files:
            raise missing(f"/assets/{name}: no such file; read the page again")
        kind = KINDS["." + name.rpartition(".")[2]]
        return Response(self.files[name], media_type=kind, headers=FOREVER)

"""The token that a forge knows us by, from a bound workspace."""

from pathlib import Path

from nearedge.errors import InputError

FILE = "token"
LONGEST = 8192
"""Bytes; forges' tokens have 40 to some hundred, those of single sign-on a few thousand."""


def read(folder: Path | None) -> str:
    """The token in `folder/token`. Raises InputError where there is none; its content is never in the message."""
    if folder is None:
        raise InputError("a pull request needs a token: bind the workspace forge-token, a folder with the file token")
    path = folder / FILE
    if not path.is_file():
        raise InputError(f"{path}: no such file; the workspace forge-token holds the file {FILE}")
    with path.open("rb") as file:
        content = file.read(LONGEST + 1).strip()
    if not 0 < len(content) <= LONGEST or not all(0x21 <= letter <= 0x7E for letter in content):
        raise InputError(f"{path}: is no token; it holds one line of letters, digits and signs, without spaces")
    return content.decode("ascii")

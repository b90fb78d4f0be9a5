"""Tags and annotations that a user adds to an image."""

from collections.abc import Iterable

from nearedge.delivery.reference import TAG
from nearedge.errors import InputError

RESERVED = ("org.opencontainers.image.base.", "org.opencontainers.image.version", "io.nearedge.")
"""Beginnings of names whose values are facts; everything else may be said in other words."""
LONGEST_KEY, LONGEST_VALUE, MOST = 255, 4096, 100


def tags_and_annotations(texts: Iterable[str]) -> tuple[tuple[str, ...], dict[str, str]]:
    """The tags among `texts`, and the annotations, which are written KEY=VALUE (a tag holds no '=').

    Raises InputError for what is neither, a key twice, or a name whose value is a fact.
    """
    tags: list[str] = []
    annotations: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals:
            if not TAG.fullmatch(text):
                raise InputError(
                    f"{text[:80]!r}: is no tag (up to 128 letters, digits, '.', '_', '-') and no annotation (KEY=VALUE)"
                )
            tags.append(text)
            continue
        check(key, value)
        if key in annotations:
            raise InputError(f"annotation {key}: is given twice; give it once")
        annotations[key] = value
    if len(tags) > MOST or len(annotations) > MOST:
        raise InputError(f"more than {MOST} tags or annotations; give fewer")
    return tuple(dict.fromkeys(tags)), annotations


def check(key: str, value: str) -> None:
    """Raise InputError where an annotation's key or value will not do."""
    shown = key[:80]
    if not key or len(key) > LONGEST_KEY or not key.isascii() or not key.isprintable() or " " in key:
        raise InputError(f"annotation {shown!r}: is no name; use ASCII without spaces, such as com.example.team")
    if not value.isprintable() or len(value) > LONGEST_VALUE:
        raise InputError(f"annotation {shown}: its value is not one printable line of at most {LONGEST_VALUE} letters")
    if key.startswith(RESERVED):
        raise InputError(f"annotation {shown}: is what nearedge says of the image; choose another name")

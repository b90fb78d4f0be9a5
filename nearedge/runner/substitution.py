"""Tekton's `$(...)` references: reading them, and putting values in their place.

Syntax and rules follow Tekton's docs/variables.md. A text is gone over once: what a value brings in is never read as a
reference again, so a param that holds `$(...)` arrives as it is.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from nearedge.errors import InputError

Value = str | list[str] | dict[str, str]
Key = tuple[str, ...]

ROOTS = "params|tasks|finally|context|workspaces|results|steps|step|credentials"
PART = r"""(?:\.[A-Za-z0-9_-]+|\["[^"\]]+"\]|\['[^'\]]+'\]|\[\d+\]|\[\*\])"""
REFERENCE = re.compile(rf"\$\(((?:{ROOTS}){PART}+)\)")
PIECE = re.compile(PART)


@dataclass(frozen=True)
class Reference:
    """`$(params.x[0])`: text without `$()`, the names in it, and at its end an index or a `[*]`."""

    text: str
    key: Key
    index: int | None = None
    star: bool = False


def parse(text: str) -> Reference | None:
    """Read what stands inside `$( )`; None where an index or `[*]` stands anywhere but at the end."""
    root = re.match(ROOTS, text)
    if root is None:
        return None
    names = [root.group()]
    index: int | None = None
    star = False
    for part in PIECE.findall(text[root.end() :]):
        if star or index is not None:
            return None
        if part == "[*]":
            star = True
        elif part.startswith("["):
            inner = part[1:-1]
            if inner.isdigit():
                index = int(inner)
            else:
                names.append(inner[1:-1])
        else:
            names.append(part[1:])
    return Reference(text, tuple(names), index, star)


def references(value: Any) -> Iterator[Reference]:  # any piece of a manifest
    """Every reference in the strings of a value, however deep."""
    if isinstance(value, str):
        for match in REFERENCE.finditer(value):
            reference = parse(match.group(1))
            if reference is not None:
                yield reference
    elif isinstance(value, dict):
        for item in value.values():
            yield from references(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from references(item)


class Scope:
    """The values that references may name, by the names in them: `("tasks", "a", "results", "y")`."""

    def __init__(self, values: Mapping[Key, Value]) -> None:
        """Keep the values."""
        self.values = dict(values)

    def find(self, reference: Reference) -> Value | None:
        """The value of a reference, None where it names nothing known.

        Raises InputError for an index beyond an array, an index on what is no array, or a key that an object has not.
        """
        if reference.key in self.values:
            return pick(reference, self.values[reference.key])
        parent = self.values.get(reference.key[:-1])
        if isinstance(parent, dict):
            if reference.key[-1] not in parent:
                raise InputError(f"$({reference.text}): the object has no key {reference.key[-1]!r}")
            return parent[reference.key[-1]]
        return None


def pick(reference: Reference, value: Value) -> Value:
    """The value itself or, where the reference has an index, that item of it."""
    if reference.index is None:
        return value
    if not isinstance(value, list):
        raise InputError(f"$({reference.text}): an index, but it is no array")
    if reference.index >= len(value):
        raise InputError(f"$({reference.text}): the array has {len(value)} items")
    return value[reference.index]


def text(template: str, scope: Scope) -> str:
    """`template` with its references replaced; unknown ones stay as they are.

    Raises InputError where a whole array or object is asked for inside a text.
    """

    def replace(match: re.Match[str]) -> str:
        reference = parse(match.group(1))
        value = None if reference is None else scope.find(reference)
        if value is None:
            return match.group()
        if not isinstance(value, str):
            kind = "array" if isinstance(value, list) else "object"
            raise InputError(f"{match.group()}: an {kind} cannot stand inside a text; use one item of it")
        return value

    return REFERENCE.sub(replace, template)


def isolated(template: str, scope: Scope) -> Value | None:
    """The array or object where `template` is one reference to it and nothing else (`$(params.x[*])`), else None."""
    match = REFERENCE.fullmatch(template)
    reference = parse(match.group(1)) if match else None
    value = scope.find(reference) if reference else None
    return None if isinstance(value, str) else value


def texts(templates: list[str], scope: Scope) -> list[str]:
    """A list of texts, with an item that is a reference to an array replaced by that array's items."""
    found: list[str] = []
    for template in templates:
        whole = isolated(template, scope)
        if isinstance(whole, list):
            found += whole
        else:
            found.append(text(template, scope))
    return found


def value(template: Value, scope: Scope) -> Value:
    """The value of a param or result; one reference to an array or object, and nothing else, becomes that one."""
    if isinstance(template, list):
        return texts(template, scope)
    if isinstance(template, dict):
        return {key: text(item, scope) for key, item in template.items()}
    whole = isolated(template, scope)
    return text(template, scope) if whole is None else whole


def document(piece: Any, scope: Scope) -> Any:  # any piece of a manifest
    """Any piece of a manifest: strings, lists with arrays spliced in, maps."""
    if isinstance(piece, str):
        return text(piece, scope)
    if isinstance(piece, list):
        if all(isinstance(item, str) for item in piece):
            return texts(piece, scope)
        return [document(item, scope) for item in piece]
    if isinstance(piece, dict):
        return {name: document(item, scope) for name, item in piece.items()}
    return piece


VARIABLE = re.compile(r"\$\$|\$\(([A-Za-z_][A-Za-z0-9_.-]*)\)")


def variables(template: str, env: Mapping[str, str]) -> str:
    """Kubernetes' own `$(NAME)` of a container's env in command, args and env; `$$` is one `$`, unknown names stay."""

    def replace(match: re.Match[str]) -> str:
        if match.group() == "$$":
            return "$"
        return env.get(match.group(1), match.group())

    return VARIABLE.sub(replace, template)

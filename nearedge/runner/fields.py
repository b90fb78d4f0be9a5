"""Sorting every field of a manifest: honoured, accepted without effect on one machine, or refused before a run."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from nearedge.errors import InputError, UnsupportedError

Document = dict[str, Any]


class Effect(Enum):
    """What the runner does with a field."""

    HONOURED = "honoured"
    ACCEPTED = "accepted without effect"
    REFUSED = "refused"


class Shape(Enum):
    """What a field's value looks like; the text is what a message asks for."""

    STRING = "a string (quote it)"
    BOOLEAN = "true or false"
    INTEGER = "a whole number"
    STRINGS = "a list of strings"
    VALUE = "a string, a list of strings or a map of strings (quote numbers)"
    OBJECT = "a map"
    OBJECTS = "a list of maps"
    ANY = "anything"


@dataclass(frozen=True)
class Field:
    """How one field is treated; `fields` are those of the maps in it, None where they are not looked at."""

    effect: Effect
    shape: Shape = Shape.ANY
    fields: Mapping[str, "Field"] | None = field(default=None)


def honoured(shape: Shape) -> Field:
    """A field the runner acts on, which holds no further fields."""
    return Field(Effect.HONOURED, shape)


def one(fields: Mapping[str, Field]) -> Field:
    """A map with fields of its own."""
    return Field(Effect.HONOURED, Shape.OBJECT, fields)


def many(fields: Mapping[str, Field]) -> Field:
    """A list of maps with fields of their own."""
    return Field(Effect.HONOURED, Shape.OBJECTS, fields)


ACCEPTED = Field(Effect.ACCEPTED)
REFUSED = Field(Effect.REFUSED)


def strings(value: object) -> bool:
    """Whether this is a list of strings."""
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def is_value(value: object) -> bool:
    """Whether a param or a result can hold this: a string, an array of strings, an object of strings."""
    if isinstance(value, dict):
        return all(isinstance(key, str) and isinstance(item, str) for key, item in value.items())
    return isinstance(value, str) or strings(value)


def has_shape(value: object, shape: Shape) -> bool:
    """Whether a value looks as the field asks."""
    match shape:
        case Shape.STRING:
            return isinstance(value, str)
        case Shape.BOOLEAN:
            return isinstance(value, bool)
        case Shape.INTEGER:
            return isinstance(value, int) and not isinstance(value, bool)
        case Shape.STRINGS:
            return strings(value)
        case Shape.VALUE:
            return is_value(value)
        case Shape.OBJECT:
            return isinstance(value, dict)
        case Shape.OBJECTS:
            return isinstance(value, list) and all(isinstance(item, dict) for item in value)
        case Shape.ANY:
            return True


def sort_fields(document: Document, fields: Mapping[str, Field], where: str) -> list[str]:
    """The paths of the fields that are accepted without effect here.

    Raises InputError for an unknown field or a value of the wrong shape, UnsupportedError for a refused field; each
    names the path. `where` is what the paths begin with, such as `Task convert-model`. Faults in the input come first.
    """
    found = list(walk(document, fields, where))
    for path, effect in found:
        if effect is Effect.REFUSED:
            raise UnsupportedError(
                f"{path}: the local runner does not support this field; take it out or use a cluster"
            )
    return [path for path, effect in found if effect is Effect.ACCEPTED]


def walk(document: Document, fields: Mapping[str, Field], where: str) -> Iterator[tuple[str, Effect]]:
    """Yield the path and the effect of each field that is not honoured; raise InputError as `sort_fields` does."""
    for name, value in document.items():
        path = f"{where}.{name}"
        rule = fields.get(name)
        if rule is None:
            raise InputError(f"{path}: there is no such field; known here: {', '.join(sorted(fields))}")
        if value is None:
            continue
        if not has_shape(value, rule.shape):
            raise InputError(f"{path}: must be {rule.shape.value}")
        if rule.effect is not Effect.HONOURED:
            yield path, rule.effect
        elif rule.fields is not None:
            yield from walk_inside(value, rule, path)


def walk_inside(value: Any, rule: Field, path: str) -> Iterator[tuple[str, Effect]]:  # YAML as it came
    """The same for the map or the list of maps that a field holds; a list's items go by their names."""
    if rule.shape is Shape.OBJECT:
        yield from walk(value, rule.fields or {}, path)
        return
    for number, item in enumerate(value):
        name = item.get("name")
        yield from walk(item, rule.fields or {}, f"{path}[{name if isinstance(name, str) else number}]")

"""Params: what a command line gives, defaults, types, enums and the keys of objects."""

import json
from collections.abc import Mapping

from nearedge.errors import InputError
from nearedge.runner.fields import is_value
from nearedge.runner.model import Param
from nearedge.runner.parse import type_of
from nearedge.runner.substitution import Value


def from_text(param: Param, given: str) -> Value:
    """A value as `-p name=value` gives it: text; for an array JSON or `a,b,c`; for an object JSON or `key:value,...`.

    Raises InputError for JSON of another type, or an object's part without a colon.
    """
    if param.type == "string":
        return given
    opening = "[" if param.type == "array" else "{"
    if given.lstrip().startswith(opening):
        try:
            value = json.loads(given)
        except ValueError as error:
            raise InputError(f"param {param.name}: is not JSON: {error}") from error
        if not is_value(value):
            raise InputError(f"param {param.name}: every item must be a string")
        found: Value = value
        return found
    if param.type == "array":
        return given.split(",") if given else []
    pairs = [part.partition(":") for part in given.split(",")]
    if any(not colon for _, colon, _ in pairs):
        raise InputError(f"param {param.name}: is an object; write it as JSON or as key:value,key:value")
    return {key.strip(): value for key, _, value in pairs}


def with_defaults(param: Param, given: Value | None) -> Value | None:
    """What was given, else the default; an object's missing keys come from its default."""
    if given is None:
        return param.default
    if isinstance(given, dict) and isinstance(param.default, dict):
        return {**param.default, **given}
    return given


def check(param: Param, value: Value, where: str) -> Value:
    """The value, if it fits its declaration. Raises InputError for a type, enum value or missing key that does not."""
    if type_of(value) != param.type:
        raise InputError(
            f"{where}: param {param.name} is of type {param.type}, the value given is of type {type_of(value)}"
        )
    if param.enum and value not in param.enum:
        raise InputError(f"{where}: param {param.name}: {value!r} is none of {', '.join(param.enum)}")
    missing = [key for key in param.keys if isinstance(value, dict) and key not in value]
    if missing:
        raise InputError(f"{where}: param {param.name}: lacks the keys {', '.join(missing)}")
    return value


def resolve(declared: tuple[Param, ...], given: Mapping[str, Value], where: str) -> dict[str, Value]:
    """The value of every declared param. Raises InputError that names the first missing or unfitting one."""
    found: dict[str, Value] = {}
    for param in declared:
        value = with_defaults(param, given.get(param.name))
        if value is None:
            raise InputError(
                f"{where}: param {param.name} ({param.type}) has no default; give it with -p {param.name}=VALUE"
            )
        found[param.name] = check(param, value, where)
    return found


def from_command_line(declared: tuple[Param, ...], given: Mapping[str, Value], where: str) -> dict[str, Value]:
    """Values of `-p`, read by the declared types. Raises InputError for a param that is not declared."""
    known = {param.name: param for param in declared}
    for name in given:
        if name not in known:
            raise InputError(f"{where}: has no param {name}; known: {', '.join(sorted(known)) or 'none'}")
    return {name: from_text(known[name], value) if isinstance(value, str) else value for name, value in given.items()}

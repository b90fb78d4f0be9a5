"""Label and field selectors, as query parameters say them."""

import re
from collections.abc import Callable
from typing import Any

from tests.cluster_api import statuses
from tests.cluster_api.resources import Resource

Object = dict[str, Any]
Test = Callable[[Object], bool]

SET = re.compile(r"(?P<key>\S+)\s+(?P<not>not)?in\s*\((?P<values>[^)]*)\)")
EQUAL = re.compile(r"(?P<key>[^\s!=<>]+)\s*(?P<sign>!=|==?)\s*(?P<value>[^\s=!<>(),]*)")
MORE = re.compile(r"(?P<key>[^\s!=<>]+)\s*(?P<sign>[<>])\s*(?P<value>-?\d+)")
THERE = re.compile(r"(?P<not>!?)\s*(?P<key>[A-Za-z0-9][-A-Za-z0-9_./]*)")
COMMA = re.compile(r",(?![^(]*\))")


def labels(text: str) -> Test:
    """What a labelSelector says of an object."""
    tests = [label_test(part.strip()) for part in COMMA.split(text) if part.strip()] if text else []
    return lambda found: all(test(found["metadata"].get("labels") or {}) for test in tests)


def label_test(part: str) -> Callable[[dict[str, str]], bool]:
    """One requirement, of an object's labels."""
    if match := SET.fullmatch(part):
        key, values = match["key"], {value.strip() for value in match["values"].split(",")}
        if match["not"]:
            return lambda have: have.get(key) not in values
        return lambda have: key in have and have[key] in values
    if match := EQUAL.fullmatch(part):
        key, value, same = match["key"], match["value"], match["sign"] != "!="
        return lambda have: (have.get(key) == value) is same
    if match := MORE.fullmatch(part):
        return compared(match["key"], match["sign"], int(match["value"]))
    if match := THERE.fullmatch(part):
        key, there = match["key"], not match["not"]
        return lambda have: (key in have) is there
    raise statuses.bad_request(f"unable to parse requirement: {part}")


def compared(key: str, sign: str, bound: int) -> Callable[[dict[str, str]], bool]:
    """A label that is a number, above or below another."""

    def test(have: dict[str, str]) -> bool:
        try:
            value = int(have[key])
        except (KeyError, ValueError):
            return False
        return value > bound if sign == ">" else value < bound

    return test


def requirements(text: str) -> list[tuple[str, str, bool]]:
    """Field, value, and whether it is to be that, of a fieldSelector."""
    found = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        for sign in ("!=", "==", "="):
            key, there, value = part.partition(sign)
            if there:
                found.append((key, value, sign != "!="))
                break
        else:
            raise statuses.bad_request(f"invalid field selector: \"{text}\"; can't understand '{part}'")
    return found


def fields(resource: Resource, text: str, label_text: str = "") -> Test:
    """What a fieldSelector says of an object."""
    wanted = requirements(text)
    known = {"metadata.name", *(("metadata.namespace",) if resource.namespaced else ()), *resource.selectable}
    for key, _, _ in wanted:
        if key not in known:
            what = f"{resource.group_version}, Resource={resource.plural}"
            what = what if resource.group else f"/{what}"
            raise statuses.bad_request(
                f'Unable to find "{what}" that match label selector "{label_text}", field selector "{text}": '
                f"field label not supported: {key}"
            )
    return lambda found: all((value_of(found, key) == value) is same for key, value, same in wanted)


def value_of(found: Object, path: str) -> str:
    """A field as text, empty where it is not there."""
    value: Any = found
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)


def name_in(text: str) -> str:
    """The only name that a fieldSelector lets through, which is what RBAC then judges."""
    names = [value for key, value, same in requirements(text) if key == "metadata.name" and same] if text else []
    return names[0] if names else ""


def both(resource: Resource, label_text: str, field_text: str) -> Test | None:
    """What both say; None where nothing is asked."""
    if not label_text and not field_text:
        return None
    by_label, by_field = labels(label_text), fields(resource, field_text, label_text)
    return lambda found: by_label(found) and by_field(found)

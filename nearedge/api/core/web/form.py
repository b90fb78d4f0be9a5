"""The form that starts a run, made from what a Pipeline declares, and what comes back from it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from pydantic import ValidationError

from nearedge.api.core.models import Declared, NewRun, Param, Run, Value
from nearedge.api.core.web.wording import lines

PARAM, WORKSPACE = "param.", "workspace."
SWITCH = ["true", "false"]


@dataclass(frozen=True)
class Field:
    """One field: `kind` is line, lines, choice or entries; `key` what its value is sent as."""

    key: str
    label: str
    kind: str
    description: str
    value: str
    default: str | None
    choices: Sequence[str] = ()
    error: str = ""

    @property
    def required(self) -> bool:
        """Whether something has to be given."""
        return self.default is None


@dataclass(frozen=True)
class StartForm:
    """All fields, and what is wrong as a whole."""

    declared: Declared
    params: Sequence[Field]
    workspaces: Sequence[Field]
    about: Sequence[Field]
    reuse: bool = False
    error: str = ""

    @property
    def faulty(self) -> list[Field]:
        """The fields that something is wrong with."""
        return [one for one in (*self.params, *self.workspaces, *self.about) if one.error]

    @property
    def asked(self) -> list[Field]:
        """What is always shown: params that are required, wrong, or not as their default."""
        return [one for one in self.params if one.required or one.error or one.value != one.default]

    @property
    def others(self) -> list[Field]:
        """The other params."""
        shown = {one.key for one in self.asked}
        return [one for one in self.params if one.key not in shown]


def empty(declared: Declared) -> StartForm:
    """The form with every default filled in."""
    spaces = [
        Field(f"{WORKSPACE}{one.name}", one.name, "line", one.description, "", "" if one.optional else None)
        for one in declared.workspaces
    ]
    about = [
        Field("name", "Name of the run", "line", "Lower case letters, digits and dashes; made up where empty.", "", ""),
        Field("labels", "Labels", "entries", "To find the run again by: one KEY=VALUE a line.", "", ""),
    ]
    return StartForm(declared, [of_param(one) for one in declared.params], spaces, about)


def of_param(param: Param) -> Field:
    """A param's field; one that is 'true' or 'false' is a choice of the two."""
    default = None if param.default is None else lines(param.default)
    choices = param.enum or (SWITCH if param.type == "string" and default in SWITCH else [])
    kind = {"string": "choice" if choices else "line", "array": "lines", "object": "entries"}[param.type]
    return Field(f"{PARAM}{param.name}", param.name, kind, param.description, default or "", default, choices)


def again(declared: Declared, run: Run) -> StartForm:
    """The form filled in as an earlier run was started."""
    given = {f"{PARAM}{name}": lines(value) for name, value in run.params.items()}
    return filled(declared, given | {"labels": lines(run.labels)})


def filled(declared: Declared, values: Mapping[str, str]) -> StartForm:
    """The form with `values` by key."""
    form = empty(declared)

    def put(fields: Sequence[Field]) -> list[Field]:
        return [replace(one, value=values.get(one.key, one.value)) for one in fields]

    return replace(
        form, params=put(form.params), workspaces=put(form.workspaces), about=put(form.about), reuse="reuse" in values
    )


@dataclass
class Reading:
    """Collects what is wrong with which field while a form is read."""

    errors: dict[str, str] = field(default_factory=dict)

    def value(self, one: Field) -> Value:
        """The field's value in its type."""
        text = one.value.strip("\n") if one.kind in ("lines", "entries") else one.value
        if one.required and not text.strip():
            self.errors[one.key] = "has to be given"
        elif one.choices and text not in one.choices and text != one.default:
            self.errors[one.key] = f"has to be one of {', '.join(one.choices)}"
        if one.kind == "lines":
            return [line for line in text.split("\n") if line.strip()]
        return self.entries(one, text) if one.kind == "entries" else text

    def entries(self, one: Field, text: str) -> dict[str, str]:
        """KEY=VALUE lines."""
        found: dict[str, str] = {}
        for number, line in enumerate(text.split("\n"), 1):
            key, sign, value = line.partition("=")
            if not line.strip():
                continue
            if not sign or not key.strip() or key.strip() in found:
                self.errors[one.key] = f"line {number}: write KEY=VALUE, each KEY once"
            found[key.strip()] = value.strip()
        return found


def read(form: StartForm) -> tuple[NewRun | None, StartForm]:
    """What to start, and the form with what is wrong where it stands; None where something is.

    Params that are as their default are left out, so that a run shows what was chosen.
    """
    reading = Reading()
    params = {one.label: reading.value(one) for one in form.params if one.required or one.value != one.default}
    spaces = {one.label: str(reading.value(one)).strip() for one in form.workspaces if one.required or one.value}
    name, labels = form.about
    document = {
        "pipeline": form.declared.name, "params": params, "workspaces": spaces, "name": name.value.strip() or None,
        "labels": reading.value(labels), "reuse": form.reuse,
    }  # fmt: skip
    try:
        wanted = None if reading.errors else NewRun.model_validate(document)
    except ValidationError as error:
        wanted = None
        reading.errors |= {str(fault["loc"][0]): "lower case letters, digits, dashes; 63 at the most"
                           for fault in error.errors()}  # fmt: skip
    return wanted, with_errors(form, reading.errors)


def refused(form: StartForm, message: str) -> StartForm:
    """The form with an engine's refusal, beside each field that it names in quotes or behind `param`."""
    named: dict[str, str] = {}
    for one in (*form.params, *form.workspaces):
        if re.search(rf"(?:\b(?:param|workspace) |['\"]|^){re.escape(one.label)}(?![-.\w])", message):
            named[one.key] = message
    return replace(with_errors(form, named), error=message)


def with_errors(form: StartForm, errors: Mapping[str, str]) -> StartForm:
    """The form with `errors` by key."""

    def put(fields: Sequence[Field]) -> list[Field]:
        return [replace(one, error=errors.get(one.key, one.error)) for one in fields]

    return replace(form, params=put(form.params), workspaces=put(form.workspaces), about=put(form.about))

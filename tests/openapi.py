"""OpenAPI documents put to the test by schemathesis: each operation asked well and badly, its answers judged."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import schemathesis
from schemathesis.config import (
    ChecksConfig,
    GenerationConfig,
    PositiveDataAcceptanceConfig,
    ProjectConfig,
    ProjectsConfig,
    SchemathesisConfig,
)
from schemathesis.config._checks import NegativeDataRejectionConfig

Seen = Counter[tuple[str, int]]
"""Answers by operation, such as `GET /healthz`, and status."""


def parameters(document: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each parameter of the document and the path it belongs to, to be given names that the server knows."""
    for path, item in document["paths"].items():
        operations = [operation for operation in item.values() if isinstance(operation, dict)]
        for holder in (item, *operations):
            yield from ((path, parameter) for parameter in holder.get("parameters", []))


def judged(
    document: Mapping[str, Any], unfit: Sequence[str], examples: int = 8, *, narrowed: bool = False
) -> schemathesis.schemas.BaseSchema:
    """The document as schemathesis takes it, the same requests each time.

    `unfit` are the statuses of requests that are valid in form: what there is on a server no schema says. `narrowed`
    says that the document names less than the server knows, so that what it calls invalid may be answered so too.
    """
    refused = {"negative_data_rejection": NegativeDataRejectionConfig(expected_statuses=list(unfit))}
    project = ProjectConfig(
        generation=GenerationConfig(max_examples=examples, deterministic=True),
        checks=ChecksConfig(
            positive_data_acceptance=PositiveDataAcceptanceConfig(expected_statuses=list(unfit)),
            **(refused if narrowed else {}),
        ),
        request_timeout=60,
    )
    return schemathesis.openapi.from_dict(
        dict(document), config=SchemathesisConfig(projects=ProjectsConfig(default=project))
    )


def tests(api: schemathesis.schemas.BaseSchema, subject: str, seen: Seen) -> dict[str, Callable[..., None]]:
    """A test of each operation by its name; it takes the fixture `asked`, which has a `url` and a `session`.

    schemathesis gives the tests of one function one name, of which xdist runs one: so a function for each.
    """
    found = {}
    for operation in [one.ok() for one in api.get_all_operations()]:
        words = re.sub(r"\W+", "_", f"{operation.method} {operation.path}").strip("_").lower()
        name = f"test_{subject}_does_what_the_document_says_of_{words}"
        found[name] = asking(api.include(method=operation.method, path=operation.path), seen)
    return found


def asking(operation: schemathesis.schemas.BaseSchema, seen: Seen) -> Callable[..., None]:
    """The test of one operation."""

    @operation.parametrize()
    def test(case: Any, asked: Any) -> None:
        answer = case.call_and_validate(base_url=asked.url, session=asked.session)
        assert answer.status_code < 500
        seen[case.operation.label, answer.status_code] += 1

    return test

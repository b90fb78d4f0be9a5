"""What OpenVINO and the frameworks say when they refuse a model, as one line that names the operator."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nearedge.errors import InputError, NearedgeError, UnsupportedError

NO_RULE = re.compile(r"No conversion rule found for operations: (.+)")
FAILED = re.compile(r"Conversion is failed for: (.+)")
MISSING_OPERATOR = re.compile(
    r"(?:Unknown builtin op: |No Op registered for |is not a registered (?:function/)?op[: ]*)(\S+)"
)
DAMAGED = (
    "can't be parsed", "Protobuf parsing failed", "PytorchStreamReader failed", "InvalidProtobuf", "Truncated",
    "externally stored data", "Wrong index file", "cannot be mapped", "exceed data size", "is corrupted",
    "Error parsing", "Start-end tags mismatch", "Incorrect weights in bin file",
)  # fmt: skip
NOISE = re.compile(r"^(Check '|Exception from |FrontEnd API failed|Model wasn't fully|Summary:|While validating|--? )")
LONGEST = 240
OURS_TO_PASS_ON = (NearedgeError, MemoryError, OSError)


@contextmanager
def explained(path: Path, action: str) -> Iterator[None]:
    """Turn what a framework raises inside the block into InputError or UnsupportedError; `action` says what was tried.

    Frameworks raise bare RuntimeError, ValueError and types of their own for a model they do not like, so every
    Exception is taken, but what is ours or the machine's fault goes on as it is.
    """
    try:
        yield
    except OURS_TO_PASS_ON:
        raise
    except Exception as error:
        raise refused(path, action, str(error)) from error


def refused(path: Path, action: str, text: str) -> NearedgeError:
    """The error for a framework's message `text`."""
    operators = NO_RULE.findall(text) + FAILED.findall(text)
    if operators:
        reason = "" if NO_RULE.search(text) else f" ({essence(text)})"
        return UnsupportedError(
            f"{path}: OpenVINO cannot convert the operator {', '.join(dict.fromkeys(operators))}{reason}; "
            "export the model without it, or with another opset"
        )
    missing = MISSING_OPERATOR.search(text)
    if missing:
        return UnsupportedError(f"{path}: the operator {missing[1].rstrip('.,')} is unknown here; export without it")
    if any(mark in text for mark in DAMAGED):
        return InputError(f"{path}: damaged or truncated ({essence(text)}); fetch or save it again")
    return UnsupportedError(f"{path}: {action}: {essence(text)}")


def essence(text: str) -> str:
    """The line of a message that says most: the last that is neither a place in a source file nor a heading."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    telling = [line for line in lines if not NOISE.match(line)] or lines or ["no reason given"]
    return telling[-1][:LONGEST]

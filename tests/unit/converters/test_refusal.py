"""What frameworks say, as one line."""

import errno

import pytest

from converters import refusal
from nearedge.errors import GateError, InputError, UnsupportedError

OF_OPENVINO = """Check 'false' failed at src/frontends/common_translators/src/unconverted_ops_report.cpp:151:
FrontEnd API failed with OpConversionFailure:
Model wasn't fully converted. Failed operations detailed log:
-- If-13 with a message:
Provided 'condition' input is not scalar
Summary:
-- No conversion rule found for operations: Foo-1, Bar-2
-- Conversion is failed for: If-13
"""


@pytest.mark.parametrize(
    ("text", "kind", "expected"),
    [
        (OF_OPENVINO, UnsupportedError, "the operator Foo-1, Bar-2, If-13; export the model without it"),
        ("x\n-- Conversion is failed for: Conv-16", UnsupportedError, "the operator Conv-16 (x)"),
        ("Unknown builtin op: acme::run.\nCould not", UnsupportedError, "the operator acme::run is unknown here"),
        ("Fatal error: acme:Run(-1) is not a registered function/op", UnsupportedError, "cannot load it: Fatal error"),
        ("Protobuf parsing failed.", InputError, "damaged or truncated (Protobuf parsing failed.)"),
        ("", UnsupportedError, "cannot load it: no reason given"),
        ("Check 'x' failed at a.cpp:1:\nthe shapes differ\n", UnsupportedError, "cannot load it: the shapes differ"),
    ],
)
def test_a_framework_s_message_in_one_line(tmp_path, text, kind, expected):
    with pytest.raises(kind) as caught, refusal.explained(tmp_path / "m", "X cannot load it"):
        raise RuntimeError(text)
    assert expected in str(caught.value)
    assert str(tmp_path / "m") in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("error", [GateError("held"), MemoryError(), OSError(errno.ENOSPC, "full")])
def test_what_is_ours_or_the_machine_s_goes_on(tmp_path, error):
    with pytest.raises(type(error)) as caught, refusal.explained(tmp_path, "x"):
        raise error
    assert caught.value is error


def test_a_long_line_is_cut():
    assert len(refusal.essence("x" * 999)) == refusal.LONGEST

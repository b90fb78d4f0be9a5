"""Params: from a command line, defaults, types, enums, keys."""

import pytest

from nearedge.errors import InputError
from nearedge.runner import parameters
from nearedge.runner.model import Param

STRING = Param("s", "string", None, (), ())
ARRAY = Param("a", "array", None, (), ())
OBJECT = Param("o", "object", {"url": "u"}, (), ("url", "rev"))


@pytest.mark.parametrize(
    ("param", "text", "expected"),
    [
        (STRING, "a,b", "a,b"),
        (STRING, '["x"]', '["x"]'),
        (STRING, "", ""),
        (ARRAY, "a,b c", ["a", "b c"]),
        (ARRAY, "one", ["one"]),
        (ARRAY, "", []),
        (ARRAY, '["a,b", "c"]', ["a,b", "c"]),
        (OBJECT, "url:http://h:1/x,rev:main", {"url": "http://h:1/x", "rev": "main"}),
        (OBJECT, '{"rev": "1"}', {"rev": "1"}),
    ],
)
def test_text_is_read_by_type(param, text, expected):
    assert parameters.from_text(param, text) == expected


@pytest.mark.parametrize(
    ("param", "text", "message"),
    [
        (ARRAY, "[1, 2]", "every item must be a string"),
        (ARRAY, "[x", "is not JSON"),
        (OBJECT, "url", "key:value"),
        (OBJECT, '{"a": 1}', "every item must be a string"),
    ],
)
def test_bad_text(param, text, message):
    with pytest.raises(InputError, match=message):
        parameters.from_text(param, text)


def test_defaults_fill_in_and_objects_key_by_key():
    declared = (Param("x", "string", "d", (), ()), OBJECT)
    assert parameters.resolve(declared, {"o": {"rev": "r"}}, "here") == {"x": "d", "o": {"url": "u", "rev": "r"}}


@pytest.mark.parametrize(
    ("declared", "given", "message"),
    [
        (STRING, {}, r"here: param s \(string\) has no default; give it with -p s=VALUE"),
        (STRING, {"s": ["x"]}, "param s is of type string, the value given is of type array"),
        (OBJECT, {"o": {"url": "x"}}, "lacks the keys rev"),
        (Param("e", "string", None, ("a", "b"), ()), {"e": "c"}, "'c' is none of a, b"),
    ],
)
def test_what_does_not_fit(declared, given, message):
    with pytest.raises(InputError, match=message):
        parameters.resolve((declared,), given, "here")


def test_an_unknown_param_of_the_command_line_is_refused():
    with pytest.raises(InputError, match="Pipeline p: has no param typo; known: s"):
        parameters.from_command_line((STRING,), {"typo": "x"}, "Pipeline p")


def test_values_of_programs_are_taken_as_they_are():
    assert parameters.from_command_line((ARRAY,), {"a": ["x,y"]}, "") == {"a": ["x,y"]}

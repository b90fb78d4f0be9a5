"""Long lists of numbers in a JSON body, parsed straight into arrays by simdjson: a Python object for each costs more.

`document` gives what `protocol_json.document` would, but that `data` of an input may be an array of float64, int64 or
uint64. It only ever takes what is right: a body with anything unusual in it is left to the ordinary parser, which then
says what is wrong. So both have one meaning, and one set of messages.
"""

from typing import Any

import numpy as np
import simdjson

from serving_image.tensors import DTYPES, Array, elements

LONG_BYTES = 1024
"""Bodies below this are parsed as fast by orjson."""

BRACKET = ord("[")

MAX_ROWS = 8192
"""Innermost lists that are looked at one by one; data with more of them are left to the ordinary parser."""

MAX_KEYS = 64
"""Keys of an object that are looked at here: simdjson finds each by going through all before it."""

MAX_VALUES = 4096
"""Values that are made one by one here: each costs ten times what it costs orjson. Data that become arrays are not."""

BUFFERS = {"f": ("d", np.dtype("<f8")), "i": ("i", np.dtype("<i8")), "u": ("u", np.dtype("<u8"))}
"""simdjson's name and ours of what numbers are read as, by the kind of the datatype's dtype."""


class UnusualError(Exception):
    """The ordinary parser shall look at it."""


def document(body: bytes | bytearray | memoryview) -> dict[str, Any] | None:
    """The object in `body`; None where the ordinary parser shall look at it."""
    try:
        root = simdjson.Parser().parse(body)
        if not isinstance(root, simdjson.Object):
            return None
        lists = Lists()
        found = {
            key: lists.inputs(value) if key == "inputs" else lists.plain(value) for key, value in members(root).items()
        }
    except (UnusualError, ValueError, TypeError, RuntimeError, RecursionError):
        return None
    # simdjson flattens lists within lists of numbers. A bracket that no list here accounts for is such a list, or text.
    brackets = np.count_nonzero(np.frombuffer(body, np.uint8) == BRACKET)
    return found if brackets == lists.count else None


class Lists:
    """Turns simdjson's values into Python's, and counts the lists among them."""

    def __init__(self) -> None:
        """None yet."""
        self.count = 0
        self.values = 0

    def plain(self, value: Any) -> Any:
        """A value as Python has it, to any depth. Raises UnusualError where there are too many."""
        self.values += 1
        if self.values > MAX_VALUES:
            raise UnusualError
        if isinstance(value, simdjson.Array):
            self.count += 1
            return [self.plain(element) for element in value]
        if isinstance(value, simdjson.Object):
            return {key: self.plain(element) for key, element in members(value).items()}
        return value

    def inputs(self, value: Any) -> Any:
        """The list of inputs, with arrays where their data are numbers."""
        if not isinstance(value, simdjson.Array):
            return self.plain(value)
        self.count += 1
        return [self.input(entry) if isinstance(entry, simdjson.Object) else self.plain(entry) for entry in value]

    def input(self, entry: Any) -> dict[str, Any]:
        """One input. Raises UnusualError where there are too many."""
        self.values += 1
        if self.values > MAX_VALUES:
            raise UnusualError
        values = members(entry)
        data = values.pop("data", None)
        found = {key: self.plain(value) for key, value in values.items()}
        if isinstance(data, simdjson.Array):
            found["data"] = self.numbers(data, found.get("datatype"), found.get("shape"))
        elif data is not None:
            raise UnusualError
        return found

    def numbers(self, data: Any, datatype: Any, shape: Any) -> Array:
        """The data of an input of that datatype and shape, flat. Raises UnusualError where they do not go together."""
        dtype = DTYPES.get(datatype) if isinstance(datatype, str) else None
        kind = "f" if datatype == "BF16" else dtype.kind if dtype is not None else ""
        if dtype is None or kind not in BUFFERS or not isinstance(shape, list) or set(map(type, shape)) - {int}:
            raise UnusualError
        sizes = self.sizes(data)
        name, wide = BUFFERS[kind]
        flat = np.frombuffer(data.as_buffer(of_type=name), wide)
        if flat.size != elements(tuple(shape)) or (len(sizes) > 1 and sizes != shape):
            raise UnusualError
        if kind != "f" and flat.size and not np.iinfo(dtype).min <= flat.min() <= flat.max() <= np.iinfo(dtype).max:
            raise UnusualError
        return flat

    def sizes(self, data: Any) -> list[int]:
        """How many lists lie in one another, and how long those of each depth are. Raises UnusualError if unequal."""
        level, sizes = [data], [len(data)]
        self.count += 1
        while sizes[-1] and isinstance(level[0][0], simdjson.Array):
            if len(level) * sizes[-1] > MAX_ROWS:
                raise UnusualError
            level = [row for rows in level for row in rows]
            lengths = {len(row) if isinstance(row, simdjson.Array) else -1 for row in level}
            if len(lengths) > 1 or -1 in lengths:
                raise UnusualError
            self.count += len(level)
            sizes += lengths
        return sizes


def members(value: Any) -> dict[str, Any]:
    """Keys and values of an object, lists and objects among them still simdjson's.

    Raises UnusualError for too many keys, for one twice (of two, simdjson gives the first and orjson the last), and for
    one with a zero character, before which simdjson ends a key that it looks for.
    """
    keys = list(value.keys())
    if len(keys) > MAX_KEYS or len(set(keys)) != len(keys) or "\0" in "".join(keys):
        raise UnusualError
    return {key: value[key] for key in keys}

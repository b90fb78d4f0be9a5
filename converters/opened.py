"""What a framework makes of a source model: its signature, and a way to run it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from converters.signature import Signature

Array = NDArray[Any]
Run = Callable[[Sequence[Array]], list[Array]]


@dataclass(frozen=True)
class Opened:
    """A source model that can be run; `run` takes and gives arrays in the order of `signature`."""

    framework: str
    signature: Signature
    run: Run

"""Samples derived from a model's signature, where no data were given. They say nothing about accuracy.

For parity; for calibration only where that was asked for: ranges of activations under noise are not those of real data.
"""

from collections.abc import Sequence

import numpy as np

from converters.arrays import Array, dtype_of
from nearedge.release.inputs import Input, Preprocessing

COUNT = 16
SEED = 20260101
CALIBRATION_COUNT, CALIBRATION_SEED = 64, 20260102
"""Other samples than those that parity is judged on."""
SIZE_OF_LETTER = {"N": 1, "H": 64, "W": 64}
"""What a dimension that may vary becomes, by its letter in the layout: convolutions need a picture to shrink."""
OTHER_SIZE = 8
SMALL_INTEGERS = 2
"""Integers are often indices or flags: 0 and 1 are inside any table."""


def feeds(inputs: Sequence[Input], count: int = COUNT, seed: int = SEED) -> list[dict[str, Array]]:
    """`count` requests, the same ones every time."""
    generator = np.random.default_rng(seed)
    return [{one.name: values(one, generator) for one in inputs} for _ in range(count)]


def shape_of(one: Input) -> list[int]:
    """The shape with a small size, within bounds, for each dimension that may vary; a first one is the batch."""
    letters = one.layout or "?" * len(one.shape)
    wanted = [SIZE_OF_LETTER.get(letter, OTHER_SIZE) for letter in letters]
    if one.shape and one.layout is None:
        wanted[0] = 1
    return [
        max(least, size if most is None else min(size, most))
        for size, (least, most) in zip(wanted, one.bounds, strict=True)
    ]


def values(one: Input, generator: np.random.Generator) -> Array:
    """Random values of the input's dtype: what the model is fed after preprocessing is near the standard normal."""
    shape, dtype = shape_of(one), dtype_of(one)
    if dtype.kind == "b":
        return generator.integers(0, 2, shape).astype(dtype)
    if dtype.kind in "iu":
        return generator.integers(0, 256 if one.dtype == "UINT8" else SMALL_INTEGERS, shape).astype(dtype)
    given = one.preprocessing or Preprocessing()
    axis = (one.layout or "").find("C")
    mean, scale = given.mean or [0.0], given.scale or [1.0]
    if given.channel_order is not None:  # mean and scale are in the model's order
        mean, scale = mean[::-1], scale[::-1]
    normal = generator.standard_normal(shape)
    return (normal * along(scale, axis, len(shape)) + along(mean, axis, len(shape))).astype(dtype)


def along(numbers: list[float], axis: int, dimensions: int) -> Array:
    """One number for all, or one for each channel, shaped to be broadcast along `axis`."""
    if len(numbers) == 1:
        return np.asarray(numbers[0])
    return np.asarray(numbers).reshape([-1 if at == axis else 1 for at in range(dimensions)])

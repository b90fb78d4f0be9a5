"""The inputs of model.yaml: what clients send, and what is done to it before the model is fed."""

from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, WithJsonSchema, model_validator

from nearedge.release.strict import Strict

Datatype = Literal[
    "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "BF16", "FP32", "FP64"
]
"""Open Inference Protocol's names of element types."""

Algorithm = Literal["linear", "cubic", "nearest", "bilinear-pillow", "bicubic-pillow"]
ChannelOrder = Literal["BGR-to-RGB", "RGB-to-BGR"]
COLOURS = 3


def possible(size: int | tuple[int, int]) -> int | tuple[int, int]:
    """Refuse a size below -1, and bounds that hold no size or a single one."""
    if isinstance(size, tuple) and not 1 <= size[0] < size[1]:
        raise ValueError(f"a dimension within bounds is [least, most] with 1 <= least < most, not {list(size)}")
    if isinstance(size, int) and size < -1:
        raise ValueError(f"a dimension is a size, -1 for any, or [least, most], not {size}")
    return size


NUMBER = {"type": "integer", "minimum": 1}
SCHEMA = {
    "anyOf": [
        {"type": "integer", "minimum": -1},
        {"type": "array", "prefixItems": [NUMBER, NUMBER], "minItems": 2, "maxItems": 2},
    ]
}
Size = Annotated[int | tuple[int, int], AfterValidator(possible), WithJsonSchema(SCHEMA)]
"""A fixed size, -1 for any, or [least, most]."""


class Resize(Strict):
    """Pictures of any size become the model's; the ratio of the sides is not kept, nothing is cut off or added."""

    height: int = Field(gt=0)
    width: int = Field(gt=0)
    algorithm: Algorithm = Field(description="what the model was trained with; pillow: with antialiasing")


class Preprocessing(Strict):
    """Folded into the IR, so that clients send raw values.

    The order is: layout, resize, channel_order, then (value - mean) / scale.
    """

    layout: str | None = Field(
        default=None, pattern=r"^[A-Z]+$", description="the model's own layout, where clients send another one"
    )
    resize: Resize | None = None
    channel_order: ChannelOrder | None = Field(default=None, description="what clients send, and what the model takes")
    mean: list[float] | None = Field(default=None, description="one for each channel of the model, or one for all")
    scale: list[float] | None = Field(
        default=None, description="one for each channel of the model, or one for all; none may be 0"
    )

    @model_validator(mode="after")
    def no_zero_scale(self) -> Self:
        """Refuse a division by zero before it reaches a model."""
        if self.scale and 0 in self.scale:
            raise ValueError("scale holds a 0; a value cannot be divided by it")
        return self

    def by_channel(self) -> dict[str, int]:
        """What goes by channel, with the number of channels that it is made for."""
        counts = {name: len(values) for name in ("mean", "scale") if (values := getattr(self, name)) is not None}
        counts = {name: count for name, count in counts.items() if count != 1}
        return counts | ({"channel_order": COLOURS} if self.channel_order else {})


class Input(Strict):
    """One input tensor as clients send it. In `shape`, -1 may vary, and [least, most] may vary within these bounds."""

    name: str
    shape: list[Size]
    dtype: Datatype
    layout: str | None = Field(default=None, pattern=r"^[A-Z]+$", description="one letter a dimension, such as NCHW")
    preprocessing: Preprocessing | None = None

    @model_validator(mode="after")
    def layout_fits(self) -> Self:
        """A layout names each dimension of the shape once, and has the letters that preprocessing goes by."""
        if self.layout is not None and len(self.layout) != len(self.shape):
            raise ValueError(f"layout {self.layout} has {len(self.layout)} letters, shape has {len(self.shape)}")
        if self.layout is not None and len(set(self.layout)) != len(self.layout):
            raise ValueError(f"layout {self.layout} has a letter twice; each dimension needs its own")
        given = self.preprocessing or Preprocessing()
        if given.layout is not None and sorted(given.layout) != sorted(self.layout or ""):
            raise ValueError(
                f"preprocessing.layout {given.layout} needs a layout of the same letters, not {self.layout}"
            )
        if given.resize is not None and not {"H", "W"} <= set(self.layout or "") <= set("NCHW"):
            raise ValueError("preprocessing.resize needs a layout of pictures: H and W, and N and C where it has them")
        for what, count in given.by_channel().items():
            self.check_channels(what, count)
        return self

    def check_channels(self, what: str, count: int) -> None:
        """Raise ValueError where there are not `count` channels, which is what a wrong layout looks like."""
        if "C" not in (self.layout or ""):
            raise ValueError(f"preprocessing.{what} needs a layout with a C")
        size = self.shape[(self.layout or "").index("C")]
        least, most = bounds_of(size)
        if count < least or (most is not None and count > most):
            raise ValueError(
                f"preprocessing.{what} is for {count} channels, {self.layout} of shape {shown(self.shape)} has "
                f"{shown([size])[1:-1]}; is the layout right?"
            )

    @property
    def sizes(self) -> list[int]:
        """The shape with -1 for each dimension that may vary."""
        return [-1 if isinstance(size, tuple) else size for size in self.shape]

    @property
    def bounds(self) -> list[tuple[int, int | None]]:
        """Least and most of each dimension, most None where there is no bound."""
        return [bounds_of(size) for size in self.shape]


def shown(shape: Sequence[int | tuple[int, int]]) -> str:
    """A shape as model.yaml has it, for messages."""
    return str([list(size) if isinstance(size, tuple) else size for size in shape])


def bounds_of(size: int | tuple[int, int]) -> tuple[int, int | None]:
    """Least and most of a dimension, most None where there is no bound."""
    if isinstance(size, tuple):
        return size
    return (0, None) if size < 0 else (size, size)

"""What the model itself is fed, where model.yaml describes what clients send."""

from dataclasses import dataclass
from typing import Any

from converters.datatypes import fed_to_model
from nearedge.release.inputs import Datatype, Input, Preprocessing, bounds_of

Size = int | tuple[int, int]


@dataclass(frozen=True)
class Fed:
    """One input after preprocessing. In `shape`, -1 may vary, (least, most) may vary within these bounds."""

    shape: tuple[Size, ...]
    datatype: Datatype
    layout: str | None

    @property
    def sizes(self) -> list[int]:
        """The shape with -1 for each dimension that may vary."""
        return [-1 if isinstance(size, tuple) else size for size in self.shape]


def fed(one: Input) -> Fed:
    """The shape, element type and layout in which the model gets what clients send as `one`."""
    datatype = fed_to_model(one.dtype, one.preprocessing is not None)
    given = one.preprocessing or Preprocessing()
    layout = given.layout or one.layout
    if one.layout is None or layout is None:
        return Fed(tuple(one.shape), datatype, None)
    sizes: dict[str, Size] = dict(zip(one.layout, one.shape, strict=True))
    if given.resize is not None:
        sizes |= {"H": given.resize.height, "W": given.resize.width}
    return Fed(tuple(sizes[letter] for letter in layout), datatype, layout)


def partial(shape: tuple[Size, ...] | list[Size]) -> Any:  # openvino.PartialShape
    """The shape as OpenVINO has it, bounds kept."""
    import openvino as ov

    dimensions = []
    for size in shape:
        least, most = bounds_of(size)
        dimensions.append(ov.Dimension(least, -1 if most is None else most))
    return ov.PartialShape(dimensions)

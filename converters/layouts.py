"""Which letter each dimension of a picture has, guessed from the shape and the framework's habit."""

from collections.abc import Sequence

from nearedge.release.sections import Framework

CHANNELS = (1, 3, 4)
PICTURE = 4


def guess(shape: Sequence[int], framework: Framework) -> str | None:
    """NCHW or NHWC for a tensor of four dimensions of which one looks like channels; None where nothing tells."""
    if len(shape) != PICTURE:
        return None
    first, last = shape[1] in CHANNELS, shape[-1] in CHANNELS
    if first and last:
        return "NHWC" if framework == "tensorflow" else "NCHW"
    if first:
        return "NCHW"
    return "NHWC" if last else None

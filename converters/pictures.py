"""Pictures as a model's data: PNG and JPEG files, decoded when a row is asked for, as the array a client would send.

Values are 0 to 255 as in the file, channels red, green, blue, as Pillow gives them. What would have to be guessed away
(transparency, 16 bits of grey, a photograph stored turned) is refused.
"""

import importlib.util
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from nearedge.errors import InputError, MachineError, NearedgeError
from nearedge.release.inputs import Input

if TYPE_CHECKING:
    from PIL import Image

Pixels = NDArray[np.uint8]
Resize = Literal["stretch", "crop"]

MOST_PIXELS = 50_000_000
"""Of one picture: 150 MB decoded in colour. A small file can claim any size."""
MOST_BYTES = 64 << 20
"""Of one file."""
MODES = {1: ("1", "L"), 3: ("1", "L", "P", "RGB"), 4: ("RGBA",)}
"""Pillow's modes that become so many channels without a value lost or made up."""
TARGET = {1: "L", 3: "RGB", 4: "RGBA"}
ORIENTATION = 0x0112
"""The EXIF tag; 1 is upright (CIPA DC-008, 4.6.4)."""


@dataclass(frozen=True)
class Form:
    """What an input takes of a picture: sizes as (least, most or None for any), channels, and its layout without N."""

    height: tuple[int, int | None]
    width: tuple[int, int | None]
    channels: int
    letters: str

    @classmethod
    def of(cls, one: Input, dtype: np.dtype[Any]) -> "Form":
        """The form of an input of numpy's `dtype`. Raises InputError where it takes no pictures."""
        letters = (one.layout or "").removeprefix("N")
        where = f"inputs.{one.name}"
        if sorted(letters) not in (["C", "H", "W"], ["H", "W"]):
            raise InputError(f"{where}: pictures need a layout such as NCHW or NHWC, it has {one.layout or 'none'}")
        if dtype.kind == "b" or not np.can_cast(np.uint8, dtype):
            raise InputError(f"{where}: pictures hold values from 0 to 255, which {one.dtype} does not")
        sizes = dict(zip(one.layout or "", one.bounds, strict=True))
        channels, most = sizes.get("C", (1, 1))
        if channels != most or channels not in MODES:
            raise InputError(f"{where}: pictures have 1, 3 or 4 channels; the shape does not say which of them")
        return cls(sizes["H"], sizes["W"], channels, letters)

    def size(self) -> tuple[int, int]:
        """Height and width to resize to. Raises InputError where they may vary."""
        if self.height[0] != self.height[1] or self.width[0] != self.width[1]:
            raise InputError("data.resize: the input's H and W may vary, so there is no size to resize to; remove it")
        return self.height[0], self.width[0]

    def takes(self, height: int, width: int) -> bool:
        """Whether a picture of that size fits as it is."""
        sizes = ((height, self.height), (width, self.width))
        return all(least <= have and (most is None or have <= most) for have, (least, most) in sizes)


class Pictures:
    """Rows of pictures with the part of ndarray's interface that samples use; nothing is kept decoded."""

    def __init__(self, files: Sequence[Path], form: Form, resize: Resize | None) -> None:
        """Look at the head of each file. Raises InputError for one that does not fit, MachineError without Pillow."""
        if importlib.util.find_spec("PIL") is None:
            raise MachineError("Pillow: not installed, and pictures need it; install nearedge[onnx]")
        self.files, self.form, self.resize = files, form, resize
        self.size = None if resize is None else form.size()
        self.ndim = 1 + len(form.letters)
        for path in files:
            with opened(path, form.channels) as picture:
                if resize is None and not form.takes(picture.height, picture.width):
                    raise InputError(
                        f"{path}: is {picture.height} x {picture.width} pixels (height x width), the input takes "
                        f"{shown(form.height)} x {shown(form.width)}; resize it as the clients will, or see data.resize"
                    )

    def __getitem__(self, index: int | slice) -> Pixels:
        """One row, or one or more with axis 0 the row. Raises InputError for a damaged file, or sizes that differ."""
        if not isinstance(index, slice):
            return self.decode(self.files[index])
        rows = [self.decode(path) for path in self.files[index]]
        if len({row.shape for row in rows}) > 1:
            raise InputError(f"{self.files[index][0]}: the next of the same batch has another size; make them the same")
        return np.stack(rows)

    def decode(self, path: Path) -> Pixels:
        """One picture in the input's layout, without the batch."""
        with opened(path, self.form.channels) as picture:
            converted = picture.convert(TARGET[self.form.channels])
            pixels = np.asarray(self.resized(converted), np.uint8)
        if pixels.ndim == 2:
            pixels = pixels[:, :, np.newaxis]
        if "C" not in self.form.letters:
            pixels = pixels[:, :, 0]
        return pixels.transpose(["HWC".index(letter) for letter in self.form.letters])

    def resized(self, picture: "Image.Image") -> "Image.Image":
        """The picture at the input's size, bilinear and antialiased: stretched, or the middle of it of that shape."""
        from PIL import Image, ImageOps

        if self.size is None:
            return picture
        size = (self.size[1], self.size[0])
        if self.resize == "crop":
            return ImageOps.fit(picture, size, Image.Resampling.BILINEAR)
        return picture.resize(size, Image.Resampling.BILINEAR)


def shown(bounds: tuple[int, int | None]) -> str:
    """A size, or the sizes from the least to the most."""
    least, most = bounds
    return str(least) if least == most else f"{least} to {'any' if most is None else most}"


@contextmanager
def opened(path: Path, channels: int) -> Iterator["Image.Image"]:
    """A picture file, its head read and found fit for so many channels; whatever then goes wrong is an InputError."""
    from PIL import Image

    try:
        if path.stat().st_size > MOST_BYTES:
            raise InputError(f"{path}: is larger than {MOST_BYTES >> 20} MB; make it smaller")
        with warnings.catch_warnings():
            # Pillow warns of bombs and of damage that it reads past.
            warnings.simplefilter("error", UserWarning)
            warnings.simplefilter("error", RuntimeWarning)
            with Image.open(path, formats=("PNG", "JPEG")) as picture:
                fit(picture, path, channels)
                yield picture
    except (NearedgeError, MemoryError):
        raise
    except Exception as error:  # Pillow's readers raise nearly anything on a damaged file
        reason = " ".join(str(error).replace(str(path), path.name).split())[:120]
        raise InputError(f"{path}: damaged, or neither PNG nor JPEG ({reason}); save it anew") from None


def fit(picture: "Image.Image", path: Path, channels: int) -> None:
    """Raise InputError for a picture that is too large, turned, or does not become so many channels as it is."""
    if picture.width * picture.height > MOST_PIXELS:
        raise InputError(
            f"{path}: claims {picture.width} x {picture.height} pixels, more than {MOST_PIXELS}; shrink it"
        )
    if picture.mode not in MODES[channels] or (channels < 4 and "transparency" in picture.info):
        kind = "transparent" if "transparency" in picture.info else picture.mode
        raise InputError(
            f"{path}: is of Pillow's mode {kind}, the input takes {channels} channels ({', '.join(MODES[channels])}); "
            "convert it as the clients will"
        )
    turned = picture.getexif().get(ORIENTATION, 1)
    if turned != 1:
        raise InputError(f"{path}: is stored turned (EXIF orientation {turned}); save it upright")

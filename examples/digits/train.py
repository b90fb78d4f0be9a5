"""Train the digits CNN and write `model.pt2` and `data.npz` beside a copy of model.yaml.

The data come with scikit-learn: 1797 pictures of 8x8, values 0 to 16. The split is the same for every seed.
"""

import argparse
import shutil
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn

TRAINING_ROWS = 1257
EPOCHS = 12
BATCH = 64


class Digits(nn.Module):
    """Pictures [N,1,8,8] float32 from 0 to 1 in, logits [N,10] out."""

    def __init__(self) -> None:
        """Two convolutions, two dense layers; 60 thousand weights."""
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)
        )
        self.classifier = nn.Sequential(nn.Flatten(), nn.Linear(64 * 16, 64), nn.ReLU(), nn.Linear(64, 10))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Logits of a batch of pictures."""
        return self.classifier(self.features(image))


def data() -> tuple[np.ndarray, np.ndarray]:
    """All pictures [1797,1,8,8] float32 and labels [1797] int64, shuffled the same way every time."""
    pictures, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(labels))
    return pictures[order].reshape(-1, 1, 8, 8).astype(np.float32), labels[order].astype(np.int64)


def train(pictures: np.ndarray, labels: np.ndarray, seed: int) -> Digits:
    """A trained model, in evaluation mode."""
    torch.manual_seed(seed)
    model = Digits()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    images, targets = torch.from_numpy(pictures) / 16, torch.from_numpy(labels)
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(targets)).split(BATCH):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images[rows]), targets[rows]).backward()
            optimizer.step()
    return model.eval()


def main() -> None:
    """Train and export; the folder then is all that `nearedge run model-to-edge` needs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--seed", type=int, default=1, help="another seed trains another model")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    pictures, labels = data()
    model = train(pictures[:TRAINING_ROWS], labels[:TRAINING_ROWS], options.seed)
    batch = torch.export.Dim("batch", min=1, max=1024)
    example = (torch.from_numpy(pictures[:2]) / 16,)
    torch.export.save(torch.export.export(model, example, dynamic_shapes=({0: batch},)), options.out / "model.pt2")
    np.savez_compressed(options.out / "data.npz", image=pictures, label=labels)
    shutil.copy(Path(__file__).with_name("model.yaml"), options.out)


if __name__ == "__main__":
    main()

"""The trained model's answers on the evaluation rows, kept from stage f32 of verify-model for stage deployed.

To load a framework and the model takes seconds, and both stages ask the same. The answers are used again only where the
section names this very file, and everything in the workspace's `source` (model, description, data, code) still has
the sha256 it had; otherwise the model is run again. docs/adr/0014 says why this is no weaker.
"""

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from converters.arrays import Array
from converters.proof import Predict
from converters.samples import Feed
from nearedge.files import sha256_file, sha256_tree, write_bytes
from nearedge.release.sections import KeptAnswers

FILE = Path("answers/source.npz")
PREFIX = "output/"
MOST_BYTES = 64 << 20
"""Of answers that are kept; a model with larger ones is run twice."""


@dataclass
class Kept:
    """Answers in the order of the requests, with the framework that gave them."""

    framework: str
    answers: Iterator[Mapping[str, Array]]

    def predict(self, feed: Feed) -> Mapping[str, Array]:  # noqa: ARG002 - requests come in the order they came in before
        """The answers to the next request."""
        return next(self.answers)


@dataclass
class Keeping:
    """A source that is listened to while it answers; beyond MOST_BYTES nothing is kept."""

    predict_: Predict
    found: list[Mapping[str, Array]] | None = field(default_factory=list)
    size: int = 0

    def predict(self, feed: Feed) -> Mapping[str, Array]:
        """The source's answers."""
        answers = self.predict_(feed)
        self.size += sum(array.nbytes for array in answers.values())
        if self.size > MOST_BYTES:
            self.found = None
        if self.found is not None:
            self.found.append(answers)
        return answers

    def write(self, root: Path, source: Path, framework: str) -> KeptAnswers | None:
        """Write what was kept, and say what it is of; None where there is nothing, or requests differ in shape."""
        if not self.found:
            return None
        shapes = [{name: (array.shape, array.dtype) for name, array in one.items()} for one in self.found]
        if any(one != shapes[0] for one in shapes):
            return None
        content = io.BytesIO()
        arrays: dict[str, Any] = {PREFIX + name: np.stack([one[name] for one in self.found]) for name in shapes[0]}
        np.savez(content, **arrays)
        write_bytes(root / FILE, content.getvalue())
        return KeptAnswers(sha256=sha256_file(root / FILE), of=sha256_tree(source), framework=framework)


def read(root: Path, source: Path, kept: KeptAnswers | None, requests: int) -> Kept | None:
    """The kept answers, where they are of this `source` folder and as many as the requests; else None."""
    path = root / FILE
    if kept is None or not path.is_file() or path.stat().st_size > 2 * MOST_BYTES:
        return None
    if sha256_file(path) != kept.sha256 or sha256_tree(source) != kept.of:
        return None
    with np.load(path, allow_pickle=False) as archive:
        arrays = {name.removeprefix(PREFIX): archive[name] for name in archive.files}
    if any(len(array) != requests for array in arrays.values()):
        return None
    return Kept(kept.framework, ({name: array[at] for name, array in arrays.items()} for at in range(requests)))

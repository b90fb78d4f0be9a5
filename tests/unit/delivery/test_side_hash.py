"""The hash beside the work is hashlib's, whatever the sizes of the pieces, and keeps few of them."""

import hashlib
import random

import pytest

from nearedge.delivery import side_hash
from nearedge.delivery.side_hash import SideHash


@pytest.mark.parametrize("seed", range(6))
def test_it_is_hashlibs(seed):
    chance = random.Random(seed)
    sizes = (0, 1, 512, side_hash.SMALL - 1, side_hash.SMALL, 300_000)
    pieces = [chance.randbytes(chance.choice(sizes)) for _ in range(60)]
    found, expected = SideHash(), hashlib.sha256()
    for piece in pieces:
        found.update(piece)
        expected.update(piece)
        assert len(found.waiting) <= side_hash.AHEAD
    assert found.hexdigest() == found.hexdigest() == expected.hexdigest()
    found.update(b"more")
    expected.update(b"more")
    assert found.hexdigest() == expected.hexdigest()


def test_of_nothing():
    assert SideHash().hexdigest() == hashlib.sha256().hexdigest()


def test_what_cannot_be_hashed_is_said():
    found = SideHash()
    found.update("x" * side_hash.SMALL)  # no bytes
    with pytest.raises(TypeError):
        found.hexdigest()

import hashlib

import pytest

from nearedge.delivery import digest
from nearedge.errors import OutsideError, UnsupportedError

GOOD = digest.of_bytes(b"abcdef")


def test_digests_of_bytes_and_files(tmp_path):
    (tmp_path / "f").write_bytes(b"abcdef")
    assert digest.of_file(tmp_path / "f") == GOOD == "sha256:" + hashlib.sha256(b"abcdef").hexdigest()


@pytest.mark.parametrize("chunks", [[b"abcdef"], [b"abc", b"def"], [b"", b"abcde", b"", b"f"]])
def test_right_bytes_pass(chunks):
    assert b"".join(digest.verified(iter(chunks), GOOD, 6, "x")) == b"abcdef"


@pytest.mark.parametrize(
    ("chunks", "said"),
    [
        ([b"abcdef", b"g"], "more than the 6 bytes"),
        ([b"abc"], "ends after 3 of 6"),
        ([], "ends after 0 of 6"),
        ([b"abc", b"deX"], "do not match"),
    ],
)
def test_wrong_bytes_never_arrive_whole(chunks, said):
    got = bytearray()
    with pytest.raises(OutsideError, match=said):
        for chunk in digest.verified(iter(chunks), GOOD, 6, "x"):
            got += chunk
    assert len(got) < 6 or bytes(got[:6]) == b"abcdef"[: len(got)]
    assert len(got) < 6


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("sha512:" + "0" * 128, UnsupportedError),
        ("sha256:" + "0" * 63, OutsideError),
        ("sha256:" + "A" * 64, OutsideError),
        ("sha256:../../etc/passwd", OutsideError),
        (None, OutsideError),
        (7, OutsideError),
        ({}, OutsideError),
    ],
)
def test_only_sha256_becomes_a_path(text, kind):
    with pytest.raises(kind):
        digest.require(text, "here")
    assert not digest.is_digest(text)

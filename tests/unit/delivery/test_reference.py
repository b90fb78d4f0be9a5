import pytest

from nearedge.delivery.reference import parse
from nearedge.errors import InputError

D = "sha256:" + "a1" * 32


@pytest.mark.parametrize(
    ("text", "registry", "name", "tag", "digest"),
    [
        ("quay.io/team/model:1.0", "quay.io", "team/model", "1.0", ""),
        ("localhost/x", "localhost", "x", "", ""),
        ("127.0.0.1:5000/a/b/c", "127.0.0.1:5000", "a/b/c", "", ""),
        ("[::1]:5000/a:b", "[::1]:5000", "a", "b", ""),
        (f"r.example/a@{D}", "r.example", "a", "", D),
        (f"r.example/a:t@{D}", "r.example", "a", "t", D),
        (f"oci://r.example/a:t@{D}", "r.example", "a", "t", D),
        ("oci:image:1", "", "image", "1", ""),
        (f"oci:some/dir:t@{D}", "", "some/dir", "t", D),
        ("oci:image", "", "image", "", ""),
    ],
)
def test_parts(text, registry, name, tag, digest):
    found = parse(text, allow_layout=True)
    assert (found.registry, found.name, found.tag, found.digest) == (registry, name, tag, digest)
    assert str(found) == text.removeprefix("oci://" if "//" in text else "")
    assert found.which == (digest or tag or "latest")
    assert found.is_layout is (registry == "")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nearedge/runtime:0.1.0", "names no registry"),
        ("model", "names no registry"),
        ("", "names no registry"),
        ("r.example/Model", "no image name"),
        ("r.example/", "no image name"),
        ("r.example/a//b", "no image name"),
        ("r.example/../b", "no image name"),
        ("r.example/" + "a" * 256, "no image name"),
        ("r.example/a:", "no tag"),
        ("r.example/a:-x", "no tag"),
        ("r.example/a:" + "t" * 129, "no tag"),
        ("r.example/a@sha256:12", "no digest"),
        ("r.example/a@sha512:" + "0" * 128, "no digest"),
        ("r.example/a@", "no digest"),
        ("user:pw@r.example/a", "no digest"),
        ("-r.example/a", "no registry host"),
        ("oci::1", "names no folder"),
        ("oci:dir:t:u", "no tag"),
        ("r.example/a\nb", "no image name"),
    ],
)
def test_what_is_none_is_refused(text, said):
    with pytest.raises(InputError, match=said) as caught:
        parse(text, allow_layout=True)
    assert "None" not in str(caught.value)


def test_a_layout_has_to_be_allowed():
    with pytest.raises(InputError, match="allow-layout"):
        parse("oci:image:1")


def test_texts():
    found = parse(f"r.example/a:t@{D}")
    assert (found.without_digest, found.by_digest) == ("r.example/a:t", f"r.example/a@{D}")
    assert str(found.with_tag("u")) == "r.example/a:u"
    assert parse(f"oci:d:t@{D}", allow_layout=True).by_digest == f"oci:d@{D}"

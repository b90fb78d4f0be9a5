import pytest

from nearedge.delivery.naming import tags_and_annotations
from nearedge.errors import InputError


def test_tags_and_annotations():
    found = tags_and_annotations(["latest", "a.b=c=d", "v1_2-x", "latest", "org.opencontainers.image.source=x"])
    assert found == (("latest", "v1_2-x"), {"a.b": "c=d", "org.opencontainers.image.source": "x"})
    assert tags_and_annotations([]) == ((), {})


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        ([""], "is no tag"),
        (["-x"], "is no tag"),
        (["a/b"], "is no tag"),
        (["x" * 129], "is no tag"),
        (["=x"], "is no name"),
        (["a b=x"], "is no name"),
        (["ä=x"], "is no name"),
        (["a=\n"], "one printable line"),
        (["a=" + "x" * 4097], "one printable line"),
        (["a=1", "a=2"], "given twice"),
        (["org.opencontainers.image.base.digest=x"], "what nearedge says"),
        (["org.opencontainers.image.version=x"], "what nearedge says"),
        (["io.nearedge.model=x"], "what nearedge says"),
        ([f"t{n}" for n in range(101)], "more than 100"),
    ],
)
def test_what_will_not_do(texts, said):
    with pytest.raises(InputError, match=said):
        tags_and_annotations(texts)

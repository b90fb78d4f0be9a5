"""The file of what sites run."""

import pytest

from nearedge.errors import InputError
from nearedge.release import usage
from nearedge.release.usage import Running, Usage

ONE = Running(name="m", memory_request_mib=1, memory_limit_mib=2, cpu_request_m=3, cpu_limit_m=4, told_by="record")


def test_what_is_written_is_read(tmp_path):
    assert usage.read(tmp_path) == Usage()
    usage.write(tmp_path, Usage(sites={"s": [ONE]}))
    assert usage.read(tmp_path).others("s", "other") == [ONE]
    usage.write(tmp_path, None)
    assert usage.read(tmp_path) == Usage() and list((tmp_path / "previous").iterdir()) == []


@pytest.mark.parametrize(
    ("text", "words"), [("{", "not JSON"), ('{"sites": 1}', "sites: "), ("\xff", "not JSON|valid")]
)
def test_a_damaged_file_is_one_line(tmp_path, text, words):
    (tmp_path / "previous").mkdir()
    (tmp_path / usage.PATH).write_text(text, encoding="latin-1")
    with pytest.raises(InputError, match=words):
        usage.read(tmp_path)

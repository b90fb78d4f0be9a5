import subprocess
import sys
from pathlib import Path

import pytest

from nearedge.delivery.host import elf


def test_a_program_without_symbols_still_runs(tmp_path):
    source = Path("/bin/true").resolve()
    padded = tmp_path / "padded"
    padded.write_bytes(source.read_bytes() + bytes(50_000))
    assert elf.without_symbols(padded, tmp_path / "lean")
    (tmp_path / "lean").chmod(0o755)
    assert (tmp_path / "lean").stat().st_size < padded.stat().st_size - 50_000 + 1
    subprocess.run([tmp_path / "lean"], check=True, timeout=20)


def test_what_is_mapped_stays_as_it_was(tmp_path):
    content = Path(sys.executable).resolve().read_bytes()
    end = elf.end_of_segments(content)
    (tmp_path / "in").write_bytes(content + bytes(elf.WORTH_BYTES))
    assert elf.without_symbols(tmp_path / "in", tmp_path / "out")
    kept = (tmp_path / "out").read_bytes()
    assert len(kept) == end
    assert kept[elf.HEADER_BYTES :] == content[elf.HEADER_BYTES : end]


@pytest.mark.parametrize(
    "content",
    [b"", b"#!/bin/sh\n", b"\x7fELF", elf.MAGIC + bytes(20), elf.MAGIC + bytes(200), elf.MAGIC + b"\xff" * 200],
)
def test_what_is_no_elf_file_stays(tmp_path, content):
    (tmp_path / "in").write_bytes(content + bytes(5000))
    assert not elf.without_symbols(tmp_path / "in", tmp_path / "out")
    assert not (tmp_path / "out").exists()

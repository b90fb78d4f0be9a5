"""Which instruction set is seen; tests/contract holds it together with what the converters see."""

from pathlib import Path

import pytest

from serving_image import instruction_set

SERVER = "avx2 fma avx512f avx512bw avx512vl avx512dq avx512_vnni avx512_bf16 amx_tile amx_int8 amx_bf16"


@pytest.mark.parametrize(
    ("cap", "name"),
    [
        ("", "amx"),
        ("DEFAULT", "amx"),
        ("AVX512_CORE_AMX", "amx"),
        ("avx512_core_bf16 ", "avx512_bf16"),
        ("AVX512_CORE_VNNI", "avx512_vnni"),
        ("AVX512_CORE", "avx512"),
        ("AVX2_VNNI", "avx2"),
        ("AVX2", "avx2"),
        ("SSE41", "sse42"),
    ],
)
def test_onednn_can_be_held_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cap: str, name: str) -> None:
    (tmp_path / "cpuinfo").write_text(f"processor : 0\nflags\t\t: sse4_2 {SERVER}\nprocessor : 1\nflags : sse4_2\n")
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", cap)
    assert instruction_set.detect(tmp_path / "cpuinfo") == name


def test_a_machine_without_cpuinfo_has_the_least(tmp_path: Path) -> None:
    assert instruction_set.detect(tmp_path / "none") == "sse42"

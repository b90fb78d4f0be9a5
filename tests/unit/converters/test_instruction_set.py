"""Instruction sets from Linux' flags, and what they imply."""

import pytest

from converters import instruction_set
from nearedge.errors import MachineError
from nearedge.release.profile import INSTRUCTION_SETS

AVX2 = {"sse4_2", "avx2", "fma"}
AVX512 = AVX2 | {"avx512f", "avx512bw", "avx512vl", "avx512dq"}


@pytest.mark.parametrize("flags,expected", [
    ({"sse4_2"}, "sse42"), ({"sse4_2", "avx2"}, "sse42"), (AVX2, "avx2"), (AVX2 | {"avx_vnni"}, "avx2_vnni"),
    (AVX512, "avx512"), (AVX512 - {"avx512bw"}, "avx2"), (AVX512 | {"avx512_vnni"}, "avx512_vnni"),
    (AVX512 | {"avx512_vnni", "avx512_bf16"}, "avx512_bf16"),
    (AVX512 | {"avx512_vnni", "avx512_bf16", "amx_tile", "amx_int8", "amx_bf16"}, "amx"),
    (AVX512 | {"amx_tile"}, "avx512"),
])  # fmt: skip
def test_the_best_one_is_found(flags, expected):
    assert instruction_set.of_flags(frozenset(flags)) == expected


def test_a_processor_without_any_is_refused():
    with pytest.raises(MachineError, match=r"SSE4\.2"):
        instruction_set.of_flags(frozenset({"sse2"}))


def test_flags_are_read_from_cpuinfo():
    assert instruction_set.flags_in("processor : 0\nflags\t\t: fpu sse4_2 avx2\nbugs : x\n") == {
        "fpu",
        "sse4_2",
        "avx2",
    }
    assert instruction_set.flags_in("nothing") == frozenset()
    assert instruction_set.here() in INSTRUCTION_SETS


def test_every_set_has_its_flags_and_onednns_name():
    assert set(instruction_set.FLAGS) == set(instruction_set.ONEDNN) == set(INSTRUCTION_SETS)


@pytest.mark.parametrize("site,machine,limit", [
    ("avx2", "avx512_vnni", {"ONEDNN_MAX_CPU_ISA": "AVX2"}), ("avx2", "avx2", {}), ("amx", "avx2", {}),
    ("avx512_vnni", "amx", {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_VNNI"}),
])  # fmt: skip
def test_a_better_machine_is_held_to_the_sites(site, machine, limit):
    assert instruction_set.limit(site, machine) == limit


def test_bf16_needs_a_processor_that_has_it():
    assert [one for one in INSTRUCTION_SETS if instruction_set.has_bf16(one)] == ["avx512_bf16", "amx"]


def test_vnni_is_in_a_branch_of_avx2_and_in_all_of_avx512_but_the_first():
    found = [one for one in INSTRUCTION_SETS if instruction_set.has_vnni(one)]
    assert found == ["avx2_vnni", "avx512_vnni", "avx512_bf16", "amx"]

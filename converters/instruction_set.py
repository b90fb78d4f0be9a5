"""Which of the instruction sets that OpenVINO's kernels care about a processor has, and how to hold them to fewer."""

from pathlib import Path

from nearedge.errors import MachineError
from nearedge.release.profile import INSTRUCTION_SETS, InstructionSet

CPUINFO = Path("/proc/cpuinfo")
FLAGS: dict[InstructionSet, frozenset[str]] = {
    "sse42": frozenset({"sse4_2"}),
    "avx2": frozenset({"avx2", "fma"}),
    "avx2_vnni": frozenset({"avx_vnni"}),
    "avx512": frozenset({"avx512f", "avx512bw", "avx512vl", "avx512dq"}),
    "avx512_vnni": frozenset({"avx512_vnni"}),
    "avx512_bf16": frozenset({"avx512_bf16"}),
    "amx": frozenset({"amx_tile", "amx_int8", "amx_bf16"}),
}
"""Linux' names of what each adds."""

ONEDNN: dict[InstructionSet, str] = {
    "sse42": "SSE41",
    "avx2": "AVX2",
    "avx2_vnni": "AVX2_VNNI",
    "avx512": "AVX512_CORE",
    "avx512_vnni": "AVX512_CORE_VNNI",
    "avx512_bf16": "AVX512_CORE_BF16",
    "amx": "AVX512_CORE_AMX",
}
"""oneDNN's names, for its variable ONEDNN_MAX_CPU_ISA, which OpenVINO's CPU plugin follows: tried with 2026.4."""


def of_flags(flags: frozenset[str]) -> InstructionSet:
    """The best one that these processor flags hold. Raises MachineError where there is none.

    `avx2_vnni` is a branch of its own: server processors with AVX512 lack its flag and have more.
    """
    best = next((name for name in reversed(INSTRUCTION_SETS) if FLAGS[name] <= flags), None)
    if best is None:
        raise MachineError("this processor has no SSE4.2, which OpenVINO needs; use another machine")
    return best


def flags_in(cpuinfo: str) -> frozenset[str]:
    """The flags of the first processor in the text of /proc/cpuinfo."""
    for line in cpuinfo.splitlines():
        if line.startswith("flags"):
            return frozenset(line.partition(":")[2].split())
    return frozenset()


def here() -> InstructionSet:
    """The one of the machine we run on."""
    return of_flags(flags_in(CPUINFO.read_text(encoding="utf-8")))


def has(have: InstructionSet, wanted: InstructionSet) -> bool:
    """Whether a processor with `have` runs what needs `wanted`."""
    return INSTRUCTION_SETS.index(have) >= INSTRUCTION_SETS.index(wanted)


def has_bf16(have: InstructionSet) -> bool:
    """Whether bfloat16 is computed by the processor and not emulated."""
    return has(have, "avx512_bf16")


def has_vnni(have: InstructionSet) -> bool:
    """Whether products of eight bits are summed in 32 bits, so that none of 16 bits between can overflow."""
    return have == "avx2_vnni" or has(have, "avx512_vnni")


def limit(site: InstructionSet, machine: InstructionSet) -> dict[str, str]:
    """Environment that holds OpenVINO on `machine` to what the processor at the site has; none where it has no less."""
    return {} if has(site, machine) else {"ONEDNN_MAX_CPU_ISA": ONEDNN[site]}

"""Which of the instruction sets that OpenVINO's kernels differ by this processor has.

Names as in the record; `close` tolerances hold only between equal ones.
"""

import os
from pathlib import Path

INSTRUCTION_SETS = ("sse42", "avx2", "avx2_vnni", "avx512", "avx512_vnni", "avx512_bf16", "amx")
"""From least to most."""

FLAGS: dict[str, frozenset[str]] = {
    "avx2": frozenset({"avx2", "fma"}),
    "avx2_vnni": frozenset({"avx2", "fma", "avx_vnni"}),
    "avx512": frozenset({"avx512f", "avx512bw", "avx512vl", "avx512dq"}),
    "avx512_vnni": frozenset({"avx512f", "avx512bw", "avx512vl", "avx512dq", "avx512_vnni"}),
    "avx512_bf16": frozenset({"avx512f", "avx512bw", "avx512vl", "avx512dq", "avx512_vnni", "avx512_bf16"}),
    "amx": frozenset({"amx_tile", "amx_int8", "amx_bf16"}),
}
"""Flags of /proc/cpuinfo that each needs, all of them."""

CAPS = {
    "SSE41": "sse42",
    "AVX": "sse42",
    "AVX2": "avx2",
    "AVX2_VNNI": "avx2_vnni",
    "AVX2_VNNI_2": "avx2_vnni",
    "AVX512_CORE": "avx512",
    "AVX512_CORE_VNNI": "avx512_vnni",
    "AVX512_CORE_BF16": "avx512_bf16",
    "AVX512_CORE_FP16": "avx512_bf16",
    "AVX10_1_512": "avx512_bf16",
}
"""Values of ONEDNN_MAX_CPU_ISA (oneDNN: CPU dispatcher control) that hold a processor back."""


def of_flags(flags: frozenset[str], cap: str = "") -> str:
    """The richest set whose flags are all there, no richer than the value `cap` of ONEDNN_MAX_CPU_ISA allows."""
    limit = INSTRUCTION_SETS.index(CAPS.get(cap.strip().upper(), INSTRUCTION_SETS[-1]))
    for name in reversed(INSTRUCTION_SETS[1 : limit + 1]):
        if FLAGS[name] <= flags:
            return name
    return INSTRUCTION_SETS[0]


def detect(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """The set of this machine; the least where /proc/cpuinfo cannot be read."""
    try:
        text = cpuinfo.read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    line = next((line for line in text.splitlines() if line.startswith("flags")), "")
    return of_flags(frozenset(line.partition(":")[2].split()), os.environ.get("ONEDNN_MAX_CPU_ISA", ""))

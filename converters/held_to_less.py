"""The deployed IR under lesser instruction sets than this machine's: where golden samples have to hold as well.

AVX2 is the least that a site may have. Where weights use all eight bits (docs/adr/0020), AVX512 without VNNI comes to
that: without VNNI products of eight bits are added in 16 bits, which can overflow, and not in the same layers on both.
"""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from converters import execution, golden, instruction_set, machine, timing
from converters.arrays import Array
from converters.golden import Answers, Candidate
from converters.parity import Kind
from converters.quantities import share
from converters.samples import Feed
from nearedge.progress import say
from nearedge.release.profile import InstructionSet
from nearedge.release.sections import Precision, RuntimeConfiguration


def answers(
    xml: Path, runtime: RuntimeConfiguration, feeds: Sequence[Feed], held: InstructionSet
) -> list[dict[str, Array]]:
    """The IR's answers from a process held to that set.

    bf16 is computed in f32 there, since a processor without bf16 does so.
    """
    config = {**execution.properties(runtime, 1), "INFERENCE_PRECISION_HINT": "f32"}
    extra = instruction_set.limit(held, instruction_set.here())
    one = timing.Subject("golden", "ir", xml, feeds, config)
    with tempfile.TemporaryDirectory() as folder:
        return timing.answers_held_to(one, machine.usable_cores()[-1:], extra, Path(folder))


def whole_range(precision: Precision, site: InstructionSet) -> bool:
    """Whether weights may use all eight bits, as optimize-model decides it for a site with VNNI."""
    both = instruction_set.has_vnni(site) and instruction_set.has_vnni(instruction_set.here())
    return precision == "int8-accuracy-aware" and both


def tried(
    xml: Path, runtime: RuntimeConfiguration, feeds: Sequence[Feed], whole: bool
) -> dict[InstructionSet, Sequence[Answers]]:
    """The answers under each set that golden samples have to hold under. AVX512 only where this machine has more."""
    held: list[InstructionSet] = ["avx2"]
    if whole and instruction_set.limit("avx512", instruction_set.here()):
        held.append("avx512")
    return {one: answers(xml, runtime, feeds, one) for one in held}


def to_hold(
    found: list[Candidate],
    less: Mapping[InstructionSet, Sequence[Answers]],
    kinds: Mapping[str, Kind],
    precision: Precision,
    least: float | None = None,
) -> list[Candidate]:
    """The candidates, to hold under all of `less`; as they were, and said, where under `least` of them do under one.

    A model so bad without VNNI must not be made to look good by samples that happen to hold: the release is for sites
    with VNNI, and a golden sample that is decided otherwise keeps a server without it from taking traffic.
    """
    parts = {one: float(np.mean(golden.kept(found, less[one], kinds, precision) or [True])) for one in less}
    if least is not None and min(parts.values()) < least:
        shares = ", ".join(f"{share(part)} on {one}" for one, part in parts.items())
        say(
            f"warning: this release is for sites with VNNI: of {len(found)} golden candidates so many are decided as "
            f"here without it: {shares}, least allowed {least:g}; golden samples are not chosen to hold there"
        )
        return found
    return [replace(one, less=tuple(others)) for one, *others in zip(found, *less.values(), strict=True)]

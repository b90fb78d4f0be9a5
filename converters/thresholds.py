"""What parity is held to, by precision: one table, so that nobody has to search for a number.

max_relative is the largest difference over the largest magnitude of the source's output. What was measured on a
small CNN (2 cores, AVX512): f32 1e-6, fp16 weights 3e-4, bf16 1e-2, INT8 weights 2e-2, INT8 0.14; deep nets
add up ten times as much.
The accuracy gate is the one that judges a model with labels; parity must catch a wrong conversion.
"""

from nearedge.release.description import Description
from nearedge.release.sections import Precision, Thresholds

INT8 = Thresholds(max_relative=0.35, min_cosine=0.9, min_top1_agreement=0.95, min_top5_agreement=0.98)
THRESHOLDS: dict[Precision, Thresholds] = {
    "f32": Thresholds(max_relative=1e-3, min_cosine=0.9999, min_top1_agreement=0.99, min_top5_agreement=0.999),
    "fp16": Thresholds(max_relative=2e-2, min_cosine=0.999, min_top1_agreement=0.99, min_top5_agreement=0.999),
    "bf16": Thresholds(max_relative=0.12, min_cosine=0.99, min_top1_agreement=0.97, min_top5_agreement=0.99),
    "int8-weights": Thresholds(max_relative=0.2, min_cosine=0.98, min_top1_agreement=0.96, min_top5_agreement=0.99),
    "int8": INT8,
    "int8-accuracy-aware": INT8,
}


def of(description: Description, precision: Precision) -> Thresholds:
    """What that precision is held to: ours, and in their place those that model.yaml names."""
    ours = THRESHOLDS[precision]
    given = description.parity.get(precision)
    return ours if given is None else given.over(ours)


def weaker(limits: Thresholds, precision: Precision) -> str:
    """Which of the limits that were applied are weaker than ours, and ours; empty where none is.

    A limit that an older record does not have is passed over.
    """
    ours, applied = THRESHOLDS[precision].model_dump(), limits.model_dump(exclude_none=True)
    return ", ".join(
        f"{name} {value:g} instead of {ours[name]:g}"
        for name, value in applied.items()
        if (value > ours[name] if name == "max_relative" else value < ours[name])
    )


ACROSS: dict[Precision, float] = {
    "f32": 1e-3, "fp16": 1e-3, "bf16": 0.05, "int8-weights": 0.05, "int8": 0.15, "int8-accuracy-aware": 0.15,
}  # fmt: skip
"""Largest difference of an answer between instruction sets, over the output's largest magnitude.

Measured: f32 2e-7; INT8 0.12 (2.5 of 21) where one machine has VNNI and the other has not, with the same top-1.
bf16 stands for its own rounding, since a processor without bf16 computes in f32; int8-weights computes in floats, but
with VNNI activations beside such weights may be rounded to eight bits.
"""

CLOSE: dict[Precision, float] = {
    "f32": 1e-4, "fp16": 1e-4, "bf16": 0.02, "int8-weights": 0.02, "int8": 0.02, "int8-accuracy-aware": 0.02,
}  # fmt: skip
"""The same on one instruction set, where only the order of additions may differ (threads, library builds)."""

PROBABILITY_MARGIN: dict[Precision, float] = {
    "f32": 0.05, "fp16": 0.05, "bf16": 0.5, "int8-weights": 0.5, "int8": 0.9, "int8-accuracy-aware": 0.9,
}  # fmt: skip
"""Least distance of the two largest probabilities of a golden sample. Probabilities hide how large the logits were."""


def logit_margin(precision: Precision) -> float:
    """Least distance of the two largest scores of a golden sample, over the output's largest magnitude.

    Another instruction set may move each of the two by ACROSS, one up and one down; hence twice that.
    """
    return 2 * ACROSS[precision]

"""INT8 by NNCF on the OpenVINO model: weights alone, all that gains by it, or all that the metric bears."""

import contextlib
import io
import logging
import random
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from converters.accuracy_control import Control, Followed, OutOfTimeError, parted
from converters.arrays import Array
from converters.samples import Samples
from nearedge.errors import InputError
from nearedge.release.quantization import Quantization

if TYPE_CHECKING:
    import openvino

SEED = 0
NAMES_SHOWN = 12
RANKED = 64
"""Samples that each layer's share of the damage is measured on: those that int8 moves most."""
PLAIN = Quantization()


def int8(model: "openvino.Model", calibration: Samples, settings: Quantization = PLAIN) -> "openvino.Model":
    """A quantised copy of an f32 model; the same samples give the same weights. Raises InputError where NNCF refuses.

    Overflow is fixed in every layer (weights use half their range), which makes answers the same with and without
    VNNI. Measured on a CNN, AVX512 without VNNI against with it, logits of up to 29: moved by 3.5, and accuracy lost
    0.018, without the fix; by 2.0 with NNCF's own choice of the first layer; by nothing with it in every layer.
    """
    import nncf

    given = parameters(model, calibration, settings)
    with explained("int8"):
        return nncf.quantize(model, advanced_parameters=overflow_fixed(True), **given)


def accuracy_aware(
    model: "openvino.Model",
    calibration: Samples,
    control: Control,
    settings: Quantization = PLAIN,
    whole_range: bool = False,
) -> "openvino.Model":
    """As `int8`, with biases corrected layer by layer, and as many layers turned back as the control's metric needs.

    Depthwise convolutions stay in floats from the start: few multiplications, and most of the damage. `whole_range`:
    weights use all eight bits, which is right where the processor has VNNI. docs/adr/0020-what-int8-leaves-alone.md has
    what was measured. Layers are ranked by how near the answers to RANKED samples come to the f32 model's when they are
    turned back.

    One ranking worker and a fixed order of layers: the same samples give the same weights on the same kind of
    processor. Raises InputError where NNCF refuses, OutOfTimeError where the control's time is up.
    """
    import nncf
    from nncf.quantization.advanced_parameters import AdvancedAccuracyRestorerParameters

    fitted, _ = parted(len(calibration.feeds))
    given = parameters(model, calibration, settings, fitted)
    given["ignored_scope"] = ignored_scope(model, settings, depthwise(model))
    numbers = list(range(len(control.places)))
    with explained("int8-accuracy-aware"):
        return nncf.quantize_with_accuracy_control(
            model,
            validation_dataset=nncf.Dataset(numbers, control.feed),
            validation_fn=Followed(control),
            max_drop=control.allowed,
            fast_bias_correction=False,
            advanced_quantization_parameters=overflow_fixed(not whole_range),
            advanced_accuracy_restorer_parameters=AdvancedAccuracyRestorerParameters(
                num_ranking_workers=1, ranking_subset_size=min(RANKED, max(len(numbers) - 1, 1))
            ),
            **given,
        )


def weights(model: "openvino.Model", settings: Quantization = PLAIN) -> "openvino.Model":
    """A copy whose weights are INT8 with a scale and a zero point for each channel; it computes in floats.

    Needs no data. Raises InputError where NNCF refuses.
    """
    import nncf

    ignored = ignored_scope(model, settings)
    with explained("int8-weights"):
        return nncf.compress_weights(model, mode=nncf.CompressWeightsMode.INT8_ASYM, ignored_scope=ignored)


def parameters(
    model: "openvino.Model", calibration: Samples, settings: Quantization, among: Sequence[int] = ()
) -> dict[str, Any]:
    """What both ways to quantise are told alike. `among`: numbers of the requests to calibrate with; empty: any."""
    import nncf

    count = min(len(among or calibration.feeds), settings.subset)
    return {
        "calibration_dataset": nncf.Dataset(chosen(calibration, count, among)),
        "subset_size": count,
        "preset": nncf.QuantizationPreset(settings.preset),
        "ignored_scope": ignored_scope(model, settings),
    }


def overflow_fixed(fixed: bool) -> Any:  # nncf.AdvancedQuantizationParameters
    """Weights in half their range, in every layer; or in none."""
    from nncf.quantization.advanced_parameters import AdvancedQuantizationParameters, OverflowFix

    return AdvancedQuantizationParameters(overflow_fix=OverflowFix.ENABLE if fixed else OverflowFix.DISABLE)


def depthwise(model: "openvino.Model") -> list[str]:
    """Names of the convolutions that look at one channel each; their weights are [groups, outputs, 1, ...]."""
    return [
        node.get_friendly_name()
        for node in model.get_ordered_ops()
        if node.get_type_name() == "GroupConvolution" and node.input(1).get_partial_shape()[2] == 1
    ]


def ignored_scope(
    model: "openvino.Model", settings: Quantization, also: Sequence[str] = ()
) -> Any:  # nncf.IgnoredScope or None
    """The nodes to leave as they are: those of the settings, and `also` others.

    Raises InputError for an entry that no node's whole name matches.
    """
    import nncf

    if not settings.ignored and not also:
        return None
    names = [node.get_friendly_name() for node in model.get_ordered_ops() if node.get_type_name() != "Constant"]
    picked: dict[str, None] = dict.fromkeys(also)
    for entry in settings.ignored:
        found = [name for name in names if name == entry or re.fullmatch(entry, name)]
        if not found:
            weighty = [name for name in names if re.match("(Group)?Conv|MatMul", name)] or names
            raise InputError(
                f"quantization.ignored: {entry!r} is no node of ir/f32/model.xml; "
                f"there are {', '.join(weighty[:NAMES_SHOWN])}{' …' if len(weighty) > NAMES_SHOWN else ''}"
            )
        picked |= dict.fromkeys(found)
    return nncf.IgnoredScope(names=list(picked), validate=False)


def chosen(calibration: Samples, count: int, among: Sequence[int] = ()) -> list[dict[str, Array]]:
    """`count` samples spread evenly over the calibration rows (those of `among`), which may be sorted by class."""
    numbers = among or range(len(calibration.feeds))
    return [calibration.feeds[numbers[int(at)]] for at in np.linspace(0, len(numbers) - 1, count)]


@contextlib.contextmanager
def explained(precision: str) -> Iterator[None]:
    """Seed what NNCF draws from, keep its bars off stdout, and turn its refusals into one line."""
    import nncf

    nncf.set_log_level(logging.ERROR)
    random.seed(SEED)
    np.random.seed(SEED)  # NNCF draws from numpy's global generator
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    except OutOfTimeError:
        raise
    except (RuntimeError, ValueError, nncf.ValidationError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"precision {precision}: NNCF cannot quantise this model ({reason}); choose fp16") from error

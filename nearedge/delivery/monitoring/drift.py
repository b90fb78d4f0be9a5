"""Rules about drift: how far what a model is asked and answers lies from the release's reference.

The population stability index over the bins: sum of (a - e) ln(a / e), a and e the shares counted and expected
(converters/drift.py made the reference). Over an hour where there were enough rows in it, else over a day. Where
nothing has changed, N rows against a reference of M give about (bins - 1) (1/N + 1/M): 0.06 for 10 bins, 200 rows and
500 of the reference. So 0.25, from where on the literature speaks of a shift to act on, is far from chance.
"""

from typing import Any

from nearedge.delivery.monitoring import catalogue
from nearedge.delivery.monitoring.catalogue import BY, at

SHIFTED = 0.25
LEAST_ROWS = 200
LEAST_SHARE = 0.001
"""An empty bin counts as this: the logarithm of nothing is not a number."""
WINDOWS = ("1h", "1d")
TENSOR = (*BY, "version", "tensor", "of")

INDEX = "model:nearedge_drift:index"


def rules(model: str) -> list[dict[str, Any]]:
    """The index of each watched tensor, for each window that has rows enough."""
    return [{"record": INDEX, "expr": index(model, window), "labels": {"window": window}} for window in WINDOWS]


def index(model: str, window: str) -> str:
    """The population stability index over a window."""
    each, by_bin = f"by ({', '.join(TENSOR)})", f"by ({', '.join((*TENSOR, 'bin'))})"
    rows = f"sum {by_bin} (increase({at(catalogue.DRIFT_ROWS, model=model)}[{window}]))"
    total = f"(sum {each} ({rows}) >= {LEAST_ROWS})"
    counted = f"clamp_min({rows} / ignoring (bin) group_left () {total}, {LEAST_SHARE})"
    expected = f"clamp_min(max {by_bin} ({at(catalogue.DRIFT_EXPECTED, model=model)}), {LEAST_SHARE})"
    return f"sum {each} (({counted} - {expected}) * ln({counted} / {expected}))"


def shifted(model: str) -> str:
    """Where the index is too large: in the last hour or, with too few requests in it, in the last day."""
    hour, day = (f'{INDEX}{{model="{model}",window="{window}"}}' for window in WINDOWS)
    return f"({hour} or ignoring (window) {day}) > {SHIFTED}"

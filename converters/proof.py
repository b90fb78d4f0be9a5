"""The proof: the IR's answers beside the source's on the same samples, by parity and by the task's metric."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from converters import confidence, metrics, own_metric, parity
from converters.arrays import Array
from converters.metrics import Score
from converters.own_code import OwnCode
from converters.parity import Difference, Kind
from converters.samples import Feed, Samples
from nearedge.errors import GateError
from nearedge.progress import track
from nearedge.release.description import Description
from nearedge.release.sections import MetricResult, OutputParity, Precision, Thresholds

Predict = Callable[[Feed], Mapping[str, Array]]


@dataclass
class Proof:
    """What was found; `source` holds the source's answers beside the labels, None where there is no metric.

    `expected` is the metric that the trained model had elsewhere, where model.yaml says it.
    """

    outputs: list[OutputParity] = field(default_factory=list)
    kinds: dict[str, Kind] = field(default_factory=dict)
    metric: MetricResult | None = None
    source: Score | None = None
    expected: float | None = None

    def largest(self) -> float:
        """The largest of the outputs' relative differences; decisions that differ count by their share."""
        return max(
            1 - (one.top1_agreement or 0.0) if self.kinds[one.name] == "discrete" else one.max_relative
            for one in self.outputs
        )

    def faults(self, limits: Thresholds) -> list[str]:
        """What parity finds wrong, one sentence each."""
        return [
            f"output {one.name!r}: {fault}"
            for one in self.outputs
            for fault in parity.faults(one, limits, self.kinds[one.name])
        ]

    def gate(self, limits: Thresholds, precision: Precision) -> None:
        """Raise GateError where parity or the metric does not hold, or the source is to be doubted."""
        parity.gate([(one, self.kinds[one.name]) for one in self.outputs], limits, precision)
        if self.source is not None and self.metric is not None:
            metrics.gate_doubt(self.source)
            metrics.gate_expected(self.source, self.expected, self.metric.allowed_drop)
            kind, found = self.source, self.metric
            unsure = f" ({confidence.words(found)})" if found.certain() is False else ""
            metrics.gate_drop(kind.metric, kind.rises, found.source, found.converted, found.allowed_drop, unsure)


def compare(
    description: Description,
    samples: Samples,
    source: Predict,
    converted: Predict,
    what: str,
    code: OwnCode | None = None,
    sure: bool = False,
) -> Proof:
    """Feed each sample to both and gather how their answers differ; `what` names the work in progress lines.

    `code` holds the metric where that is the user's own; `sure` asks for the interval of its drop. Raises GateError
    where an output is missing, of another shape, or not finite.
    """
    names = [one.name for one in description.outputs]
    differences = {name: Difference(name, samples.rows_each) for name in names}
    scores = Scores.of(description, code)
    proof = Proof()
    for number, feed in enumerate(track(samples.feeds, what, len(samples.feeds))):
        left, right = source(feed), converted(feed)
        for name in names:
            one, other = named(left, name, "source"), named(right, name, "IR")
            kind = proof.kinds.setdefault(name, parity.kind_of(description, name, one))
            differences[name].add(one, other, kind)
        labels = samples.labels_of(number)
        if scores is not None and labels is not None:
            scores.add(left, right, labels)
    proof.outputs = [differences[name].result() for name in names]
    if scores is not None:
        proof.metric, proof.source = scores.result(samples.rows, sure), scores.source
        proof.expected = description.metric.expected if description.metric else None
    return proof


def named(answers: Mapping[str, Array], name: str, who: str) -> Array:
    """The output of that name. Raises GateError where it is missing."""
    if name not in answers:
        raise GateError(f"output {name!r}: the {who} has none of that name; it has {', '.join(sorted(answers))}")
    return answers[name]


@dataclass
class Scores:
    """The metric's two scores: of the source and of the IR."""

    allowed: float
    source: Score
    converted: Score

    @classmethod
    def of(cls, description: Description, code: OwnCode | None) -> "Scores | None":
        """Empty scores for the metric of model.yaml, None where it has none."""
        metric = description.metric
        if metric is None:
            return None
        output = metric.output or description.outputs[0].name
        source, converted = (own_metric.score_of(metric, output, code) for _ in range(2))
        return cls(metric.allowed_drop, source, converted)

    def add(self, left: Mapping[str, Array], right: Mapping[str, Array], labels: Array) -> None:
        """Take one request's answers."""
        self.source.take(left, labels)
        self.converted.take(right, labels)

    def result(self, rows: int, sure: bool) -> MetricResult:
        """Both figures and the drop; its interval where it is asked for, which costs more than the figures."""
        if self.source.binary:
            self.converted.probable = self.source.probabilities()
        before, after = self.source.value(), self.converted.value()
        low, high = (self.interval(rows) if sure else None) or (None, None)
        return MetricResult(
            name=self.source.metric,
            own=isinstance(self.source, own_metric.OwnScore),
            source=before,
            converted=after,
            drop=metrics.drop(self.source.rises, before, after),
            allowed_drop=self.allowed,
            rows=rows,
            drop_low=low,
            drop_high=high,
        )

    def interval(self, rows: int) -> tuple[float, float] | None:
        """The 95 % interval of the drop, where one is known."""
        name = self.source.metric
        if name not in confidence.WEIGHTED:
            return None
        before, after = self.source.gathered(), self.converted.gathered()
        return confidence.interval(name, self.source.rises, before, after, rows)

"""The study of one model's precisions: which are possible, which are tried in the time there is, how fast they are."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from converters import accuracy_control, candidates, execution, instruction_set, machine, timing, workspace
from converters.accuracy_control import Control, OutOfTimeError
from converters.candidates import Made
from converters.samples import Samples
from converters.timing import Measured
from converters.workspace import Work
from nearedge.errors import GateError, InputError
from nearedge.progress import say
from nearedge.release.sections import Precision

SECONDS = 2.0
"""Time that all candidates are timed for together."""
TIMED_SAMPLES = 16


@dataclass
class Tried:
    """What was made, and for each other precision why it was not."""

    made: list[Made] = field(default_factory=list)
    left_out: dict[Precision, str] = field(default_factory=dict)

    def faults(self, precision: Precision) -> list[str] | None:
        """Why a precision that was made does not hold, None where it was not made."""
        return next((one.faults for one in self.made if one.precision == precision), None)


@dataclass
class Study:
    """What is known while the precision is chosen. `folder` takes the candidates.

    `max_drop` is the param, None where model.yaml or the gate says what int8-accuracy-aware may lose.
    """

    work: Work
    f32: Path
    evaluation: Samples
    calibration: Samples | None
    before: float | None
    folder: Path
    max_drop: float | None = None

    @property
    def made_up(self) -> bool:
        """Whether INT8 is calibrated with made-up samples."""
        return self.calibration is not None and self.calibration.synthetic

    @cached_property
    def control(self) -> Control | None:
        """What int8-accuracy-aware holds the accuracy by. Raises GateError where the calibration rows are no good."""
        if self.calibration is None:
            return None
        return accuracy_control.prepare(self.work.description, self.f32, self.calibration, self.max_drop)

    def make(self, precision: Precision, deadline: float | None = None) -> Made:
        """Make one candidate and judge it. Raises InputError where NNCF refuses, OutOfTimeError at the deadline."""
        made_up = "synthetic " if self.evaluation.synthetic else ""
        say(f"{precision}: made and judged on {self.evaluation.rows} {made_up}samples")
        control = None
        if precision == "int8-accuracy-aware" and self.control is not None:
            control = self.control if deadline is None else self.control.until(deadline)
        site = self.work.profile.instruction_set
        xml = candidates.make(self.work.description, precision, self.f32, self.calibration, self.folder, control, site)
        return candidates.judge(self.work, precision, xml, self.f32, self.evaluation, self.before)

    def refusal(self, precision: Precision) -> str:
        """Why a precision is not possible, empty where it is."""
        site, here = self.work.profile.instruction_set, instruction_set.here()
        why = candidates.refusal(precision, site, here, self.calibration)
        if precision == "fp16" and not self.work.description.compress_to_fp16:
            return "model.yaml has compress_to_fp16: false"
        if why or precision not in candidates.CALIBRATED:
            return why
        try:
            control = self.control
        except GateError as error:
            return str(error)
        if control is None and precision == "int8-accuracy-aware":
            if self.work.description.metric is not None:
                return (
                    f"int8-accuracy-aware cannot turn layers back by the metric {self.work.description.metric.name} "
                    "here, and no output is of class scores"
                )
            return "int8-accuracy-aware needs a metric in model.yaml, or an output of class scores"
        return ""

    def try_all(self, budget_s: float) -> Tried:
        """Make the precisions from the cheapest to the dearest while there is time; f32 in any case."""
        deadline = time.monotonic() + budget_s
        over = f"not tried: the budget of {budget_s:g} s was used up"
        tried = Tried()
        for precision in candidates.PRECISIONS:
            why = self.unneeded(precision, tried)
            if why:
                tried.left_out[precision] = why
            elif precision != "f32" and time.monotonic() > deadline:
                tried.left_out[precision] = over
            else:
                self.attempt(precision, deadline, tried, over)
        return tried

    def unneeded(self, precision: Precision, tried: Tried) -> str:
        """Why a precision is not to be tried, empty where it is."""
        why = self.refusal(precision)
        if why:
            return f"not possible: {why}"
        if precision == "int8-accuracy-aware":
            faults = tried.faults("int8")
            if faults is None:
                return "not tried: int8, which it would mend, was not made"
            if not faults:
                return "not tried: int8 holds without it"
        return ""

    def attempt(self, precision: Precision, deadline: float, tried: Tried, over: str) -> None:
        """Make one, or note why that failed. Raises InputError where not even f32 can be made."""
        try:
            tried.made.append(self.make(precision, deadline))
        except OutOfTimeError:
            tried.left_out[precision] = over.replace("not tried", "not finished")
        except InputError as error:
            if precision == "f32":
                raise
            tried.left_out[precision] = f"not possible: {error}"

    def time(self, made: Sequence[Made]) -> dict[str, Measured]:
        """Time the candidates that give answers in turns, as the site would run them."""
        threads, feeds = self.work.threads, self.evaluation.feeds[:TIMED_SAMPLES]
        subjects = [
            timing.Subject(
                one.precision,
                "ir",
                one.xml,
                feeds,
                execution.properties(workspace.runtime(self.work.profile, one.precision), threads),
            )
            for one in made
            if one.outputs
        ]
        if not subjects:
            return {}
        cores = machine.usable_cores()[-threads:]
        limit = instruction_set.limit(self.work.profile.instruction_set, instruction_set.here())
        return timing.interleaved(subjects, cores, SECONDS, self.folder, limit)

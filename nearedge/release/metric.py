"""The metric of model.yaml: one of ours, or a function of the user's own."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from nearedge.release.detection import Detection
from nearedge.release.strict import Strict

MetricName = Literal["accuracy", "f1", "mae", "rmse", "map", "map50"]
HIGHER_IS_BETTER: dict[str, bool] = {
    "accuracy": True, "f1": True, "mae": False, "rmse": False, "map": True, "map50": True,
}  # fmt: skip
DETECTION: tuple[str, ...] = ("map", "map50")

OWN_FUNCTION = r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$"
OwnFunction = Annotated[str, Field(pattern=OWN_FUNCTION)]
"""A Python function of the user's own in the folder `code`, as `package.module:function`."""


class Metric(Strict):
    """What `labels` are compared by, and how much of it the deployed model may lose."""

    name: MetricName | OwnFunction = Field(
        description="one of ours, or a function in the folder code as package.module:function, called with the output "
        "and the labels of all evaluation rows"
    )
    output: str | None = Field(default=None, description="the output to judge; the first one where absent")
    higher_is_better: bool | None = Field(default=None, description="of a metric of your own; ours know it themselves")
    detection: Detection | None = Field(default=None, description="for map and map50: which outputs hold the boxes")
    allowed_drop: Annotated[float, Field(ge=0)]
    expected: float | None = Field(
        default=None, description="what the trained model scored elsewhere; worse here by more than allowed_drop stops"
    )

    @property
    def own(self) -> bool:
        """Whether it is a function of the user's own."""
        return self.name not in HIGHER_IS_BETTER

    @property
    def rises(self) -> bool:
        """Whether a higher value is a better one."""
        return HIGHER_IS_BETTER.get(self.name, bool(self.higher_is_better))

    @model_validator(mode="after")
    def directed(self) -> Self:
        """Which way is better is known: of our metrics by us, of others from model.yaml."""
        if self.own and self.higher_is_better is None:
            raise ValueError(f"{self.name} is a metric of your own; say whether higher_is_better: true or false")
        if not self.own and self.higher_is_better is not None:
            raise ValueError(f"higher_is_better is for a metric of your own; of {self.name} it is known, leave it out")
        return self

    @model_validator(mode="after")
    def of_its_task(self) -> Self:
        """Detection is for the metrics of boxes, and they for nothing else."""
        if (self.name in DETECTION) != (self.detection is not None):
            raise ValueError(f"detection goes with {' and '.join(DETECTION)}, which need it; the name is {self.name}")
        if self.detection is not None and self.output is not None:
            raise ValueError("output is for other metrics; detection names the outputs")
        return self

    def judged(self, first: str) -> list[str]:
        """The outputs it judges; `first` is the model's first one."""
        return [self.output or first] if self.detection is None else self.detection.outputs()

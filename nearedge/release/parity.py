"""What model.yaml may say about parity: thresholds of its own for a precision."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from nearedge.release.strict import Strict

Precision = Literal["f32", "fp16", "bf16", "int8-weights", "int8", "int8-accuracy-aware"]
Share = Annotated[float, Field(ge=0, le=1)]


class Thresholds(Strict):
    """What parity is held to."""

    max_relative: float
    min_cosine: float
    min_top1_agreement: float
    min_top5_agreement: float | None = Field(default=None, description="null: top-5 was not held to anything")


class ParityLimits(Strict):
    """Thresholds in the place of ours, which converters/thresholds.py has; what is left out stays ours."""

    max_relative: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = Field(
        default=None, description="largest difference over the largest magnitude of the source's output"
    )
    min_cosine: Annotated[float, Field(ge=-1, le=1)] | None = Field(
        default=None, description="lowest cosine of a sample's answers"
    )
    min_top1_agreement: Share | None = Field(default=None, description="share of the same top-1")
    min_top5_agreement: Share | None = Field(
        default=None, description="share of the source's top-1 among the IR's five largest; of more than 5 classes"
    )

    @model_validator(mode="after")
    def says_something(self) -> Self:
        """At least one threshold."""
        if not self.model_dump(exclude_none=True):
            raise ValueError(f"names no threshold; those there are: {', '.join(ParityLimits.model_fields)}")
        return self

    def over(self, ours: Thresholds) -> Thresholds:
        """Ours with these in their place."""
        return ours.model_copy(update=self.model_dump(exclude_none=True))

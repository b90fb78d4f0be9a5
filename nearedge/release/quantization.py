"""Part `quantization` of model.yaml: how the precisions whose names begin with int8 are made."""

import re
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from nearedge.release.strict import Strict


class Quantization(Strict):
    """Settings of NNCF; the defaults are what most models want."""

    preset: Literal["performance", "mixed"] = Field(
        default="performance", description="mixed: activations with a zero point of their own, often nearer and slower"
    )
    subset: Annotated[int, Field(ge=1)] = Field(
        default=300, description="most calibration samples whose ranges are taken"
    )
    max_drop: Annotated[float, Field(ge=0)] | None = Field(
        default=None,
        description="most that int8-accuracy-aware may lose on the calibration rows, of the metric, else of the share "
        "of decisions; what the gates allow where absent. The gates stay as they are",
    )
    ignored: list[str] = Field(
        default=[], description="nodes of ir/f32/model.xml to leave as they are: names, or regular expressions of them"
    )

    @model_validator(mode="after")
    def readable(self) -> Self:
        """Refuse what is no regular expression."""
        for one in self.ignored:
            try:
                re.compile(one)
            except re.error as error:
                raise ValueError(f"ignored: {one!r} is no name and no regular expression ({error})") from None
        return self

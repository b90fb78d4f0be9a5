"""Where a detection model's answers hold boxes, scores and classes, for the metrics map and map50."""

from typing import Literal

from pydantic import Field

from nearedge.release.strict import Strict

BoxFormat = Literal["xyxy", "xywh", "cxcywh"]


class Detection(Strict):
    """The outputs of a detection model. Labels hold a row of five numbers a box: four as `format`, and the class."""

    boxes: str = Field(
        description="the output with the boxes, [N, boxes, 4]; [N, boxes, 6] with score and class behind, where "
        "`scores` is absent"
    )
    scores: str | None = Field(
        default=None, description="the output with a score for each box, or for each box and class: [N, boxes, classes]"
    )
    classes: str | None = Field(
        default=None, description="the output with the class of each box; the class of the largest score where absent"
    )
    format: BoxFormat = Field(
        default="xyxy", description="of boxes and labels: two corners, or a corner or the middle with width and height"
    )

    def outputs(self) -> list[str]:
        """The names of the outputs there are."""
        return [name for name in (self.boxes, self.scores, self.classes) if name is not None]

"""What every document of a release is made of."""

from pydantic import BaseModel, ConfigDict


class Strict(BaseModel):
    """Unknown keys are refused; values never change once read."""

    model_config = ConfigDict(extra="forbid", frozen=True)

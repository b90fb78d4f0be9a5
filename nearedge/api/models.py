"""Documents that both APIs give back."""

from typing import Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

Item = TypeVar("Item")


class Document(BaseModel):
    """Base of all documents; unknown members of what clients send are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Problem(BaseModel):
    """What went wrong (RFC 9457)."""

    type: str = Field(description="a URI that names the kind of problem; about:blank: the status says it all")
    title: str = Field(description="the status in words")
    status: int
    detail: str = Field(description="one line: what was wrong, where, and what to do")


class Page(Document, Generic[Item]):
    """A part of a list."""

    items: list[Item]
    next: str | None = Field(description="value of `after` for the part behind this one; null: this is the last")


class Health(Document):
    """Whether the process answers, and whether what it stands on does."""

    status: str
    sources: dict[str, str] = Field(default={}, description="ok, or what is wrong, for each thing it depends on")

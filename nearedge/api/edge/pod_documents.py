"""Documents of what a cluster tells of a model. Times are RFC 3339 in UTC; null: not known."""

from pydantic import Field

from nearedge.api.models import Document


class Condition(Document):
    """A condition of a Deployment or a pod, as the cluster words it."""

    object: str = Field(description="KIND/NAME")
    type: str
    status: str
    reason: str
    message: str
    since: str | None


class ContainerState(Document):
    """A container of a pod."""

    name: str
    image: str
    image_id: str = Field(description="what the node says it runs")
    ready: bool
    restarts: int
    state: str = Field(description="waiting, running, terminated, or empty where its node has not told yet")
    reason: str = Field(description="of that state")
    last_end: str = Field(description="how it ended before its newest restart; empty where it never did")


class PodState(Document):
    """A pod of a model; while it is upgraded there may be two."""

    name: str
    node: str
    phase: str
    ready: bool
    leaving: bool = Field(description="it is being deleted")
    digest: str | None = Field(description="of the image that it asks for")
    created: str
    reason: str = Field(description="why it takes no requests; empty where it does")
    containers: list[ContainerState] = Field(description="that first which serves")

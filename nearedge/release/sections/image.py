"""What build-serving-image made and what test-serving-image saw."""

from typing import ClassVar, Literal

from pydantic import Field

from nearedge.release.sections.base import Section
from nearedge.release.strict import Strict


class Layer(Strict):
    """One layer of an image."""

    digest: str
    size_bytes: int
    title: str


class ImageSection(Section):
    """What build-serving-image made."""

    section: ClassVar[str] = "image"
    url: str = Field(description="reference without digest")
    digest: str
    size_bytes: int = Field(description="sum of the compressed layers, config and manifest")
    layers: list[Layer]
    base: str
    base_kind: Literal["registry", "layout", "host", "scratch"]
    uploaded_bytes: int
    flavour: Literal["serving", "modelcar"] = Field(
        default="serving", description="serving: on a runtime base; modelcar: the model alone, for KServe to mount"
    )
    layout: Literal["single", "sharded", "layered"] = Field(
        default="single", description="model.bin as one file, or its pieces in one zstd:chunked layer or in several"
    )
    upgrade_bytes: int | None = Field(description="what a site that runs the previous release pulls; null: none known")
    upgrade_partial_bytes: int | None = Field(
        default=None, description="the same where the site's engine pulls changed chunks only; null: none known"
    )


class TestSection(Section):
    """What test-serving-image saw."""

    __test__: ClassVar[bool] = False
    section: ClassVar[str] = "test"
    image: str
    backend: str = Field(description="what ran the sidecar: kubelet, podman, chroot or process")
    ready_ms: float
    samples: int
    largest_difference: float
    decisions_held: int

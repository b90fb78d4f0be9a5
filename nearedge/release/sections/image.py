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


class SiteTransfer(Strict):
    """What a site pulls for the image, against the images that git says it runs."""

    site: str
    bytes: int = Field(description="what its engine pulls: partial_bytes with partial pulls, else whole_bytes")
    partial_bytes: int = Field(description="with partial pulls of zstd:chunked layers")
    whole_bytes: int = Field(description="every blob that it lacks, in full")
    link_mbit_s: float = Field(description="its link, as its profile says")
    against: list[str] = Field(description="digests of the images whose layers count as there")
    at_most: bool = Field(
        default=False, description="a table of contents of what is there could not be read; it may be less"
    )

    @property
    def seconds(self) -> float:
        """How long its link takes for it, with nothing else on it."""
        return self.bytes * 8 / (self.link_mbit_s * 1e6)


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
    sites: list[SiteTransfer] = Field(default=[], description="what each site that was named pulls")
    max_transfer_bytes: int | None = Field(default=None, description="the budget that each site holds; null: none")


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

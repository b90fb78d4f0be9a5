"""What a run on a cluster made that outlives its volume: release record and report, attached to the image it built.

The report of a run that built no image stays in the volume that was its workspace, which the API has no way into.
"""

import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path

from nearedge.api.cluster.resources import Object
from nearedge.api.core.models import Run
from nearedge.api.problems import ProblemError, missing
from nearedge.delivery import evidence_attached
from nearedge.delivery.access import Access
from nearedge.delivery.gitops import image_record
from nearedge.delivery.reference import parse
from nearedge.delivery.store import open_store
from nearedge.errors import InputError
from nearedge.release.record import Record

URL, DIGEST = "IMAGE_URL", "IMAGE_DIGEST"
WORKSPACE, FOLDER = "release", "report"
REPORT = "report.html"
MOST = 64
"""Records that are kept; an image's never changes."""


@dataclass
class Records:
    """Reads records from registries; its methods are for threads."""

    access: Access
    known: OrderedDict[str, Record] = field(default_factory=OrderedDict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def of(self, run: Run) -> Record:
        """The record of the image that a run made. Raises ProblemError 404, or OutsideError."""
        image = image_of(run)
        with self.lock:
            found = self.known.get(image)
        if found is None:
            try:
                reference = parse(image)
                found = image_record.read(open_store(reference, Path(), self.access), reference)
            except InputError as error:
                raise missing(f"run {run.name}: {error}") from error
            with self.lock:
                self.known[image] = found
                while len(self.known) > MOST:
                    self.known.popitem(last=False)
        return found

    def report(self, run: Run) -> bytes:
        """The report of the release that a run built, as HTML. Raises ProblemError 404, or OutsideError."""
        try:
            reference = parse(image_of(run))
            store = open_store(reference, Path(), self.access)
            return evidence_attached.report(store, store.resolve(reference.which))
        except InputError as error:
            raise missing(f"run {run.name}: {error}") from error


def image_of(run: Run) -> str:
    """The image that a run's results name. Raises ProblemError 404 where they name none."""
    url, digest = (str(run.results.get(name) or "") for name in (URL, DIGEST))
    if not url or not digest:
        raise missing(f"run {run.name}: has no release record: its results name no image ({URL}, {DIGEST})")
    return f"{url}@{digest}"


def no_report(item: Object) -> ProblemError:
    """What who asks for the report of a PipelineRun is told."""
    name = item["metadata"]["name"]
    spaces = {one.get("name"): one for one in (item.get("spec") or {}).get("workspaces") or []}
    space = spaces.get(WORKSPACE)
    if space is None:
        return missing(f"run {name}: has no report: it has no workspace {WORKSPACE}")
    claim = (space.get("persistentVolumeClaim") or {}).get("claimName")
    where = f"the volume claim {claim}" if claim else f"the volume of the run's workspace {WORKSPACE}"
    return missing(
        f"run {name}: its report is attached to no image; it lies in {where}, folder {FOLDER}: mount it in a pod"
    )

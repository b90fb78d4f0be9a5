"""The record as the ConfigMap holds it: whole where it fits, without its longest lists where it does not.

A ConfigMap holds 1 MiB, and what `kubectl apply` and a GitOps agent's client-side apply keep of an object, as an
annotation of it, 256 KiB. Git and the image's referrer always hold the whole record.
"""

from nearedge.errors import InputError
from nearedge.release import record as records
from nearedge.release.record import Record

MOST_BYTES = 220_000
"""Of the record's text; quoted in an annotation it is a fifth longer than it is."""


def for_config_map(record: Record) -> str:
    """The text for the ConfigMap. Raises InputError where it is too long even without what can be left out."""
    text = records.dump(record)
    if fits(text):
        return text
    text = records.dump(thinned(record))
    if not fits(text):
        raise InputError(
            f"the record of {record.identity.name} {record.identity.version} has {len(text.encode())} bytes, and a "
            f"ConfigMap may hold {MOST_BYTES} of it; ship fewer golden samples or give tensors shorter names"
        )
    return text


def fits(text: str) -> bool:
    """Whether a ConfigMap can hold the text."""
    return len(text.encode()) <= MOST_BYTES


def thinned(record: Record) -> Record:
    """The record without histograms of latencies, trials of runtime configurations, candidates of precision, and what
    was said of each site.
    """
    evidence = record.evidence
    benchmark, optimization, image = evidence.benchmark, evidence.optimization, evidence.image
    if benchmark is not None:
        timings = [one.model_copy(update={"histogram": None}) for one in benchmark.timings]
        benchmark = benchmark.model_copy(update={"timings": timings, "trials": [], "sites": []})
    if optimization is not None:
        optimization = optimization.model_copy(update={"candidates": []})
    if image is not None:
        image = image.model_copy(update={"sites": []})
    kept = {"benchmark": benchmark, "optimization": optimization, "image": image}
    return record.model_copy(update={"evidence": evidence.model_copy(update=kept)})

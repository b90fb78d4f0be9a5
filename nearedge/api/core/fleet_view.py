"""Documents of releases, sites and the fleet, made of what git and Prometheus say."""

from collections.abc import Iterable, Mapping

from nearedge.api.core.release_models import (
    Condition,
    Counts,
    DesiredRelease,
    Model,
    ModelSummary,
    Placement,
    ReleaseSummary,
    RunningRelease,
)
from nearedge.api.core.site_health import NOTHING, Conditions, Key
from nearedge.api.kept import Seen, timestamp
from nearedge.api.problems import ProblemError, missing
from nearedge.delivery.gitops.fleet import BASE, ID_DIGITS
from nearedge.delivery.gitops.rollback import SHORTEST
from nearedge.delivery.gitops.timeline import Desired, Known, Timeline

TIME_DIGITS, LATEST = 12, 10**12 - 1
"""A commit's time is held below LATEST, so that all have as many digits."""
RETRY_S = "3"


def known(seen: Seen[Timeline]) -> Timeline:
    """What git says. Raises ProblemError 503 where nothing is known yet."""
    if seen.value is None:
        raise ProblemError(503, f"the GitOps repository: {seen.problem}", {"Retry-After": RETRY_S})
    return seen.value


def id_of(digest: str) -> str | None:
    """A release's id, None without a digest."""
    return digest.rpartition(":")[2][:ID_DIGITS] or None


def releases_of(now: Timeline, model: str) -> dict[str, Known]:
    """The releases of a model by digest. Raises ProblemError 404 for no such model."""
    if model not in now.releases and not now.of_model(model):
        raise missing(f"model {model!r}: there is none in the GitOps repository")
    return dict(now.releases.get(model, {}))


def sort_key(release: Known) -> str:
    """What sorts the newest release first."""
    return f"{LATEST - min(max(release.when, 0), LATEST):0{TIME_DIGITS}d}{release.digest}"


def find(now: Timeline, model: str, text: str) -> Known:
    """The release that an id, a digest or its start, or a version names, the newest. Raises ProblemError 404."""
    some = sorted(releases_of(now, model).values(), key=sort_key)
    digits = text.removeprefix("sha256:")
    for one in some:
        if len(digits) >= SHORTEST and one.digest.rpartition(":")[2].startswith(digits):
            return one
    for one in some:
        if one.version == text:
            return one
    raise missing(f"model {model!r}: the branch holds and held no release {text!r}")


def at_release(now: Timeline, model: str) -> dict[str, int]:
    """How many sites shall run each release of a model, by digest."""
    found: dict[str, int] = {}
    for (_, name), desired in now.sites.items():
        if name == model:
            found[desired.digest] = found.get(desired.digest, 0) + 1
    return found


def summary(release: Known, sites: int) -> ReleaseSummary:
    """A release in a list."""
    return ReleaseSummary(
        id=release.id, model=release.model, version=release.version, precision=release.precision,
        profile=release.profile, image=release.image, digest=release.digest, size_bytes=release.size_bytes,
        commit=release.commit, when=timestamp(release.when), figures=dict(release.figures), sites=sites,
    )  # fmt: skip


def model_summary(now: Timeline, name: str, sites: int) -> ModelSummary:
    """A model in a list."""
    newest = now.folders.get((name, BASE), "")
    release = now.releases.get(name, {}).get(newest)
    return ModelSummary(
        name=name, releases=len(now.releases.get(name, {})), newest=id_of(newest),
        version=release.version if release else None, sites=sites,
    )  # fmt: skip


def model_document(name: str, newest: str, sites: Mapping[str, str]) -> Model:
    """A model by the digests of its newest release and of what each site shall run."""
    return Model(name=name, newest=id_of(newest), sites={site: id_of(digest) for site, digest in sorted(sites.items())})


def differs(desired: Desired, running: Iterable[str]) -> bool | None:
    """Whether a site runs anything else than git says; None where one of them is not known."""
    digests = [digest for digest in running if digest]
    if not desired.digest or not digests:
        return None
    return any(digest != desired.digest for digest in digests)


def state(desired: Desired, key: Key, conditions: Conditions | None) -> tuple[bool | None, bool | None]:
    """Whether it differs, and whether it is ready."""
    there = (conditions or {}).get(key, NOTHING)
    ready = there.figures.get("ready")
    return differs(desired, (one.digest for one in there.running)), None if ready is None else ready > 0


def counts(rows: Iterable[tuple[bool | None, bool | None]]) -> Counts:
    """Of the states of models at sites."""
    total = differing = unknown = not_ready = 0
    for other, ready in rows:
        total += 1
        differing += other is True
        unknown += other is None
        not_ready += ready is False
    return Counts(total=total, differing=differing, unknown=unknown, not_ready=not_ready)


def placement(now: Timeline, key: Key, desired: Desired, conditions: Conditions | None) -> Placement:
    """A model at a site."""
    site, model = key
    there = (conditions or {}).get(key, NOTHING)
    release = now.releases.get(model, {}).get(desired.digest)
    other, ready = state(desired, key, conditions)
    p99 = there.figures.get("p99_s")
    return Placement(
        site=site,
        model=model,
        desired=DesiredRelease(
            id=id_of(desired.digest),
            version=release.version if release else None,
            digest=desired.digest or None,
            commit=desired.commit,
            since=None if desired.since is None else timestamp(desired.since),
        ),
        running=[
            RunningRelease(
                id=id_of(one.digest),
                version=one.version,
                digest=one.digest,
                since=None if one.since is None else timestamp(one.since),
            )
            for one in there.running
        ],
        differs=other,
        condition=Condition(
            ready=ready,
            available_1h=there.figures.get("available_1h"),
            available_30d=there.figures.get("available_30d"),
            p99_ms=None if p99 is None else p99 * 1000,
            memory_bytes=there.figures.get("memory_bytes"),
        ),
    )

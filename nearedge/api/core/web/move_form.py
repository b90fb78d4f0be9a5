"""The form that moves sites to a release: which sites there are, what each runs, and what was chosen."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from nearedge.api.core import fleet_view as view
from nearedge.api.core import moves
from nearedge.api.core.moves import Move
from nearedge.api.core.release_models import Model, Placement, Promote, Rollback
from nearedge.api.core.site_health import Conditions
from nearedge.api.problems import ProblemError
from nearedge.delivery.gitops.rollback import PREVIOUS
from nearedge.delivery.gitops.timeline import Timeline

MOST_SITES = 400
"""Sites of a page; with more, a filter finds the others."""


@dataclass(frozen=True)
class Verb:
    """One of the two things that can be done; `make` gives the Move of (model, release, sites, dry run, plan)."""

    name: str
    title: str
    means: str
    make: Callable[[str, str, Sequence[str], bool, str], Move]


@dataclass(frozen=True)
class Choice:
    """What somebody chose: the release, and the sites."""

    to: str
    sites: Sequence[str]


@dataclass(frozen=True)
class Row:
    """A site of the form."""

    placement: Placement
    ticked: bool


@dataclass(frozen=True)
class SiteRows:
    """The sites that are shown, of `total` that the filter `words` lets through, of `all` that run the model."""

    rows: Sequence[Row]
    total: int
    all: int
    words: str


def promotion(model: str, to: str, sites: Sequence[str], dry_run: bool, plan: str) -> Move:
    """A promotion; its document checks what was sent."""
    wanted = Promote(release=to, sites=list(sites), dry_run=dry_run, plan=plan)
    return moves.of_promotion(model, wanted, whatever)


def rollback(model: str, to: str, sites: Sequence[str], dry_run: bool, plan: str) -> Move:
    """A rollback; its document checks what was sent."""
    wanted = Rollback(to=to, sites=list(sites), dry_run=dry_run, plan=plan)
    return moves.of_rollback(model, wanted, whatever)


def whatever(_: Model) -> None:
    """A page's move is bound to the plan of its dry run, which says more than the state of the model."""


PROMOTE = Verb(
    "promote", "Promote", "Sites that run the model already are moved to a release, by one commit.", promotion
)
ROLLBACK = Verb(
    "rollback", "Roll back", "Sites are set back by one commit on top: nothing that was committed is lost.", rollback
)


def asked(verb: Verb, model: str, choice: Choice, *, dry_run: bool, plan: str = "") -> Move:
    """What the form asks for. Raises ProblemError 422 for a form that is not filled in, or with what is none."""
    if not choice.sites:
        raise ProblemError(422, "choose at least one site")
    if not choice.to:
        raise ProblemError(422, "choose a release")
    try:
        return verb.make(model, choice.to, choice.sites, dry_run, plan)
    except ValidationError as error:
        fault = error.errors()[0]
        raise ProblemError(422, f"{fault['loc'][0]}: {fault['msg']}") from error


def first_choice(verb: Verb, now: Timeline, model: str, choice: Choice) -> Choice:
    """The choice with what is meant where nothing was: the newest release, or what each site ran before."""
    if choice.to:
        return choice
    newest = view.model_summary(now, model, 0).newest or ""
    return Choice(newest if verb is PROMOTE else PREVIOUS, choice.sites)


def rows(
    now: Timeline, model: str, conditions: Conditions | None, choice: Choice, words: str = "", tick: str = ""
) -> SiteRows:
    """The sites that run the model, those that are chosen first where not all can be shown.

    `tick` all: those that are shown are ticked.
    """
    every = now.of_model(model)
    chosen = set(choice.sites)
    found = [site for site in every if site in chosen or all(word in site for word in words.lower().split())]
    shown = sorted(sorted(found, key=lambda site: (site not in chosen, site))[:MOST_SITES])
    made = [
        Row(view.placement(now, (site, model), every[site], conditions), tick == "all" or site in chosen)
        for site in shown
    ]
    return SiteRows(made, len(found), len(every), words)

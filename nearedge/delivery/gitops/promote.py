"""Moves sites to a release that the branch holds or held, as `rollback` does, and says in git that it was meant so."""

from dataclasses import dataclass, replace
from pathlib import Path

from nearedge.delivery.git import Git
from nearedge.delivery.gitops.publish import Change
from nearedge.delivery.gitops.rollback import Rollback, moves, versions


@dataclass
class Promotion:
    """A plan for `publish.landed`. `move` says which sites move, and why others stay.

    Its commit has no trailer of a rollback: `previous` leads back from it, to what each site ran before.
    """

    move: Rollback

    def __call__(self, client: Git, at: Path) -> Change:
        """What changes; raises what the rollback raises."""
        change = self.move(client, at)
        name, steps = self.move.asked.name, self.move.steps
        head = f"Promote {name} {versions(steps)} to {', '.join(sorted(steps))}"
        return replace(change, message="\n".join([head, "", *moves(steps)]) + "\n")

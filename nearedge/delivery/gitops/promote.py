"""Moves sites to a release that the branch holds or held, as `rollback` does, and says in git that it was meant so."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from nearedge.delivery.git import Git
from nearedge.delivery.gitops import message
from nearedge.delivery.gitops.publish import Change, named
from nearedge.delivery.gitops.rollback import Rollback, Step


@dataclass
class Promotion:
    """A plan for `publish.landed`. `move` says which sites move, and why others stay.

    Its commit has no trailer of a rollback: `previous` leads back from it, to what each site ran before.
    """

    move: Rollback

    def __call__(self, client: Git, at: Path) -> Change:
        """What changes; raises what the rollback raises."""
        change = self.move(client, at)
        return replace(change, message=text(self.move.asked.name, self.move.steps))


def text(name: str, steps: Mapping[str, Step]) -> str:
    """The commit's message: which site goes from where to where, and the figures of both."""
    reached = {step.reached.digest: step for step in steps.values()}
    versions = ", ".join(sorted({named(step.reached.record) for step in reached.values()}))
    lines = [f"Promote {name} {versions} to {', '.join(sorted(steps))}", ""]
    for site, step in sorted(steps.items()):
        lines.append(f"- {site}: {named(step.left.record if step.left else None)} -> {named(step.reached.record)}")
    for _, step in sorted(reached.items()):
        left = step.left.record if step.left else None
        lines += ["", f"{named(step.reached.record)}, measured when it was released:", ""]
        lines += message.figure_lines(step.reached.record, left)
    return "\n".join(lines) + "\n"

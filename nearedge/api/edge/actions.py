"""What a person may do at a site without Kubernetes; each is written down with who did it and how it ended."""

from collections.abc import Sequence
from functools import partial
from urllib.parse import quote

import anyio

from nearedge.api.edge.audited import Audit
from nearedge.api.edge.desired import Desired, Mirror
from nearedge.api.edge.documents import Action, RolledBack, SelfTestResult
from nearedge.api.edge.held import Held
from nearedge.api.edge.sampler import Sampler
from nearedge.api.edge.servers import Address, Talk, of_json
from nearedge.api.edge.settings import Settings
from nearedge.api.problems import ProblemError, missing
from nearedge.delivery.gitops import publish

SELF_TEST_PATIENCE = 20.0
"""Times our usual patience with a server: it computes each golden sample."""


class Actions:
    """The part of a site that changes things."""

    def __init__(
        self, settings: Settings, sampler: Sampler, talk: Talk, mirror: Mirror | None, git: Held[Desired] | None
    ) -> None:
        """What the site is made of."""
        self.settings, self.sampler, self.talk, self.mirror, self.git = settings, sampler, talk, mirror, git
        self.written = Audit(settings.folder)

    async def audit(self) -> Sequence[Action]:
        """What was done here, the newest first."""
        return await self.written.lines()

    async def self_test(self, name: str, who: str) -> SelfTestResult:
        """Have its server repeat the golden samples. Raises ProblemError 404, 409 where it cannot, OutsideError."""
        await self.sampler.fresh()
        seen = self.sampler.known.get(name)
        if seen is None:
            raise missing(f"no model {name[:100]!r} is served here")
        address = self.sampler.at.get(seen.url, Address(seen.url))

        async def act() -> SelfTestResult:
            path = f"/v2/models/{quote(name, safe='')}/self-test"
            answer = await self.talk.get(address, path, slow=SELF_TEST_PATIENCE)
            document = of_json(answer, address, (200, 404, 503))
            if "passed" not in document:
                raise ProblemError(409, str(document.get("error", "the server ran no self-test"))[:300])
            passed = document["passed"]
            return SelfTestResult(passed=passed if isinstance(passed, bool) else None, result=document)

        return await self.written.done(who, "self-test", name, act, told_of_test)

    async def roll_back(self, name: str, to: str, who: str) -> RolledBack:
        """Have git say that the site goes back. Raises ProblemError 409 without git, and what publishing raises."""
        mirror = self.mirror
        if mirror is None:
            raise ProblemError(409, "no git repository is configured; start with --git-url")
        author = publish.Author(who, f"edge-api@{self.settings.site}")

        async def act() -> RolledBack:
            done, plan = await anyio.to_thread.run_sync(partial(mirror.roll_back, name, to, author))
            if self.git is not None:
                self.git.forget()
            step = plan.steps.get(self.settings.site)
            return RolledBack(
                commit=done.commit, changed=done.changed, left=step.left.digest if step and step.left else None,
                to=step.reached.digest if step else None, reason=plan.stay.get(self.settings.site, ""),
            )  # fmt: skip

        return await self.written.done(who, f"roll back to {to}", name, act, told_of_rollback)


def told_of_test(result: SelfTestResult) -> str:
    """A line for the audit log."""
    return {True: "passed", False: "failed", None: "the model has no golden samples"}[result.passed]


def told_of_rollback(result: RolledBack) -> str:
    """A line for the audit log."""
    return f"{result.left} -> {result.to} in {result.commit}" if result.changed else f"stays: {result.reason}"

"""What a person may do at a site without Kubernetes; each is written down with who did it and how it ended."""

import time
from collections.abc import Sequence
from functools import partial
from urllib.parse import quote

import anyio

from nearedge.api.edge import log_control
from nearedge.api.edge.audited import Audit
from nearedge.api.edge.control import Control, NoControl
from nearedge.api.edge.desired import Desired, Mirror
from nearedge.api.edge.documents import Action
from nearedge.api.edge.held import Held
from nearedge.api.edge.manage_documents import Level, LogLevel, PrePull, RolledBack, SelfTestResult, Sync
from nearedge.api.edge.memory import Seen
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
        """What the site is made of. On a cluster `control` is put in place of ours."""
        self.settings, self.sampler, self.talk, self.mirror, self.git = settings, sampler, talk, mirror, git
        self.written = Audit(settings.folder)
        self.control: Control = NoControl()

    async def audit(self) -> Sequence[Action]:
        """What was done here, the newest first."""
        return await self.written.lines()

    async def served(self, name: str) -> Seen:
        """What is known of a model. Raises ProblemError 404."""
        await self.sampler.fresh()
        found = self.sampler.known.get(name)
        if found is None:
            raise missing(f"no model {name[:100]!r} is served here; GET /api/v1/models lists them")
        return found

    def address_of(self, seen: Seen) -> Address:
        """Where a model is served."""
        return self.sampler.at.get(seen.url, Address(seen.url))

    def neighbours(self, seen: Seen) -> list[str]:
        """The models of the same server, by name."""
        return sorted(name for name, one in self.sampler.known.items() if one.url == seen.url)

    async def self_test(self, name: str, who: str) -> SelfTestResult:
        """Have its server repeat the golden samples. Raises ProblemError 404, 409 where it cannot, OutsideError."""
        address = self.address_of(await self.served(name))

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

    async def sync(self, name: str) -> Sync:
        """How the site follows git with it."""
        await self.served(name)
        return await self.control.sync(name)

    async def pause(self, name: str, who: str) -> Sync:
        """Follow git no more by itself."""
        await self.served(name)
        return await self.written.done(who, "pause sync", name, lambda: self.control.pause(name, who), told_of_sync)

    async def resume(self, name: str, who: str) -> Sync:
        """Follow git by itself again."""
        await self.served(name)
        return await self.written.done(who, "resume sync", name, lambda: self.control.resume(name, who), told_of_sync)

    async def sync_now(self, name: str, who: str) -> Sync:
        """Begin to put into the site what git says now."""
        await self.served(name)
        return await self.written.done(who, "sync", name, lambda: self.control.sync_now(name, who), told_of_sync)

    async def pre_pulled(self, name: str) -> PrePull:
        """How the newest pre-pull stands."""
        await self.served(name)
        return await self.control.pre_pulled(name)

    async def pre_pull(self, name: str, digest: str | None, who: str) -> PrePull:
        """Begin to bring an image to the site."""
        await self.served(name)
        what = f"pre-pull {digest or 'the next image'}"
        return await self.written.done(who, what, name, lambda: self.control.pre_pull(name, digest, who), told_of_pull)

    async def log_level(self, name: str) -> LogLevel:
        """What its server logs."""
        seen = await self.served(name)
        return await log_control.read(self.talk, self.address_of(seen), name, self.neighbours(seen), time.time())

    async def set_log_level(self, name: str, level: Level, who: str) -> LogLevel:
        """Have its server log that. Raises ProblemError 404, 409 where it does not let us, OutsideError."""
        seen = await self.served(name)
        address, models = self.address_of(seen), self.neighbours(seen)

        async def act() -> LogLevel:
            return await log_control.write(self.talk, address, name, models, level, time.time())

        return await self.written.done(who, f"log level {level}", name, act, told_of_level)


def told_of_sync(result: Sync) -> str:
    """A line for the audit log."""
    how = "paused" if result.paused else "automated" if result.automated else "not automated"
    return f"{result.application}: {how}, at {result.revision}"


def told_of_pull(result: PrePull) -> str:
    """A line for the audit log."""
    return f"{result.image}: {result.state}"


def told_of_level(result: LogLevel) -> str:
    """A line for the audit log."""
    return f"{result.level}, until the server of {', '.join(result.models)} ends"


def told_of_test(result: SelfTestResult) -> str:
    """A line for the audit log."""
    return {True: "passed", False: "failed", None: "the model has no golden samples"}[result.passed]


def told_of_rollback(result: RolledBack) -> str:
    """A line for the audit log."""
    return f"{result.left} -> {result.to} in {result.commit}" if result.changed else f"stays: {result.reason}"

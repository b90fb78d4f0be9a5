"""The branch to commit to, and who commits."""

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from nearedge.delivery import git
from nearedge.delivery.git import Git, without_credentials
from nearedge.delivery.gitops.deployed import remote
from nearedge.errors import UsageError


@dataclass(frozen=True)
class Author:
    """Who commits."""

    name: str
    email: str

    def check(self) -> None:
        """Raise UsageError where git would not commit in this name."""
        if not self.name.strip() or not self.email.strip():
            raise UsageError("author-name and author-email: both are needed for a commit; give them")


@dataclass(frozen=True)
class Target:
    """The repository and its branch."""

    url: str
    branch: str

    @property
    def shown(self) -> str:
        """The target for a message."""
        return f"{without_credentials(self.url)}, branch {self.branch}"


def target_of(git_url: str, branch: str, workspace: Path | None) -> Target:
    """The target that the options name; an empty `git_url` is the bare repository in the workspace.

    Raises UsageError where neither is given, or the address is none.
    """
    if git_url.startswith("-"):
        raise UsageError(f"git-url {git_url!r}: is no address of a repository")
    if not git_url and workspace is None:
        raise UsageError("git-url: none given, and no workspace that holds a repository; give one")
    return Target(remote(git_url, (workspace or Path()).resolve()), branch)


def create_local(path: Path, branch: str) -> None:
    """Make the bare repository `path` by rename, unless it is there; two at once end with one."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    try:
        with git.session(git.Access()) as client:
            check_branch(client, branch, building)
            client.run("init", "--quiet", "--bare", f"--initial-branch={branch}", at=building)
        building.chmod(0o755)
        building.rename(path)
    except OSError:
        if not path.exists():
            raise
    finally:
        shutil.rmtree(building, ignore_errors=True)


def check_branch(client: Git, branch: str, at: Path) -> None:
    """Raise UsageError where git would not take the name."""
    try:
        client.run("check-ref-format", f"refs/heads/{branch}", at=at)
        if branch.startswith("-"):
            raise UsageError(f"git-branch {branch!r}: a branch's name cannot begin with '-'")
    except git.RefusedError as error:
        raise UsageError(f"git-branch {branch!r}: is no name of a branch") from error

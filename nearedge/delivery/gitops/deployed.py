"""What a GitOps repository says is deployed: the release record of a model on a branch."""

from pathlib import Path

from nearedge.delivery import git
from nearedge.delivery.git import Git, without_credentials
from nearedge.errors import NearedgeError, OutsideError
from nearedge.files import write_text
from nearedge.release import record

LOCAL = "gitops.git"
"""The bare repository in the workspace, used where no URL is given."""

ADVICE = {
    ("Host key verification failed",): "ask who runs it for its new key and put that into known_hosts of ssh-directory",
    ("The requested URL returned error: 403", "denied to"): "the login may not do that; give a token that may write",
    ("Authentication failed", "could not read Username"): "check the login in basic-auth",
    (
        "GH006",
        "rotected branch",
        "hook declined",
    ): "the branch is protected; publish by a pull request or to another one",
}
"""What to do, by words of git and of the services that refuse."""


def record_path(name: str) -> str:
    """Where the record of the model `name` lies in a GitOps repository."""
    return f"models/{name}/base/release.json"


def remote(git_url: str, workspace: Path) -> str:
    """The repository to use: `git_url`, or the one in the workspace where that is empty. Paths become absolute."""
    if ":" in git_url:  # a URL, or ssh's short form host:path
        return git_url
    return str((Path(git_url) if git_url else workspace / LOCAL).absolute())


def fetch_branch(client: Git, url: str, branch: str, at: Path) -> bool:
    """Fetch the newest commit of `branch` to FETCH_HEAD of the repository `at`; False where there is no such branch.

    Raises OutsideError where the repository is not there or refuses.
    """
    try:
        client.run("fetch", "--quiet", "--depth=1", "--no-tags", "--", url, f"refs/heads/{branch}", at=at)
    except git.RefusedError as error:
        if "find remote ref" in error.output:
            return False
        raise OutsideError(f"{without_credentials(url)}: {error}{how_to_make(url)}{advice(error)}") from error
    return True


def advice(error: git.RefusedError) -> str:
    """What to do about a refusal, after a semicolon; empty where git's own words have to do."""
    for words, text in ADVICE.items():
        if any(word in error.output for word in words):
            return f"; {text}"
    return ""


def how_to_make(url: str) -> str:
    """What to do where a local repository is not there."""
    path = Path(url.removeprefix("file://"))
    if path.is_absolute() and not path.exists():
        return f"; `git init --bare {path}` makes one"
    return ""


def fetch(client: Git, url: str, branch: str, at: Path) -> bool:
    """Fetch the newest commit of `branch` into the empty folder `at`; False where there is no such branch."""
    client.run("init", "--quiet", "--bare", at=at)
    return fetch_branch(client, url, branch, at)


def record_text(client: Git, name: str, at: Path) -> str | None:
    """The text of the deployed record in what `fetch` brought to `at`, None where it is not there."""
    if not client.run("ls-tree", "FETCH_HEAD", "--", record_path(name), at=at).strip():
        return None
    return client.run("show", f"FETCH_HEAD:{record_path(name)}", at=at)


def keep_previous(text: str | None, path: Path, url: str) -> None:
    """Write the deployed record to `path`, or see that nothing is there. Raises where it cannot be read."""
    path.unlink(missing_ok=True)
    if text is None:
        return
    write_text(path, text)
    try:
        record.read(path)
    except NearedgeError as error:
        path.unlink()
        raise type(error)(f"the record in {without_credentials(url)}: {error}") from error

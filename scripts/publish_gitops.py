"""`nearedge publish-gitops`: commit a rendered release to the GitOps repository."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from nearedge.delivery import git
from nearedge.delivery.git import without_credentials
from nearedge.delivery.gitops import deployed, publish
from nearedge.delivery.gitops.message import message
from nearedge.errors import UsageError
from nearedge.program import add_results, guarded, new_parser, optional_path, write_results
from nearedge.progress import say

NAME = "publish-gitops"
FOLDER = "gitops"


def parser() -> argparse.ArgumentParser:
    """The options of the program."""
    options = new_parser(NAME, "Commit a rendered release to the GitOps repository.")
    options.add_argument("--workspace", type=Path, required=True, help="folder of the release")
    options.add_argument("--git-url", default="", help="GitOps repository; empty: gitops.git in the workspace")
    options.add_argument("--git-branch", default="main", help="branch to commit to")
    options.add_argument("--author-name", default="nearedge", help="author and committer")
    options.add_argument("--author-email", default="nearedge@localhost", help="address of the author")
    options.add_argument("--ca-bundle", type=optional_path, help="folder with ca-bundle.crt")
    options.add_argument("--basic-auth", type=optional_path, help="folder with .gitconfig and .git-credentials")
    options.add_argument("--ssh-directory", type=optional_path, help="folder with known_hosts and a private key")
    add_results(
        options,
        commit="commit of the branch that holds the release",
        changed="true where a commit was made, false where the repository said all of it already",
        sites_moved="the sites that run another release now, as a JSON list",
    )
    return options


def run(
    workspace: Path, git_url: str, branch: str, author: publish.Author, access: git.Access | None = None
) -> publish.Published:
    """Publish `workspace/gitops`; an empty `git_url` is the bare repository in the workspace, made where needed.

    Raises InputError, UsageError or OutsideError; nothing was pushed then.
    """
    release = publish.rendered(workspace / FOLDER)
    if not author.name.strip() or not author.email.strip():
        raise UsageError("author-name and author-email: both are needed for a commit; give them")
    if git_url.startswith("-"):
        raise UsageError(f"git-url {git_url!r}: is no address of a repository")
    url = deployed.remote(git_url, workspace.resolve())
    if not git_url:
        publish.create_local(Path(url), branch)
    with git.session(access or git.Access()) as client:
        done = publish.publish(client, publish.Target(url, branch), release, author, message)
    where = f"{without_credentials(url)}, branch {branch}"
    if done.changed:
        say(f"commit {done.commit[:12]} in {where}; sites that move: {', '.join(done.sites) or 'none'}")
    else:
        say(f"nothing to commit: {where} says all of it already, at {done.commit[:12]}")
    return done


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; the exit status."""
    options = parser().parse_args(argv)

    def action() -> None:
        author = publish.Author(options.author_name, options.author_email)
        access = git.Access(options.basic_auth, options.ssh_directory, options.ca_bundle)
        done = run(options.workspace, options.git_url, options.git_branch, author, access)
        write_results(
            options,
            commit=done.commit,
            changed="true" if done.changed else "false",
            sites_moved=json.dumps(done.sites),
        )

    return guarded(NAME, action)


if __name__ == "__main__":
    sys.exit(main())

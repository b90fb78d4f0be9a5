"""`nearedge retire`: take a model, or all of a site, out of the GitOps repository."""

import argparse
import sys
from collections.abc import Sequence

from nearedge.delivery import git
from nearedge.delivery.gitops import publish
from nearedge.delivery.gitops.retire import Retire
from nearedge.errors import UsageError
from nearedge.program import guarded, new_parser, optional_path
from nearedge.progress import say

NAME = "retire"


def parser() -> argparse.ArgumentParser:
    """The options of the program."""
    options = new_parser(NAME, "Take a model from sites, or sites as a whole, out of the GitOps repository.")
    options.add_argument("--git-url", default="", help="GitOps repository; empty: gitops.git in the workspace")
    options.add_argument("--workspace", type=optional_path, help="folder with gitops.git, where --git-url is empty")
    options.add_argument("--git-branch", default="main", help="branch to commit to")
    options.add_argument(
        "--model", default="", help="the model to take out; not given: all of the sites that are named"
    )
    options.add_argument("--all", action="store_true", help="take the model from all sites, and its releases with it")
    options.add_argument("--author-name", default="nearedge", help="author and committer")
    options.add_argument("--author-email", default="nearedge@localhost", help="address of the author")
    options.add_argument("--ca-bundle", type=optional_path, metavar="DIR", help="folder that holds ca-bundle.crt")
    options.add_argument("--basic-auth", type=optional_path, help="folder with .gitconfig and .git-credentials")
    options.add_argument("--ssh-directory", type=optional_path, help="folder with known_hosts and a private key")
    options.add_argument("--signing-key", type=optional_path, help="folder with id_ed25519 or signing.asc")
    options.add_argument("sites", nargs="*", metavar="SITE", help="sites that it leaves")
    return options


def plan_of(model: str, sites: Sequence[str], *, everywhere: bool) -> Retire:
    """The plan for what was asked for. Raises UsageError unless it is a model at sites or at all, or sites."""
    for name in [*([model] if model else []), *sites]:
        if not name or "/" in name or name.startswith("."):
            raise UsageError(f"{name!r}: is no name of a model or site")
    if everywhere == bool(sites) or (everywhere and not model):
        raise UsageError("give --model and sites, --model and --all, or sites alone to take out all that they run")
    return Retire(model, sites)


def run(target: publish.Target, author: publish.Author, access: git.Access, plan: Retire) -> publish.Published:
    """Take it out, by a commit. Raises InputError, UsageError or OutsideError; nothing was pushed then."""
    author.check()
    with git.session(access) as client:
        done = publish.landed(client, target, author, plan, begin=False)
    say(f"commit {done.commit[:12]} in {target.shown}; gone: {', '.join(plan.gone) or 'files that are no model'}")
    return done


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; the exit status."""
    given = parser().parse_args(argv)

    def action() -> None:
        plan = plan_of(given.model, given.sites, everywhere=given.all)
        target = publish.target_of(given.git_url, given.git_branch, given.workspace)
        author = publish.Author(given.author_name, given.author_email)
        run(target, author, git.Access(given.basic_auth, given.ssh_directory, given.ca_bundle, given.signing_key), plan)

    return guarded(NAME, action)


if __name__ == "__main__":
    sys.exit(main())

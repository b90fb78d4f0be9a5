"""`nearedge publish-gitops`: commit a rendered release to the GitOps repository."""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from nearedge.delivery import access as registry
from nearedge.delivery import budget, git
from nearedge.delivery.forges.pull_request import FORGES, NONE, Choice
from nearedge.delivery.forges.review import Asked, Review, ask
from nearedge.delivery.gitops import publish
from nearedge.delivery.gitops.message import message
from nearedge.program import add_results, boolean, guarded, new_parser, optional_path, write_results
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
    options.add_argument("--signing-key", type=optional_path, help="folder with id_ed25519 or signing.asc")
    add_review(options)
    add_results(
        options,
        commit="commit of the branch that holds the release",
        changed="true where a commit was made, false where the repository said all of it already",
        sites_moved="the sites that run another release now, as a JSON list",
        pull_request_url="address of the open request, empty where there is none",
        pull_request_number="number of the open request, empty where there is none",
    )
    return options


def add_review(options: argparse.ArgumentParser) -> None:
    """The options of a pull request."""
    group = options.add_argument_group("pull request")
    group.add_argument("--pull-request", default=NONE, choices=[NONE, *FORGES], help="the forge; Forgejo: gitea")
    group.add_argument("--api-url", default="", help="the forge's API; empty: from git-url")
    group.add_argument("--source-branch", default="", help="branch to push to; empty: nearedge/MODEL/SITES")
    group.add_argument("--report-url", default="", help="where the report can be read; empty: its summary is shown")
    group.add_argument("--forge-token", type=optional_path, help="folder with the file token")
    group.add_argument("--dockerconfig", type=optional_path, help="folder with config.json, to read the last SBOM")
    group.add_argument("--plain-http", type=boolean, default=False, help="true: the registry speaks plain http")


def review_of(options: argparse.Namespace) -> Review | None:
    """What the options say of a pull request, None where none is wanted."""
    if options.pull_request == NONE:
        return None
    choice = Choice(options.pull_request, options.api_url, options.forge_token, options.ca_bundle)
    access = registry.Access(options.ca_bundle, options.dockerconfig, options.plain_http)
    return Review(choice, options.source_branch, options.report_url, access)


def run(
    workspace: Path,
    git_url: str,
    branch: str,
    author: publish.Author,
    access: git.Access | None = None,
    review: Review | None = None,
) -> publish.Published | Asked:
    """Publish `workspace/gitops`; an empty `git_url` is the bare repository in the workspace, made where needed.

    With `review` the branch stays as it is, and a pull request asks for the change. Raises InputError, UsageError or
    OutsideError; nothing was pushed then.
    """
    release = publish.rendered(workspace / FOLDER)
    author.check()
    target = publish.target_of(git_url, branch, workspace)
    transfer = budget.known(workspace, release.record)
    if review is not None:
        review = replace(review, transfer=transfer)
        with git.session(access or git.Access()) as client:
            asked = ask(client, target, release, author, review, workspace.resolve())
        say(outcome(asked, target))
        return asked
    if not git_url:
        publish.create_local(Path(target.url), branch)
    with git.session(access or git.Access()) as client:
        done = publish.publish(client, target, release, author, partial(message, transfer=transfer))
    if done.changed:
        say(f"commit {done.commit[:12]} in {target.shown}; sites that move: {', '.join(done.sites) or 'none'}")
    else:
        say(f"nothing to commit: {target.shown} says all of it already, at {done.commit[:12]}")
    return done


def outcome(asked: Asked, target: publish.Target) -> str:
    """What a pull request came to, in one line."""
    proposed = asked.proposed
    if asked.opened is None:
        return f"nothing to ask for: {target.shown} says all of it already, at {proposed.commit[:12]}"
    commit = f"{'new ' if proposed.changed else ''}commit {proposed.commit[:12]} on {asked.branch}"
    return f"{commit}; pull request {asked.opened.number} {asked.opened.outcome}: {asked.opened.url}"


def results_of(done: publish.Published | Asked) -> dict[str, str]:
    """The results by name."""
    made = done if isinstance(done, publish.Published) else done.proposed
    opened = None if isinstance(done, publish.Published) else done.opened
    return {
        "commit": made.commit,
        "changed": "true" if made.changed else "false",
        "sites_moved": json.dumps(made.sites),
        "pull_request_url": opened.url if opened else "",
        "pull_request_number": str(opened.number) if opened else "",
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; the exit status."""
    options = parser().parse_args(argv)

    def action() -> None:
        author = publish.Author(options.author_name, options.author_email)
        access = git.Access(options.basic_auth, options.ssh_directory, options.ca_bundle, options.signing_key)
        done = run(options.workspace, options.git_url, options.git_branch, author, access, review_of(options))
        write_results(options, **results_of(done))

    return guarded(NAME, action)


if __name__ == "__main__":
    sys.exit(main())

"""`nearedge rollback-model`: set sites back to an earlier release, by a new commit in the GitOps repository."""

import argparse
import json
import sys
from collections.abc import Sequence

from nearedge.delivery import git
from nearedge.delivery.access import Access
from nearedge.delivery.gitops import publish
from nearedge.delivery.gitops.image_check import image_check, unchecked
from nearedge.delivery.gitops.rollback import PREVIOUS, Asked, Check, Rollback
from nearedge.errors import UsageError
from nearedge.program import add_results, boolean, guarded, new_parser, optional_path, write_results
from nearedge.progress import say

NAME = "rollback-model"
Rolled = tuple[publish.Published, Rollback]
"""What was committed, and the plan that says which sites moved and which stay."""


def parser() -> argparse.ArgumentParser:
    """The options of the program."""
    options = new_parser(NAME, "Set sites back to an earlier release, by a new commit in the GitOps repository.")
    options.add_argument("--workspace", type=optional_path, help="folder with gitops.git, where --git-url is empty")
    options.add_argument("--model", required=True, help="name of the model")
    options.add_argument(
        "--to", default=PREVIOUS, help="previous, or a commit, an image's digest or its first digits, or a version"
    )
    options.add_argument("--git-url", default="", help="GitOps repository, or a site's mirror of it")
    options.add_argument("--git-branch", default="main", help="branch to commit to")
    options.add_argument("--author-name", default="nearedge", help="author and committer")
    options.add_argument("--author-email", default="nearedge@localhost", help="address of the author")
    options.add_argument("--check-image", type=boolean, default=True, help="false: do not ask the registry first")
    options.add_argument(
        "--registry", default="", metavar="HOST[/PATH]", help="the sites' registry; {site} in it is each site's name"
    )
    options.add_argument("--plain-http", type=boolean, default=False, help="true: speak plain http to the registry")
    options.add_argument("--ca-bundle", type=optional_path, metavar="DIR", help="folder that holds ca-bundle.crt")
    options.add_argument("--dockerconfig", type=optional_path, metavar="DIR", help="folder that holds config.json")
    options.add_argument("--basic-auth", type=optional_path, help="folder with .gitconfig and .git-credentials")
    options.add_argument("--ssh-directory", type=optional_path, help="folder with known_hosts and a private key")
    options.add_argument("--signing-key", type=optional_path, help="folder with id_ed25519 or signing.asc")
    options.add_argument("sites", nargs="*", metavar="SITE", help="sites to set back, after --; none: all that run it")
    add_results(
        options,
        commit="commit of the branch that says it",
        changed="true where a commit was made, false where the sites run it already",
        sites_moved="the sites that run another release now, as a JSON list",
        from_digests="the image digests that they leave, as a JSON list in the order of sites-moved",
        to_digests="the image digests that they come to",
    )
    return options


def run(target: publish.Target, asked: Asked, author: publish.Author, access: git.Access, check: Check) -> Rolled:
    """Set the sites back; what was done. Raises InputError, UsageError or OutsideError; nothing was pushed then."""
    if not asked.name or "/" in asked.name or asked.name.startswith("."):
        raise UsageError(f"model {asked.name!r}: is no name of a model")
    author.check()
    plan = Rollback(target, asked, check)
    with git.session(access) as client:
        done = publish.landed(client, target, author, plan, begin=False)
    for site, why in sorted(plan.stay.items()):
        say(f"{site}: {why}")
    for site, step in sorted(plan.steps.items()):
        left = publish.named(step.left.record if step.left else None)
        say(f"{site}: {left} -> {publish.named(step.reached.record)}")
    say(f"commit {done.commit[:12]} in {target.shown}" if done.changed else f"nothing to commit in {target.shown}")
    return done, plan


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; the exit status."""
    given = parser().parse_args(argv)

    def action() -> None:
        target = publish.target_of(given.git_url, given.git_branch, given.workspace)
        check = image_check(given.registry, Access(given.ca_bundle, given.dockerconfig, given.plain_http))
        done, plan = run(
            target,
            Asked(given.model, given.to, given.sites),
            publish.Author(given.author_name, given.author_email),
            git.Access(given.basic_auth, given.ssh_directory, given.ca_bundle, given.signing_key),
            check if given.check_image else unchecked,
        )
        steps = [plan.steps[site] for site in done.sites]
        write_results(
            given,
            commit=done.commit,
            changed="true" if done.changed else "false",
            sites_moved=json.dumps(done.sites),
            from_digests=json.dumps([step.left.digest if step.left else "" for step in steps]),
            to_digests=json.dumps([step.reached.digest for step in steps]),
        )

    return guarded(NAME, action)


if __name__ == "__main__":
    sys.exit(main())

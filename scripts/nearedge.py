"""The `nearedge` command line: one program, a subcommand for each Task and for what a person does on one machine."""

import importlib
import sys
from collections.abc import Sequence

from nearedge import __version__
from nearedge.errors import UsageError
from nearedge.program import EXIT_STATUSES

ON_ONE_MACHINE = {
    "init": "write a commented model.yaml from a model file",
    "run": "run a Pipeline or Task of the catalog, or manifests of your own, on this machine",
    "runs": "list the runs kept on this machine",
    "logs": "show the logs of a run",
    "api": "serve an API over HTTP: core (Pipelines, runs, releases) or edge (a site's models)",
    "serve": "serve the model of a serving image or a release folder on this machine",
    "check-site": "add up what manifests ask of a site, and hold it against its profile",
    "retire": "take a model, or all of a site, out of the GitOps repository",
    "prune-images": "list the images in a registry that no rollback needs any more",
}
STEPS = {
    "fetch-model": "fetch a model, its data and its description",
    "fetch-release": "fetch what is known of a release whose image exists",
    "convert-model": "convert it to OpenVINO IR",
    "verify-model": "prove that the IR predicts what the original predicts",
    "optimize-model": "choose the precision and runtime configuration to deploy",
    "benchmark-model": "measure it within the target's resources",
    "build-runtime-image": "build the runtime base from a Containerfile",
    "build-serving-image": "add the model to the serving image",
    "test-serving-image": "repeat the golden samples against the running image",
    "render-gitops": "write the manifests of the release",
    "publish-gitops": "commit them to the GitOps repository",
    "rollback-model": "set sites back to an earlier release",
    "mirror-image": "copy images from one registry to another over a thin link",
    "bundle-release": "pack a release into one file for a site with no network, or unpack it",
}


def usage() -> str:
    """The help text: every subcommand with what it does."""
    lines = ["usage: nearedge [--version] COMMAND [OPTION ...]", ""]
    for heading, commands in (("on one machine:", ON_ONE_MACHINE), ("what the Tasks run:", STEPS)):
        lines += [heading, *(f"  {name:20} {what}" for name, what in commands.items()), ""]
    return "\n".join([*lines, "nearedge COMMAND --help says more about each.", EXIT_STATUSES])


def main(argv: Sequence[str] | None = None) -> int:
    """Hand the arguments to the subcommand's own `main`; its modules are imported only then."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(usage())
        return 0 if arguments else UsageError.status
    if arguments[0] == "--version":
        print(f"nearedge {__version__}")
        return 0
    command = arguments[0]
    if command not in ON_ONE_MACHINE | STEPS:
        print(f"nearedge: no command {command!r}; `nearedge --help` lists them", file=sys.stderr)
        return UsageError.status
    module = importlib.import_module(f"scripts.{command.replace('-', '_')}")
    return int(module.main(arguments[1:]))


if __name__ == "__main__":
    sys.exit(main())

"""`nearedge fetch-model`: bring a model, its data and its description to the workspace of a release."""

import argparse
import hashlib
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from converters import companions, formats, own_code
from nearedge.delivery import access as registry
from nearedge.delivery import git
from nearedge.delivery.gitops import previous
from nearedge.delivery.sources import bucket, previous_model
from nearedge.delivery.sources.download import Client
from nearedge.delivery.sources.fetch import Collected, collect
from nearedge.delivery.sources.places import Access, locate
from nearedge.errors import InputError, UnsupportedError
from nearedge.files import new_directory
from nearedge.program import add_results, boolean, guarded, new_parser, optional_path, write_results
from nearedge.progress import say
from nearedge.release import record, sections
from nearedge.release.description import Description
from nearedge.release.profile import read as read_profile
from nearedge.release.sections import Format, SourceSection

NAME = "fetch-model"
MAX_BYTES = 4 << 30
SOURCE = "source"
OF_EARLIER_RUNS = ("ir", "golden", "report", "gitops", "previous", "fetched", sections.FOLDER)
"""Folders of the workspace that later Tasks fill; `image` and `gitops.git` outlive a run."""
STEP_IMAGES = ("core", "onnx", "pytorch", "tensorflow")


@dataclass(frozen=True)
class Expected:
    """What has to be so of the model that is fetched.

    `sha256`: of the model; empty: what model.yaml says. `required`: one of the two has to say it. `code`: whether
    Python of its own may run in the later Tasks. `frameworks`: whether it may need PyTorch or TensorFlow.
    """

    sha256: str = ""
    required: bool = False
    code: bool = False
    frameworks: bool = True


@dataclass(frozen=True)
class Deployed:
    """Which GitOps repository says what is deployed (empty: the workspace's own), and whether to bring its `model`."""

    url: str = ""
    branch: str = "main"
    model: bool = False


def parser() -> argparse.ArgumentParser:
    """The options of the program."""
    options = new_parser(NAME, "Bring a model, its data and its model.yaml to the workspace of a release.")
    options.add_argument("--workspace", type=Path, required=True, help="folder of the release")
    options.add_argument("--source", type=optional_path, help="folder that a model given as path is relative to")
    options.add_argument(
        "--model",
        default="model.yaml",
        help="model.yaml, or an archive that holds one: a path in the source folder, oci://registry/name@sha256:... "
        "(also a serving image), "
        "s3://bucket/key, git+https://...[@ref][#subpath] (also git+ssh, git+file), or an http(s) URL",
    )
    options.add_argument("--sha256", default="", help="what the model has to have; empty: what model.yaml says")
    options.add_argument("--require-sha256", type=boolean, default=False, help="refuse a model that has no such digest")
    options.add_argument(
        "--allow-code", type=boolean, default=False,
        help="true: Python that comes with the model (source.factory, metric.name) may run in the later Tasks",
    )  # fmt: skip
    options.add_argument(
        "--allow-frameworks", type=boolean, default=True,
        help="false: refuse a model that needs PyTorch or TensorFlow to be converted",
    )  # fmt: skip
    options.add_argument("--max-bytes", type=int, default=MAX_BYTES, help="cap on what is fetched and unpacked")
    options.add_argument("--git-url", default="", help="GitOps repository; empty: gitops.git in the workspace")
    options.add_argument("--git-branch", default="main", help="branch of the GitOps repository")
    options.add_argument(
        "--fetch-previous", type=boolean, default=False,
        help="true: bring the model of the deployed release too, out of its image, to be timed beside the new one",
    )  # fmt: skip
    for kind in STEP_IMAGES:
        options.add_argument(f"--step-image-{kind}", default="", help=f"image to name for a model that needs {kind}")
    options.add_argument("--plain-http", type=boolean, default=False, help="speak plain http to the registry")
    options.add_argument("--s3-endpoint", default="", help="URL of an S3 compatible store; empty: AWS")
    options.add_argument("--ca-bundle", type=optional_path, help="folder with ca-bundle.crt")
    options.add_argument("--basic-auth", type=optional_path, help="folder with .gitconfig and .git-credentials")
    options.add_argument("--ssh-directory", type=optional_path, help="folder with known_hosts and a private key")
    options.add_argument("--dockerconfig", type=optional_path, help="folder with config.json")
    options.add_argument("--aws-credentials", type=optional_path, help="folder with credentials and config, as of AWS")
    add_results(
        options,
        step_image="image that holds the model's framework",
        model_name="name in model.yaml",
        model_version="version in model.yaml",
        framework="pytorch, onnx or tensorflow",
        source_sha256="sha256 of the model",
    )
    return options


def run(
    workspace: Path, model: str, source: Path | None, reach: Access, known_as: Deployed, expected: Expected
) -> SourceSection:
    """Fill `workspace/source` and write the section; what an earlier run left is removed first.

    Raises InputError, UnsupportedError or OutsideError; `workspace/source` is then as it was.
    """
    clear(workspace)
    with tempfile.TemporaryDirectory(prefix="nearedge-fetch-") as scratch:
        place = locate(model, source, Path(scratch), reach)
        with new_directory(workspace / SOURCE) as into, relative_to(into, place.description.parent):
            collected = collect(place, into, belonging, reach.max_bytes)
            check_sha256(collected, expected)
            profile = collected.description.target.profile
            read_profile(profile, into)
            form = formats.recognise(collected.model, factory=collected.description.source.factory is not None)
            check_framework(form, expected)
            if not expected.code:
                own_code.refuse(collected.description, into, collected.code_sha256)
            name = collected.description.name
            previous.bring(workspace, name, reach.repository, known_as.url, known_as.branch)
    if known_as.model:
        previous_model.bring(workspace, reach.registry, reach.max_bytes)
    section = SourceSection(
        name=collected.description.name,
        version=collected.description.version,
        format=form,
        framework=formats.framework_of(form),
        sha256=collected.sha256,
        size_bytes=collected.size_bytes,
        description_sha256=meaning_sha256(collected.description),
        data_sha256=collected.data_sha256,
        code_sha256=collected.code_sha256,
        origin=place.origin,
        rebuilt=place.rebuilt,
    )
    sections.write(workspace, section)
    return section


@contextmanager
def relative_to(*folders: Path) -> Iterator[None]:
    """Errors raised inside name files relative to these folders, since nobody knows our temporary ones."""
    try:
        yield
    except (InputError, UnsupportedError) as error:
        text = str(error)
        for folder in folders:
            text = text.replace(f"{folder}/", "")
        raise type(error)(text) from error


def clear(workspace: Path) -> None:
    """Remove what the Tasks after this one wrote in an earlier run, so that none of it is taken for this run's.

    A run that was killed in the midst of copying leaves a hidden folder beside `source`; that goes too.
    """
    for path in (*(workspace / name for name in OF_EARLIER_RUNS), *workspace.glob(f".{SOURCE}.*")):
        if path.exists():
            shutil.rmtree(path)


def belonging(path: Path) -> list[str]:
    """The names of the files that a model file needs beside it."""
    return companions.names(path, formats.form_of(path))


def check_sha256(collected: Collected, expected: Expected) -> None:
    """Hold the model against the digest given as param and the one in model.yaml."""
    described = collected.description.source.sha256
    if expected.required and not (expected.sha256 or described):
        raise InputError(
            f"{collected.description.source.path}: no sha256 says what it has to be, and require-sha256 is set; if "
            f"{collected.sha256} is right, write it to model.yaml as source.sha256"
        )
    for where, value in (("sha256", expected.sha256), ("model.yaml: source.sha256", described)):
        if value and value != collected.sha256:
            raise InputError(
                f"{where}: {collected.description.source.path} has sha256 {collected.sha256}, not {value}; "
                "is it the right file?"
            )


def check_framework(form: Format, expected: Expected) -> None:
    """Raise UnsupportedError for a model that needs a framework which there is none of where this runs."""
    framework = formats.framework_of(form)
    if not expected.frameworks and framework != "onnx":
        raise UnsupportedError(
            f"the model is {form} and needs {framework}, which allow-frameworks rules out; build it at the core "
            "(model-to-edge) and give its release, an ONNX file or an IR"
        )


def meaning_sha256(description: Description) -> str:
    """Hex sha256 of model.yaml's values: comments, order of keys and defaults written out do not count."""
    values = description.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return hashlib.sha256(json.dumps(values, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def step_image(framework: str, images: Mapping[str, str]) -> str:
    """The image for a framework; `core` where that one has none of its own."""
    return images[framework] or images["core"]


def summary(section: SourceSection, workspace: Path) -> str:
    """One line for the log."""
    known = "an upgrade of what git says is deployed" if (workspace / record.PREVIOUS).is_file() else "a first release"
    size = f"{section.size_bytes / 1e6:.1f} MB"
    code = f", may run its own Python (sha256 {section.code_sha256[:12]})" if section.code_sha256 else ""
    return f"{section.name} {section.version}: {section.format}, {size}, sha256 {section.sha256[:12]}{code}, {known}"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; the exit status."""
    options = parser().parse_args(argv)

    def action() -> None:
        reach = Access(
            max_bytes=options.max_bytes,
            repository=git.Access(options.basic_auth, options.ssh_directory, options.ca_bundle),
            registry=registry.Access(options.ca_bundle, options.dockerconfig, options.plain_http),
            web=Client(options.ca_bundle),
            store=bucket.Access(options.s3_endpoint, options.aws_credentials, options.ca_bundle),
        )
        known_as = Deployed(options.git_url, options.git_branch, options.fetch_previous)
        expected = Expected(options.sha256, options.require_sha256, options.allow_code, options.allow_frameworks)
        section = run(options.workspace, options.model, options.source, reach, known_as, expected)
        images = {kind: getattr(options, f"step_image_{kind}") for kind in STEP_IMAGES}
        write_results(
            options,
            step_image=step_image(section.framework, images),
            model_name=section.name,
            model_version=section.version,
            framework=section.framework,
            source_sha256=section.sha256,
        )
        say(summary(section, options.workspace))

    return guarded(NAME, action)


if __name__ == "__main__":
    sys.exit(main())

"""Where the catalog's files are: beside the sources in a checkout, inside the package in an installed wheel."""

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def root() -> Path:
    """The folder that holds catalog.yaml, tasks/, pipelines/ and manifests/."""
    shipped = PACKAGE / "share"
    return shipped if shipped.is_dir() else PACKAGE.parent

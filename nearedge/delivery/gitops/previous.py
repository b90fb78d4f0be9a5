"""What a GitOps repository says is deployed, brought to a workspace before a release is made or moved."""

import tempfile
from pathlib import Path

from nearedge.delivery import git
from nearedge.delivery.gitops import deployed, site_usage
from nearedge.release import record, usage


def bring(workspace: Path, name: str, access: git.Access, git_url: str, branch: str) -> None:
    """Write `previous/release.json`, the record of the model `name` where there is one, and `previous/sites.json`,
    what each site runs already.

    `git_url` empty: the workspace's own repository, where there is one. Raises InputError, UnsupportedError for a
    record that cannot be read, OutsideError where the repository is not there.
    """
    url = deployed.remote(git_url, workspace)
    text, running = None, None
    if git_url or Path(url).exists():
        with git.session(access) as client, tempfile.TemporaryDirectory(prefix="nearedge-deployed-") as folder:
            at = Path(folder)
            if deployed.fetch(client, url, branch, at):
                text = deployed.record_text(client, name, at)
                running = site_usage.read(client, at)
    deployed.keep_previous(text, workspace / record.PREVIOUS, url)
    usage.write(workspace, running)

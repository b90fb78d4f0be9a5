"""Where a forge's API is and which project is meant, read from the address of the git repository."""

import re
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

from nearedge.delivery.git import without_credentials
from nearedge.delivery.transport import is_loopback
from nearedge.errors import UsageError

SHORT_SSH = re.compile(r"(?:[^@/:]+@)?(?P<host>\[[0-9A-Fa-f:.]+\]|[^/:]+):(?P<path>[^:].*)")
"""ssh's short form, [user@]host:path."""
SEGMENT = re.compile(r"[\w.+~-]+")
ENTRANCES = {"ssh.github.com": "github.com", "altssh.gitlab.com": "gitlab.com"}
"""Hosts that only take ssh over port 443, and the forge behind them."""


@dataclass(frozen=True)
class Place:
    """A project on a forge: the API's address without a slash at its end, and the project's path, `owner/name`."""

    api: str
    project: str


@dataclass(frozen=True)
class Remote:
    """A git address in parts: `origin` is scheme, host and port of its web server; `path` has no slashes around it."""

    origin: str
    host: str
    path: str
    over_http: bool


def remote_of(git_url: str) -> Remote:
    """The parts of a git address over https, http or ssh. Raises UsageError where it names no host."""
    parts = urlsplit(git_url) if "://" in git_url else None
    if parts is not None and parts.scheme in ("https", "http", "ssh") and parts.hostname:
        host, path, over_http = parts.hostname, parts.path, parts.scheme != "ssh"
        port = f":{parts.port}" if over_http and parts.port else ""
    elif parts is None and (short := SHORT_SSH.fullmatch(git_url)):
        host, path, over_http, port = short["host"].strip("[]"), short["path"], False, ""
    else:
        name = without_credentials(git_url) or "the workspace's own gitops.git"
        raise UsageError(f"git-url {name}: is on no forge, so there is nothing to ask a pull request of")
    host = ENTRANCES.get(host.lower(), host.lower())
    scheme = parts.scheme if parts is not None and over_http else "https"
    address = f"[{host}]" if ":" in host else host
    return Remote(f"{scheme}://{address}{port}", host, path.strip("/").removesuffix(".git").strip("/"), over_http)


def place(git_url: str, api_url: str, api_base: str, api_path: str, depth: int | None) -> Place:
    """The project of `git_url` on the API at `api_url`, or at `api_base` where that is empty.

    A forge below a path (https://host/git/api/v4) has that path in its git addresses over http as well; it is no part
    of the project's. `depth` is how many segments a project's path has, None for two or more. Raises UsageError.
    """
    found = remote_of(git_url)
    base = checked(api_url or api_base)
    project = found.path
    below = urlsplit(base).path.removesuffix(api_path).strip("/")
    if api_url and found.over_http and below and project.startswith(f"{below}/"):
        project = project.removeprefix(f"{below}/")
    segments = project.split("/")
    right = len(segments) >= 2 if depth is None else len(segments) == depth
    if not right or not all(SEGMENT.fullmatch(one) and one not in (".", "..") for one in segments):
        raise UsageError(f"git-url {without_credentials(git_url)}: names no project of the form owner/name; mend it")
    return Place(base, project)


def checked(api_url: str) -> str:
    """The API's address without a slash at its end. Raises UsageError for one that a token must not be sent to."""
    parts = urlsplit(api_url)
    if parts.scheme not in ("https", "http") or not parts.hostname or parts.query or parts.fragment:
        raise UsageError("api-url: is no address of an API; give one such as https://git.example.com/api/v4")
    if parts.username or parts.password:
        raise UsageError("api-url: holds a user or a password; the token goes into the workspace forge-token")
    if parts.scheme == "http" and not is_loopback(parts.netloc):
        raise UsageError(f"api-url {api_url}: plain http would show the token to everybody on the way; use https")
    return urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/"), "", ""))

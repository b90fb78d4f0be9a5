"""What every forge can do: find the open request from one branch to another, make it, change what it says."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import ClassVar

from nearedge.delivery.forges.connection import Answer, Connection, words
from nearedge.delivery.forges.place import Place, Remote
from nearedge.delivery.transport import PROXY_LOGIN
from nearedge.errors import OutsideError

LONGEST_TITLE = 255
"""Letters; the least that any of the forges takes (GitLab and Gitea; GitHub 256)."""


class AlreadyThereError(OutsideError):
    """The forge has an open request for these branches already."""


@dataclass(frozen=True)
class Wanted:
    """The request as it should be; `body` is Markdown."""

    source: str
    target: str
    title: str
    body: str


@dataclass(frozen=True)
class Request:
    """A request as the forge has it; `url` is for people."""

    number: int
    url: str
    title: str
    body: str


class Forge(ABC):
    """One project on a forge. Every method raises OutsideError with one line that says what to do."""

    name: ClassVar[str]
    scheme: ClassVar[str]
    """The word before the token in the header Authorization."""
    rights: ClassVar[str]
    """What the token needs, said where it is refused."""
    depth: ClassVar[int | None] = 2
    """Segments of a project's path; None: two or more."""
    api_path: ClassVar[str]
    """Where the API is below the forge's own address."""

    def __init__(self, place: Place, connection: Connection) -> None:
        """`connection` speaks to the API of `place`."""
        self.place, self.connection = place, connection

    @classmethod
    def api_base(cls, remote: Remote) -> str:
        """The API's address for a git repository: below its web server."""
        return f"{remote.origin}{cls.api_path}"

    @abstractmethod
    def find(self, source: str, target: str) -> Request | None:
        """The open request from `source` to `target`, both branches of this project; None where there is none."""

    @abstractmethod
    def create(self, wanted: Wanted) -> Request:
        """Make the request. Raises AlreadyThereError where one is open."""

    @abstractmethod
    def update(self, request: Request, wanted: Wanted) -> Request:
        """Change title and body of an open request."""

    def refused(self, answer: Answer) -> OutsideError:
        """The error for an answer that is neither what was asked for nor a passing fault."""
        where, status = f"{self.connection.host}: {self.place.project}", answer.status
        text = self.connection.clean(words(answer.document))
        its = f" ({text})" if text else ""
        found = {
            401: f"the token is not accepted{its}; put a valid one into forge-token, it may have ended",
            403: f"the token may not do that{its}; it needs {self.rights}",
            404: f"no such project, or the token may not see it; check git-url and api-url; it needs {self.rights}",
            407: PROXY_LOGIN,
            409: f"the forge sees a conflict{its}; mend that there and run it again",
            410: f"pull requests are turned off there{its}; turn them on",
            422: f"the forge does not take the request{its}; mend that there and run it again",
            423: f"the repository is locked or archived{its}; unlock it",
        }
        if status in (301, 302, 303, 307, 308):
            return OutsideError(
                f"{where}: status {status}; the project or the API moved; give its new git-url or api-url"
            )
        if status in (200, 201):
            return OutsideError(
                f"{where}: does not answer as the API of {self.name} does; check pull-request and api-url"
            )
        return OutsideError(f"{where}: status {status}; {found.get(status, f'not understood{its}; check api-url')}")

    def one(self, answer: Answer, keys: tuple[str, str, str]) -> Request:
        """The request in an answer; `keys` name its number, address and body."""
        if answer.status not in (200, 201):
            raise self.refused(answer)
        found = request_of(answer.document, keys)
        if found is None:
            raise self.refused(answer)
        return found

    def first(
        self, answers: Iterable[Answer], keys: tuple[str, str, str], ours: Callable[[dict[str, object]], bool]
    ) -> Request | None:
        """The first request in pages of a list that `ours` holds for, None where there is none."""
        for answer in answers:
            for entry in self.listed(answer):
                if ours(entry):
                    return self.one(Answer(200, entry), keys)
        return None

    def listed(self, answer: Answer) -> list[dict[str, object]]:
        """The entries of a list that an answer is."""
        if answer.status != 200 or not isinstance(answer.document, list):
            raise self.refused(answer)
        return [entry for entry in answer.document if isinstance(entry, dict)]


def request_of(document: object, keys: tuple[str, str, str]) -> Request | None:
    """The request that a JSON object describes, None where it describes none."""
    if not isinstance(document, dict):
        return None
    number, url, body = (document.get(key) for key in keys)
    title = document.get("title")
    if not isinstance(number, int) or not isinstance(url, str) or not isinstance(title, str):
        return None
    return Request(number, url, title, body if isinstance(body, str) else "")


def between(entry: dict[str, object], project: str, source: str, target: str) -> bool:
    """Whether a pull request, as GitHub and Gitea write it, is from one branch of the project to the other.

    A fork's branch of the same name is another's.
    """
    same = text_at(entry, "head", "repo", "full_name").lower() == project.lower()
    return same and (text_at(entry, "head", "ref"), text_at(entry, "base", "ref")) == (source, target)


def text_at(document: object, *keys: str) -> str:
    """The text below nested keys, empty where there is none."""
    for key in keys:
        document = document.get(key) if isinstance(document, dict) else None
    return document if isinstance(document, str) else ""

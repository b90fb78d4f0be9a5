"""Gitea's REST API (https://docs.gitea.com/api/, `repository`), which Forgejo speaks as well."""

from nearedge.delivery.forges.base import AlreadyThereError, Forge, Request, Wanted, text_at
from nearedge.delivery.forges.connection import Answer, words

KEYS = ("number", "html_url", "body")


class Gitea(Forge):
    """A repository on Gitea or Forgejo."""

    name = "Gitea"
    scheme = "token"
    rights = "the scope 'write:repository' and write access to this repository"
    api_path = "/api/v1"

    @staticmethod
    def api_base(host: str, origin: str) -> str:  # noqa: ARG004  # the base class's signature
        """/api/v1 of the web server."""
        return f"{origin}/api/v1"

    @property
    def pulls(self) -> str:
        """The path of the repository's pull requests."""
        return f"/repos/{self.place.project}/pulls"

    def find(self, source: str, target: str) -> Request | None:
        """See Forge. The list cannot be narrowed to a source branch, so all pages are looked through."""
        for answer in self.connection.pages(self.pulls, state="open", limit="50"):
            for entry in self.listed(answer):
                same = text_at(entry, "head", "repo", "full_name").lower() == self.place.project.lower()
                branches = (text_at(entry, "head", "ref"), text_at(entry, "base", "ref"))
                if same and branches == (source, target):
                    return self.one(Answer(200, entry), KEYS)
        return None

    def create(self, wanted: Wanted) -> Request:
        """See Forge. One that is there already is a 409."""
        body = {"title": wanted.title, "body": wanted.body, "head": wanted.source, "base": wanted.target}
        answer = self.connection.ask("POST", self.pulls, body)
        if answer.status == 409 and "already exists" in words(answer.document):
            raise AlreadyThereError(str(self.refused(answer)))
        return self.one(answer, KEYS)

    def update(self, request: Request, wanted: Wanted) -> Request:
        """See Forge. A change is answered with 201."""
        body = {"title": wanted.title, "body": wanted.body}
        return self.one(self.connection.ask("PATCH", f"{self.pulls}/{request.number}", body), KEYS)

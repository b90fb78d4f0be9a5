"""Gitea's REST API (https://docs.gitea.com/api/, `repository`), which Forgejo speaks as well."""

from nearedge.delivery.forges.base import AlreadyThereError, Forge, Request, Wanted, between
from nearedge.delivery.forges.connection import words

KEYS = ("number", "html_url", "body")


class Gitea(Forge):
    """A repository on Gitea or Forgejo."""

    name = "Gitea"
    scheme = "token"
    rights = "the scope 'write:repository' and write access to this repository"
    api_path = "/api/v1"

    @property
    def pulls(self) -> str:
        """The path of the repository's pull requests."""
        return f"/repos/{self.place.project}/pulls"

    def find(self, source: str, target: str) -> Request | None:
        """See Forge. The list cannot be narrowed to a source branch, so all pages are looked through."""
        pages = self.connection.pages(self.pulls, state="open", limit="50")
        return self.first(pages, KEYS, lambda entry: between(entry, self.place.project, source, target))

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

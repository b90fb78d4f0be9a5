"""GitHub's REST API, "Pulls" (https://docs.github.com/en/rest/pulls/pulls): github.com, ghe.com, Enterprise Server."""

from nearedge.delivery.forges.base import AlreadyThereError, Forge, Request, Wanted, between
from nearedge.delivery.forges.connection import words
from nearedge.delivery.forges.place import Remote

KEYS = ("number", "html_url", "body")


class Github(Forge):
    """A repository on GitHub."""

    name = "GitHub"
    scheme = "Bearer"
    rights = "'Pull requests: write' of this repository (fine-grained), or the scope 'repo' (classic)"
    api_path = "/api/v3"

    @classmethod
    def api_base(cls, remote: Remote) -> str:
        """api.github.com, api.NAME.ghe.com, or /api/v3 of an Enterprise Server."""
        if remote.host in ("github.com", "www.github.com"):
            return "https://api.github.com"
        return f"https://api.{remote.host}" if remote.host.endswith(".ghe.com") else super().api_base(remote)

    @property
    def pulls(self) -> str:
        """The path of the repository's pull requests."""
        return f"/repos/{self.place.project}/pulls"

    def find(self, source: str, target: str) -> Request | None:
        """See Forge."""
        owner = self.place.project.partition("/")[0]
        query = {"state": "open", "head": f"{owner}:{source}", "base": target, "per_page": "100"}
        pages = self.connection.pages(self.pulls, **query)
        return self.first(pages, KEYS, lambda entry: between(entry, self.place.project, source, target))

    def create(self, wanted: Wanted) -> Request:
        """See Forge. One that is there already is a 422 that says so in its `errors`."""
        body = {"title": wanted.title, "body": wanted.body, "head": wanted.source, "base": wanted.target}
        answer = self.connection.ask("POST", self.pulls, body)
        if answer.status == 422 and "pull request already exists" in words(answer.document).lower():
            raise AlreadyThereError(str(self.refused(answer)))
        return self.one(answer, KEYS)

    def update(self, request: Request, wanted: Wanted) -> Request:
        """See Forge."""
        body = {"title": wanted.title, "body": wanted.body}
        return self.one(self.connection.ask("PATCH", f"{self.pulls}/{request.number}", body), KEYS)

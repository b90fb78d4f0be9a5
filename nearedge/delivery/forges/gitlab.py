"""GitLab's REST API, "Merge requests" (https://docs.gitlab.com/api/merge_requests/): gitlab.com and self-managed."""

from urllib.parse import quote

from nearedge.delivery.forges.base import AlreadyThereError, Forge, Request, Wanted, text_at
from nearedge.delivery.forges.connection import words

KEYS = ("iid", "web_url", "description")


class Gitlab(Forge):
    """A project on GitLab, in any depth of groups."""

    name = "GitLab"
    scheme = "Bearer"
    rights = "the scope 'api' and the role Developer in this project"
    depth = None
    api_path = "/api/v4"

    @property
    def requests(self) -> str:
        """The path of the project's merge requests; the project's own path is one encoded segment of it."""
        return f"/projects/{quote(self.place.project, safe='')}/merge_requests"

    def find(self, source: str, target: str) -> Request | None:
        """See Forge. A fork's branch of the same name has another `source_project_id`."""
        query = {"state": "opened", "source_branch": source, "target_branch": target, "per_page": "100"}

        def ours(entry: dict[str, object]) -> bool:
            same = entry.get("source_project_id") == entry.get("target_project_id")
            return same and (text_at(entry, "source_branch"), text_at(entry, "target_branch")) == (source, target)

        return self.first(self.connection.pages(self.requests, **query), KEYS, ours)

    def create(self, wanted: Wanted) -> Request:
        """See Forge. One that is there already is a 409."""
        body = {
            "title": wanted.title,
            "description": wanted.body,
            "source_branch": wanted.source,
            "target_branch": wanted.target,
        }
        answer = self.connection.ask("POST", self.requests, body)
        if answer.status == 409 and "already exists" in words(answer.document):
            raise AlreadyThereError(str(self.refused(answer)))
        return self.one(answer, KEYS)

    def update(self, request: Request, wanted: Wanted) -> Request:
        """See Forge."""
        body = {"title": wanted.title, "description": wanted.body}
        return self.one(self.connection.ask("PUT", f"{self.requests}/{request.number}", body), KEYS)

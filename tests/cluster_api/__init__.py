"""A faithful API server of Kubernetes for tests; see `fake`."""

from tests.cluster_api.fake import FakeApi, served
from tests.cluster_api.statuses import ApiError

__all__ = ["ApiError", "FakeApi", "served"]

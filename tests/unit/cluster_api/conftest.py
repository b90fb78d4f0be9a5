"""One fake cluster for a module, a namespace of its own for each test, and a client with patience."""

import json
from contextlib import contextmanager
from itertools import count

import httpx2
import pytest

from tests.cluster_api import served

NUMBERS = count()
PATIENCE_S = 30


class Client:
    """Requests as somebody; answers are documents."""

    def __init__(self, fake, token):
        self.http = httpx2.Client(base_url=fake.url, timeout=PATIENCE_S, headers={"Authorization": f"Bearer {token}"})

    def asked(self, method, path, body=None, kind="application/json", **query):
        content = None if body is None else json.dumps(body).encode()
        answer = self.http.request(method, path, params=query, content=content, headers={"Content-Type": kind})
        return answer.status_code, answer.json()

    def patch(self, path, body, kind="merge", **query):
        return self.asked("PATCH", path, body, f"application/{kind}-patch+json", **query)

    @contextmanager
    def watch(self, path, **query):
        """Events as they come: type and object."""
        with self.http.stream("GET", path, params={"watch": "true", **query}) as answer:
            assert answer.status_code == 200
            yield (tuple(json.loads(line).values()) for line in answer.iter_lines())


@pytest.fixture(scope="module")
def fake():
    with served() as found:
        yield found


@pytest.fixture
def space(fake):
    name = f"space-{next(NUMBERS)}"
    fake.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    yield name
    fake.faults.clear()


@pytest.fixture
def client_of(fake):
    made = []

    def client(token):
        made.append(Client(fake, token))
        return made[-1]

    yield client
    for one in made:
        one.http.close()


@pytest.fixture
def client(fake, client_of):
    return client_of(fake.admin)

"""Logs of pods, and what a kubelet says where there are none."""

import threading

import pytest

RUNNING, ENDED = {"running": {}}, {"terminated": {"exitCode": 1}}


def pod(fake, space, state=RUNNING, last=None, containers=("c",), **spec):
    statuses = [{"name": name, "state": state, "lastState": last or {}} for name in containers]
    return fake.apply({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": space},
        "spec": {"nodeName": "n", "containers": [{"name": name} for name in containers], **spec},
        "status": {"phase": "Running", "containerStatuses": statuses},
    })[0]  # fmt: skip


@pytest.fixture
def path(space):
    return f"/api/v1/namespaces/{space}/pods/p/log"


def text(client, path, **query):
    answer = client.http.get(path, params=query)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/plain"
    return answer.text


def test_what_was_written_is_read(fake, client, space, path):
    pod(fake, space)
    assert text(client, path) == ""
    fake.write_log(space, "p", "c", "one\ntwo\nthr")
    fake.write_log(space, "p", "c", "ee\nfour")
    assert text(client, path) == text(client, path, container="c") == "one\ntwo\nthree\nfour"
    assert text(client, path, tailLines=2) == "three\nfour"
    assert text(client, path, tailLines=0) == ""
    assert text(client, path, limitBytes=5) == "one\nt"
    stamps = [line.partition(" ") for line in text(client, path, timestamps="true").splitlines()]
    assert [line for _, _, line in stamps] == ["one", "two", "three", "four"]
    assert all(len(stamp) == 30 and stamp.endswith("Z") for stamp, _, _ in stamps)


def test_since(fake, client, space, path):
    pod(fake, space)
    fake.write_log(space, "p", "c", "old\n")
    log = next(iter(log for (uid, _, _), log in fake.logs.logs.items() if log.lines == [b"old\n"]))
    log.times[0] -= 3600 * 10**9
    fake.write_log(space, "p", "c", "new\n")
    assert text(client, path, sinceSeconds=600) == "new\n"
    assert text(client, path, sinceSeconds=7200) == "old\nnew\n"
    assert text(client, path, sinceTime="2020-01-01T00:00:00Z") == "old\nnew\n"
    assert text(client, path, sinceTime="2120-01-01T00:00:00Z") == ""


def test_following_ends_with_the_container(fake, client, space, path):
    pod(fake, space)
    fake.write_log(space, "p", "c", "one\n")
    with client.http.stream("GET", path, params={"follow": "true", "tailLines": "1"}) as answer:
        lines = answer.iter_lines()
        assert next(lines) == "one"
        for index in range(3):
            fake.write_log(space, "p", "c", f"{index}\n")
            assert next(lines) == str(index)
        fake.write_log(space, "p", "c", "last\n")
        pod(fake, space, ENDED)
        assert list(lines) == ["last"]
    assert client.http.get(path, params={"follow": "true"}).text.endswith("last\n")


def test_following_ends_with_the_pod(fake, client, space, path):
    pod(fake, space)
    with client.http.stream("GET", path, params={"follow": "true"}) as answer:
        fake.delete(f"/api/v1/namespaces/{space}/pods/p")
        assert list(answer.iter_lines()) == []


def test_the_instance_before(fake, client, space, path):
    pod(fake, space)
    answer = client.http.get(path, params={"previous": "true"})
    assert answer.status_code == 400
    assert answer.json()["message"] == 'previous terminated container "c" in pod "p" not found'
    fake.write_log(space, "p", "c", "it crashed\n")
    pod(fake, space, {"waiting": {"reason": "CrashLoopBackOff"}}, ENDED)
    assert text(client, path) == text(client, path, previous="true") == "it crashed\n"
    fake.rotate_log(space, "p", "c")
    assert text(client, path) == text(client, path, previous="true") == "it crashed\n"
    fake.write_log(space, "p", "c", "it runs\n")
    pod(fake, space, RUNNING, ENDED)
    assert text(client, path) == "it runs\n"
    assert text(client, path, previous="true") == "it crashed\n"


@pytest.mark.parametrize(
    ("reason", "message"),
    [
        ("ContainerCreating", "ContainerCreating"),
        ("ErrImagePull", "image can't be pulled"),
        ("ImagePullBackOff", "trying and failing to pull image"),
    ],
)
def test_containers_that_wait(fake, client, space, path, reason, message):
    pod(fake, space, {"waiting": {"reason": reason}})
    answer = client.http.get(path)
    assert (answer.status_code, answer.json()["reason"]) == (400, "BadRequest")
    assert answer.json()["message"] == f'container "c" in pod "p" is waiting to start: {message}'


def test_a_container_has_to_be_named(fake, client, space, path):
    pod(fake, space, containers=("a", "b"), initContainers=[{"name": "i"}])
    expected = "a container name must be specified for pod p, choose one of: [a b] or one of the init containers: [i]"
    assert client.asked("GET", path)[1]["message"] == expected
    assert client.asked("GET", path, container="x")[1]["message"] == "container x is not valid for pod p"
    assert client.asked("GET", path, container="i")[1]["message"] == 'container "i" in pod "p" is not available'
    fake.write_log(space, "p", "b", "of b\n")
    assert text(client, path, container="b") == "of b\n"


def test_pods_that_are_not_there_or_nowhere(fake, client, space, path):
    assert client.asked("GET", path)[1]["message"] == 'pods "p" not found'
    pod(fake, space, nodeName="")
    assert text(client, path) == ""


@pytest.mark.parametrize(
    "query", [{"tailLines": -1}, {"sinceSeconds": 0}, {"sinceSeconds": 1, "sinceTime": "2020-01-01T00:00:00Z"}]
)
def test_wrong_parameters(fake, client, space, path, query):
    pod(fake, space)
    assert client.asked("GET", path, **query)[0] == 422
    assert client.asked("GET", path, sinceTime="yesterday")[0] == 400


def test_stand_ins_write_over_http(fake, client, client_of, space, path):
    pod(fake, space)
    plain = {"Content-Type": "text/plain"}
    assert client.http.post(path, params={"container": "c"}, content=b"one\n", headers=plain).status_code == 201
    assert client.asked("POST", path, {"text": "two\n"})[0] == 201
    assert text(client, path) == "one\ntwo\n"
    client.http.post(path, params={"container": "c", "rotate": "true"}, content=b"", headers=plain)
    client.asked("POST", path, {"container": "c", "text": "before\n", "previous": True})
    pod(fake, space, RUNNING, ENDED)
    assert (text(client, path), text(client, path, previous="true")) == ("", "one\ntwo\nbefore\n")
    assert client_of(fake.user("ada")).asked("POST", path, {"text": "x"})[0] == 403
    assert client.asked("DELETE", path)[1]["reason"] == "MethodNotAllowed"


def test_many_follow_at_once(fake, client_of, space, path):
    pod(fake, space)
    found, begun = [], threading.Semaphore(0)

    def follow():
        with client_of(fake.admin).http.stream("GET", path, params={"follow": "true"}) as answer:
            begun.release()
            found.append("".join(answer.iter_text()))

    threads = [threading.Thread(target=follow) for _ in range(20)]
    for thread in threads:
        thread.start()
    for _ in threads:
        assert begun.acquire(timeout=30)
    fake.write_log(space, "p", "c", "for all\n")
    pod(fake, space, ENDED)
    for thread in threads:
        thread.join(30)
    assert found == ["for all\n"] * 20

"""Whole releases that replace each other under load: git says which, and nobody who asks is left without an answer."""

import asyncio
import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import grpc
import numpy as np
import pytest
import yaml
from tritonclient.grpc import service_pb2

from nearedge.delivery.gitops import manifests
from nearedge.delivery.serving_client import decode, encode
from nearedge.release import record
from nearedge.runner.sidecars import ORDER_VARIABLE
from scripts import publish_gitops, render_gitops, rollback_model
from tests import kustomize, releases
from tests.rollout import Node, until
from tests.service import VERSION, Client

REQUESTS = 10_000
SPEED = float(os.environ.get("NEAREDGE_TEST_ROLLOUT_SPEED", "5"))
"""How many times faster than in the manifests time goes by."""
BACKENDS = os.environ.get(ORDER_VARIABLE, "process")
"""With `chroot` or `podman` the images hold a runtime and are run whole, which takes a minute more."""
HEADER = re.compile(rb"inference-header-content-length: (\d+)", re.IGNORECASE)
PATH = "/v2/models/digits/infer"
METHOD = "/inference.GRPCInferenceService/ModelInfer"
TIGHT = "node: {cpu: 2, memory_mib: 2048}\nplatform: {cpu: 0.5, memory_mib: 1024}\n"
Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Releases:
    """The workspaces of digits 1 and 2, and of 3 whose golden samples are damaged; their images' digests and layout."""

    workspaces: dict[str, Path]
    digests: dict[str, str]
    layout: Path

    def answers(self, inputs: Arrays) -> dict[str, Arrays]:
        """What versions 1 and 2 have to answer, by OpenVINO itself."""
        import openvino

        found = {}
        for version in ("1", "2"):
            ir, as_served = (
                self.workspaces[version] / "ir" / "deployed" / "model.xml",
                {"INFERENCE_PRECISION_HINT": "f32"},
            )
            model = openvino.Core().compile_model(ir, "CPU", as_served)
            said = model(inputs)
            found[version] = {output.get_any_name(): said[output].copy() for output in model.outputs}
        assert any(np.abs(found["1"][name] - found["2"][name]).max() > 0.01 for name in found["1"])
        return found


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Iterator[Releases]:
    if shutil.which("docker-registry") is None:
        pytest.skip("docker-registry is not installed (.ci/run installs it)")
    if kustomize.major() < kustomize.OLDEST:
        pytest.skip("needs kubectl 1.27 or newer to build with kustomize")
    root = tmp_path_factory.mktemp("digits")
    workspaces, digests = {}, {}
    with pytest.MonkeyPatch.context() as patch, releases.registry(root) as host:
        patch.setenv("NEAREDGE_HOME", str(root))  # the unpacked images
        patch.setenv(ORDER_VARIABLE, BACKENDS)
        base = "" if BACKENDS == "process" else "host"
        for seed, version in enumerate(("1", "2", "3")):
            workspace = workspaces[version] = releases.proven(root / version, version, seed)
            if version == "3":
                releases.with_golden_answers_of_another(workspace)
            image = releases.built(workspace, f"{host}/edge/digits:{version}", root / "image", base, cache)
            digests[version] = image.partition("@")[2]
        yield Releases(workspaces, digests, root)


def publish(workspace: Path, gitops: Path, *sites: str) -> render_gitops.Rendered:
    """What the last two Tasks of a Pipeline do."""
    done = render_gitops.run(workspace, sites)
    assert publish_gitops.main([f"--workspace={workspace}", f"--git-url={gitops.as_uri()}"]) == 0
    return done


def roll_back(gitops: Path) -> None:
    assert rollback_model.main([f"--git-url={gitops.as_uri()}", "--model=digits"]) == 0


def version_of(answer: bytes, expected: Mapping[str, Arrays]) -> str:
    """The version that an answer names; '' where it is not what that version answers."""
    head, _, body = answer.partition(b"\r\n\r\n")
    version, header = VERSION.search(body), HEADER.search(head)
    if not head.startswith(b"HTTP/1.1 200 ") or version is None or version[1].decode() not in expected:
        return ""
    found = decode(body, header[1].decode() if header else None)
    return version[1].decode() if same(found, expected[version[1].decode()]) else ""


def same(found: Arrays, wanted: Arrays) -> bool:
    return found.keys() == wanted.keys() and all(np.allclose(found[name], wanted[name], atol=1e-3) for name in wanted)


class Asker(Client):
    """A client of REST that holds every answer against what the version it names has to say; JSON or binary."""

    def __init__(self, port: int, workspace: Path, inputs: Arrays, expected: Mapping[str, Arrays], number: int) -> None:
        specs = record.identity(workspace, "").ir.inputs
        body, headers = encode(specs, inputs, binary=number % 4 >= 2)
        keep_alive = number % 2 == 0
        lines = [f"POST {PATH} HTTP/1.1", "Host: x", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        lines += [] if keep_alive else ["Connection: close"]
        super().__init__(port, "\r\n".join([*lines, "", ""]).encode() + body, keep_alive=keep_alive)
        self.expected, self.gap, self.last = expected, 0.0, time.monotonic()

    def count(self, answer: bytes | None) -> bool:
        version = version_of(answer or b"", self.expected)
        if not version:
            self.failures.append(repr(answer)[:300])
            return False
        self.answers[version] += 1
        now = time.monotonic()
        self.gap, self.last = max(self.gap, now - self.last), now
        return self.keep_alive and b"connection: close" not in (answer or b"").lower()


async def ask_by_grpc(port: int, inputs: Arrays, expected: Mapping[str, Arrays], stop: asyncio.Event) -> dict[str, int]:
    """Ask again and again on one channel, which connects anew by itself; the answers of each version.

    Raises grpc.aio.AioRpcError for a call that is lost.
    """
    ((name, array),) = inputs.items()
    request = service_pb2.ModelInferRequest(model_name="digits", raw_input_contents=[array.tobytes()])
    request.inputs.add(name=name, datatype="FP32", shape=array.shape)
    counted = dict.fromkeys(expected, 0)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        infer = channel.unary_unary(METHOD, lambda text: text, service_pb2.ModelInferResponse.FromString)
        while not stop.is_set():
            answer = await infer(request.SerializeToString(), timeout=30)
            raw = zip(answer.outputs, answer.raw_output_contents, strict=True)
            found = {one.name: np.frombuffer(text, "<f4").reshape(one.shape) for one, text in raw}
            assert same(found, expected[answer.model_version])
            counted[answer.model_version] += 1
    return counted


async def upgraded(digits: Releases, gitops: Path, folder: Path) -> tuple[Node, list[Asker], dict[str, int]]:
    """1, then 2, back to 1, then 3, which never takes traffic, while clients ask without a pause; who asked what."""
    node = Node(gitops, "site-1", "digits", folder, digits.layout, SPEED)
    await node.start()
    await asyncio.to_thread(publish, digits.workspaces["1"], gitops, "site-1")
    await until(lambda: node.settled(digits.digests["1"]))
    with np.load(digits.workspaces["1"] / "golden" / "golden.npz") as golden:
        samples = golden["input/image"]
    clients, stop = [], asyncio.Event()
    for number in range(8):
        inputs = {"image": samples[number]}
        clients.append(Asker(node.rest.port, digits.workspaces["1"], inputs, digits.answers(inputs), number))
    first = {"image": samples[0]}
    by_grpc = ask_by_grpc(node.grpc.port, first, digits.answers(first), stop)
    tasks = [asyncio.create_task(client.run(stop)) for client in clients]
    calls = asyncio.create_task(by_grpc)

    def total(of: str = "") -> int:
        return sum(client.answers[of] if of else client.answers.total() for client in clients)

    def lost() -> bool:
        return calls.done() or any(client.failures for client in clients)

    async def until_or_lost(true) -> None:
        await until(lambda: lost() or true())

    await until_or_lost(lambda: total("1") > REQUESTS // 8)
    await asyncio.to_thread(publish, digits.workspaces["2"], gitops, "site-1")
    await until_or_lost(lambda: node.settled(digits.digests["2"]))
    mark = total("2")
    await until_or_lost(lambda: total("2") > mark + REQUESTS // 8)
    await asyncio.to_thread(roll_back, gitops)
    await until_or_lost(lambda: node.settled(digits.digests["1"]))
    await asyncio.to_thread(publish, digits.workspaces["3"], gitops, "site-1")
    await until_or_lost(lambda: any(pod.digest == digits.digests["3"] and pod.probed >= 8 for pod in node.pods))
    (broken,) = [pod for pod in node.pods if pod.digest == digits.digests["3"]] or [None]
    assert lost() or (broken is not None and not broken.ready and "self-test" in broken.log.read_text())
    before = total()
    await until_or_lost(lambda: total() > before + REQUESTS // 8)
    assert lost() or [pod.ready for pod in node.pods] == [True, False]
    await asyncio.to_thread(roll_back, gitops)
    await until_or_lost(lambda: node.settled(digits.digests["1"]))
    await until_or_lost(lambda: total() >= REQUESTS)
    stop.set()
    await asyncio.gather(*tasks)
    counted = await calls
    await node.stop()
    return node, clients, counted


@pytest.fixture
def gitops(tmp_path: Path) -> Path:
    publish_at = tmp_path / "gitops.git"
    publish_gitops.publish.create_local(publish_at, "main")
    return publish_at


def test_upgrade_and_rollback_lose_nothing_and_a_bad_release_gets_no_request(
    digits: Releases, gitops: Path, tmp_path: Path
) -> None:
    node, clients, counted = asyncio.run(upgraded(digits, gitops, tmp_path))
    begin = node.events[0][0]
    told = [f"{at - begin:7.2f} s  {what}" for at, what in node.events]
    print("\n".join([*told, f"{[dict(one.answers) for one in clients]}", f"gRPC {counted}"]))
    print(f"longest wait for an answer, new one after the last: {max(one.gap for one in clients) * 1000:.0f} ms")
    assert [failure for client in clients for failure in client.failures] == []
    assert sum(client.answers.total() for client in clients) >= REQUESTS
    for client in clients:
        assert client.answers["1"] > 0 and client.answers["2"] > 0 and set(client.answers) == {"1", "2"}
        if client.keep_alive:  # a connection lasts until its server goes: it is told to close, not cut off
            assert client.connections < client.answers.total() / 10
        else:
            assert client.connections == client.answers.total()
    assert counted["1"] > 0 and counted["2"] > 0
    assert node.most == 2
    served = [pod for pod in node.gone if pod.digest != digits.digests["3"]]
    assert [pod.digest for pod in served] == [digits.digests[version] for version in ("1", "2", "1")]
    assert [pod.status for pod in node.gone] == [0] * 4, "each ended by itself within its grace period"


async def recreated(digits: Releases, gitops: Path, folder: Path) -> tuple[Node, list[tuple[float, str]], list[str]]:
    """1, then 2 at a site with room for one pod; when each request was asked and what answered, and what was said."""
    node = Node(gitops, "site-2", "digits", folder, digits.layout, SPEED)
    await node.start()
    said = []
    for version in ("1", "2"):
        profile = yaml.safe_load((Path(__file__).parents[2] / "manifests/profiles/microshift-small.yaml").read_text())
        tight = profile | yaml.safe_load(TIGHT) | {"name": "tight"}
        (digits.workspaces[version] / "source" / "tight.yaml").write_text(yaml.safe_dump(tight))
    await asyncio.to_thread(publish, digits.workspaces["1"], gitops, "site-2=tight.yaml")
    await until(lambda: node.settled(digits.digests["1"]))
    with np.load(digits.workspaces["1"] / "golden" / "golden.npz") as golden:
        inputs = {"image": golden["input/image"][0]}
    expected = digits.answers(inputs)
    asked: list[tuple[float, str]] = []

    async def ask_once() -> str:
        client = Asker(node.rest.port, digits.workspaces["1"], inputs, expected, 1)
        done = asyncio.Event()
        client.count = lambda answer: (
            bool(done.set())
            or asked.append(  # type: ignore[method-assign]  # one answer
                (time.monotonic(), version_of(answer or b"", expected))
            )
        )
        await client.run(done)
        return asked[-1][1]

    assert await ask_once() == "1"
    done = await asyncio.to_thread(publish, digits.workspaces["2"], gitops, "site-2=tight.yaml")
    said = render_gitops.rollouts(done.placements)
    async with asyncio.timeout(120):
        while await ask_once() != "2" or not node.settled(digits.digests["2"]):
            await asyncio.sleep(0.01)
    said.append(node.deployment["metadata"]["annotations"][manifests.STRATEGY_NOTE])
    await node.stop()
    return node, asked, said


def test_where_one_pod_fits_the_loss_ends_and_is_said(digits: Releases, gitops: Path, tmp_path: Path) -> None:
    node, asked, said = asyncio.run(recreated(digits, gitops, tmp_path))
    versions = [version for _, version in asked]
    first, last = versions.index(""), len(versions) - 1 - versions[::-1].index("")
    without = asked[last + 1][0] - asked[first - 1][0]
    print("\n".join(f"{at - node.events[0][0]:7.2f} s  {what}" for at, what in node.events))
    print(f"nothing answered for {without:.2f} s, {versions.count('')} requests lost")
    assert set(versions[:first]) == {"1"} and set(versions[last + 1 :]) == {"2"}, "before and after, nothing is lost"
    assert set(versions[first : last + 1]) == {""}
    assert node.most == 1
    assert said[0].startswith("warning: site-2: no answers while the next pod starts")
    assert said[1].startswith("no answers while the next pod starts: two do not fit profile tight")
    assert [pod.status for pod in node.gone] == [0, 0]

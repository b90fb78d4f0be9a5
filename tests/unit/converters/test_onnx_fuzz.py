"""ONNX files, damaged at will: our own readers answer or refuse in one line; the converter is tried in a process apart.

Bounded and the same each time. `formats` and `companions` read the file themselves, in this process, under tracemalloc.
OpenVINO's and onnxruntime's readers are C++: they get some of the damaged files in one child with a cap on its memory
and on its time, where a crash, a hang or a traceback would show.
"""

import random
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from converters import companions, formats
from nearedge.errors import NearedgeError
from tests.models import onnx_model, onnx_net_proto

MOST_MEMORY = 16 << 20
CHILD_S, CHILD_MIB, CHILD_FILES = 100, 400, 40
HUGE = [b"\xff" * 9 + b"\x01", b"\xff\xff\xff\xff\x07", b"\xff" * 4, b"\0" * 4, b"\x80" * 10, b"\x3a\xff\xff\x03"]
bounded = settings(
    max_examples=50, deadline=None, derandomize=True, database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip


def nested(depth):
    """A model whose If holds a graph that holds an If, and so on."""
    from onnx import TensorProto, helper

    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])], "g", [], [value("y", TensorProto.FLOAT, [1])]
    )
    for _ in range(depth):
        node = helper.make_node("If", ["c"], ["y"], then_branch=graph, else_branch=graph)
        graph = helper.make_graph([node], "g", [], [value("y", TensorProto.FLOAT, [1])])
    inputs = [value("x", TensorProto.FLOAT, [1]), value("c", TensorProto.BOOL, [1])]
    return onnx_model(list(graph.node), inputs, [value("y", TensorProto.FLOAT, [1])], [])


def external():
    """A model whose weights are said to lie in another file."""
    proto = onnx_net_proto()
    tensor = proto.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = 1
    for key, text in (("location", "weights.bin"), ("length", "99999999999"), ("offset", "4096")):
        tensor.external_data.add(key=key, value=text)
    return proto


VALID = {
    "plain": lambda: onnx_net_proto().SerializeToString(),
    "external": lambda: external().SerializeToString(),
    "branches": lambda: nested(3).SerializeToString(),
}
MADE: dict[str, bytes] = {}


def valid(kind):
    """The bytes of a model that is well."""
    if kind not in MADE:
        MADE[kind] = VALID[kind]()
    return MADE[kind]


@st.composite
def damaged(draw, content):
    """`content` with bits turned, pieces replaced by huge lengths, removed or put in, and perhaps cut off."""
    found = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        at = (
            draw(st.integers(0, min(len(found) - 1, 600)))
            if draw(st.booleans())
            else draw(st.integers(0, len(found) - 1))
        )
        if draw(st.booleans()):
            found[at] ^= 1 << draw(st.integers(0, 7))
        else:
            found[at : at + draw(st.integers(0, 8))] = draw(st.sampled_from(HUGE) | st.binary(max_size=6))
    return bytes(found[: draw(st.just(len(found)) | st.integers(1, len(found)))]) or b"\0"


def told(path):
    """What our readers say of the file, under the cap: its format and what it needs, or the message."""
    tracemalloc.start()
    try:
        form = formats.recognise(path)
        return f"{form} {companions.names(path, form)}"
    except NearedgeError as error:
        return str(error)
    finally:
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert most < MOST_MEMORY


@pytest.mark.parametrize("kind", VALID)
def test_the_files_that_are_damaged_were_good(tmp_path, kind):
    (tmp_path / "m").write_bytes(valid(kind))
    assert told(tmp_path / "m") == f"onnx {['weights.bin'] if kind == 'external' else []}"


@pytest.mark.parametrize("kind", VALID)
@bounded
@given(data=st.data())
def test_our_readers_answer_or_refuse_in_one_line(tmp_path, kind, data):
    (tmp_path / "m").write_bytes(data.draw(damaged(valid(kind))))
    said = told(tmp_path / "m")
    assert "\n" not in said and len(said) < 700


@bounded
@given(content=st.binary(min_size=1, max_size=400), head=st.sampled_from([b"", b"\x08\x09", b"\x08\x09\x3a\xff\x7f"]))
def test_noise_is_refused_in_one_line(tmp_path, content, head):
    (tmp_path / "m").write_bytes(head + content)
    said = told(tmp_path / "m")
    assert "\n" not in said and len(said) < 700


def test_graphs_within_graphs_without_end_are_refused(tmp_path):
    """Deeper than Python recurses, made by hand: a graph in an attribute of a node of a graph, and so on."""
    body = b""
    for _ in range(2000):
        for number in (6, 5, 1):  # attribute.g, node.attribute, graph.node
            body = bytes([number << 3 | 2]) + varint(len(body)) + body
    (tmp_path / "m").write_bytes(b"\x08\x09\x3a" + varint(len(body)) + body)
    said = told(tmp_path / "m")
    assert "damaged" in said or said == "onnx []"


def varint(number):
    """A protobuf varint."""
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])


def torn(content, chance):
    """`content` with a few bits turned, a piece replaced, or cut off."""
    found = bytearray(content)
    for _ in range(chance.randint(1, 3)):
        found[chance.randrange(len(found))] ^= 1 << chance.randrange(8)
    if chance.random() < 0.4:
        at = chance.randrange(min(len(found), 500))
        found[at : at + chance.randint(0, 6)] = chance.choice(HUGE)
    return bytes(found[: chance.randrange(1, len(found))] if chance.random() < 0.2 else found)


CHILD = """\
import resource, sys, time
from pathlib import Path
import onnxruntime, openvino
from converters import convert, formats, sources, telemetry
from nearedge.errors import NearedgeError
from nearedge.release.description import parse
telemetry.off()
described = parse("{schema: 1, name: m, source: {path: m}, outputs: [{name: logits}], inputs: "
                  "[{name: image, shape: [-1, 3, 8, 8], dtype: FP32}]}", "model.yaml")
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
steps = (convert.convert, sources.load_source)
for number, path in enumerate(sorted(Path(sys.argv[1]).iterdir())):
    for step in steps:
        try:
            step(path, formats.recognise(path), described)
            print("fine")
        except NearedgeError as error:
            print("refused" if str(error).count(chr(10)) == 0 else f"two lines: {error}")
    if number == 0:  # the one that is well: what both libraries take once
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10)
"""


def test_the_converter_and_the_source_framework_refuse_what_is_damaged(tmp_path):
    chance = random.Random(0)
    for number in range(CHILD_FILES):
        kind = valid("plain")
        (tmp_path / f"{number:03}").write_bytes(torn(kind, chance) if number else kind)
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(tmp_path)],
        cwd=Path(__file__).parents[3], capture_output=True, text=True, timeout=CHILD_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-300:] + done.stderr[-2000:]
    *said, mebibytes = done.stdout.splitlines()
    assert said[:2] == ["fine", "fine"] and set(said) == {"fine", "refused"} and len(said) == 2 * CHILD_FILES
    assert int(mebibytes) < CHILD_MIB

"""The REST port as Triton's client sees it, unmodified: metadata, JSON and binary tensors, compression, faults."""

import gzip

import numpy as np
import pytest
import tritonclient.http as triton

IMAGE = np.random.default_rng(3).random((2, 1, 8, 8), dtype=np.float32)


@pytest.fixture(scope="module")
def client(server):
    with triton.InferenceServerClient(f"127.0.0.1:{server.port}") as made:
        yield made


@pytest.fixture(scope="module")
def expected(server):
    body = {"inputs": [{"name": "image", "datatype": "FP32", "shape": [2, 1, 8, 8], "data": IMAGE.ravel().tolist()}]}
    outputs = server.post("/v2/models/digits/infer", json=body).json()["outputs"]
    return {output["name"]: np.array(output["data"], np.float32).reshape(output["shape"]) for output in outputs}


def image(binary: bool = True, array: np.ndarray = IMAGE) -> triton.InferInput:
    given = triton.InferInput("image", array.shape, "FP32")
    return given.set_data_from_numpy(array, binary_data=binary)


def test_server_and_models_are_told_of(client) -> None:
    assert client.is_server_live() and client.is_server_ready()
    assert client.is_model_ready("digits") and client.is_model_ready("digits", "1")
    assert not client.is_model_ready("absent")
    told = client.get_server_metadata()
    assert told["name"] == "nearedge" and "binary_tensor_data" in told["extensions"]
    told = client.get_model_metadata("digits", "1")
    assert told["versions"] == ["1"] and told["platform"] == "openvino"
    assert told["inputs"] == [{"name": "image", "datatype": "FP32", "shape": [-1, 1, 8, 8]}]
    assert [output["name"] for output in told["outputs"]] == ["logits", "probabilities"]


@pytest.mark.parametrize("sent", [True, False], ids=["binary in", "json in"])
@pytest.mark.parametrize("back", [True, False], ids=["binary out", "json out"])
def test_both_forms_in_both_directions(client, expected, sent: bool, back: bool) -> None:
    outputs = [triton.InferRequestedOutput(name, binary_data=back) for name in expected]
    answer = client.infer("digits", [image(sent)], model_version="1", outputs=outputs, request_id="seven")
    told = answer.get_response()
    assert (told["id"], told["model_name"], told["model_version"]) == ("seven", "digits", "1")
    for output in told["outputs"]:
        assert ("binary_data_size" in output.get("parameters", {})) == back and ("data" in output) != back
        np.testing.assert_allclose(answer.as_numpy(output["name"]), expected[output["name"]], rtol=1e-5)


def test_without_outputs_all_come_binary(client, expected) -> None:
    answer = client.infer("digits", [image()])
    for name, array in expected.items():
        assert answer.get_output(name)["parameters"]["binary_data_size"] == array.nbytes
        np.testing.assert_allclose(answer.as_numpy(name), array, rtol=1e-5)


def test_each_output_is_picked_and_in_its_own_form(client, expected) -> None:
    only = client.infer("digits", [image()], outputs=[triton.InferRequestedOutput("probabilities")])
    assert [output["name"] for output in only.get_response()["outputs"]] == ["probabilities"]
    wanted = [triton.InferRequestedOutput("probabilities", False), triton.InferRequestedOutput("logits", True)]
    mixed = client.infer("digits", [image()], outputs=wanted)
    assert "data" in mixed.get_output("probabilities") and "data" not in mixed.get_output("logits")
    for name, array in expected.items():
        np.testing.assert_allclose(mixed.as_numpy(name), array, rtol=1e-5)


@pytest.mark.parametrize("binary", [True, False])
def test_several_inputs_of_other_datatypes(client, binary: bool) -> None:
    ids, mask = triton.InferInput("ids", [1, 4], "INT64"), triton.InferInput("mask", [1, 4], "BOOL")
    ids.set_data_from_numpy(np.array([[1, 2, 3, -4]], np.int64), binary_data=binary)
    mask.set_data_from_numpy(np.array([[True, False, True, True]]), binary_data=binary)
    answer = client.infer("mixed", [mask, ids])
    assert answer.as_numpy("total").tolist() == [0] and answer.as_numpy("total").dtype == np.int64


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
@pytest.mark.parametrize("binary", [True, False])
def test_compressed_requests(client, expected, algorithm: str, binary: bool) -> None:
    answer = client.infer("digits", [image(binary)], request_compression_algorithm=algorithm)
    np.testing.assert_allclose(answer.as_numpy("logits"), expected["logits"], rtol=1e-5)


@pytest.mark.parametrize("binary", [True, False])
def test_compressed_answers(client, binary: bool, monkeypatch) -> None:
    unpacked = []
    monkeypatch.setattr(
        gzip, "decompress", lambda data, real=gzip.decompress: unpacked.append(real(data)) or unpacked[-1]
    )
    blank = np.zeros((512, 1, 8, 8), np.float32)
    outputs = [triton.InferRequestedOutput("logits", binary_data=binary)]
    plain = client.infer("digits", [image(True, blank)], outputs=outputs)
    assert not unpacked
    answer = client.infer("digits", [image(True, blank)], outputs=outputs, response_compression_algorithm="gzip")
    assert len(unpacked) == 1 and len(unpacked[0]) > 4096
    np.testing.assert_array_equal(answer.as_numpy("logits"), plain.as_numpy("logits"))


@pytest.mark.parametrize("binary", [True, False])
def test_strings(texts, binary: bool) -> None:
    given = triton.InferInput("text", [3], "BYTES")
    given.set_data_from_numpy(np.array([b"a", b"", "é🙂".encode()], np.object_), binary_data=binary)
    with triton.InferenceServerClient(f"127.0.0.1:{texts.port}") as client:
        outputs = [triton.InferRequestedOutput(name, binary_data=binary) for name in ("same", "sizes")]
        answer = client.infer("m", [given], outputs=outputs)
    found = answer.as_numpy("same").tolist()
    assert [one.encode() if isinstance(one, str) else one for one in found] == [b"a", b"", "é🙂".encode()]
    assert answer.as_numpy("sizes").tolist() == [1, 0, 6]


@pytest.mark.parametrize(
    ("model", "version", "shape", "status", "words"),
    [
        ("absent", "", (2, 1, 8, 8), "404", "no model 'absent'"),
        ("digits", "9", (2, 1, 8, 8), "404", "no version '9'"),
        ("digits", "1", (2, 8, 8), "400", "input 'image': shape is [2, 8, 8]"),
    ],
)
@pytest.mark.parametrize("binary", [True, False])
def test_faults_are_told(client, model: str, version: str, shape: tuple, status: str, words: str, binary: bool) -> None:
    with pytest.raises(triton.InferenceServerException) as caught:
        client.infer(model, [image(binary, IMAGE.reshape(shape))], model_version=version)
    assert caught.value.status() == status and words in caught.value.message()


def test_many_at_once_on_several_connections(server, expected) -> None:
    with triton.InferenceServerClient(f"127.0.0.1:{server.port}", concurrency=4) as client:
        asked = [client.async_infer("digits", [image(at % 2 == 0)]) for at in range(24)]
        for one in asked:
            np.testing.assert_allclose(one.get_result().as_numpy("logits"), expected["logits"], rtol=1e-5)

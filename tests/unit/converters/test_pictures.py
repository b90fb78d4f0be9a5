"""Real photographs and digits become the array a client would send; what would have to be guessed is refused."""

import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits, load_sample_images

from converters import arrays, pictures, samples
from nearedge.errors import InputError, MachineError
from nearedge.release.description import Description


def describe(shape, layout="NCHW", dtype="UINT8", **data):
    one = {"name": "image", "shape": list(shape), "dtype": dtype, "layout": layout}
    return Description.model_validate(
        {
            "schema": 1, "name": "m", "source": {"path": "m"}, "inputs": [one], "outputs": [{"name": "y"}],
            "data": {"path": "pictures", **data},
        }
    )  # fmt: skip


@pytest.fixture(scope="module")
def photographs():
    """scikit-learn's china.jpg and flower.jpg, [427, 640, 3] uint8, and where they lie."""
    found = load_sample_images()
    import sklearn.datasets

    return found.images, Path(sklearn.datasets.__file__).parent / "images"


@pytest.fixture
def folder(tmp_path, photographs):
    """The two photographs as they are."""
    there = tmp_path / "pictures"
    there.mkdir()
    for name in ("china.jpg", "flower.jpg"):
        (there / name).write_bytes((photographs[1] / name).read_bytes())
    return tmp_path


@pytest.mark.parametrize("shape,layout,dtype", [
    ((-1, 3, 427, 640), "NCHW", "UINT8"), ((1, 427, 640, 3), "NHWC", "FP32"), ((427, 640, 3), "HWC", "INT64"),
    ((-1, 3, 640, 427), "NCWH", "FP16"), ((-1, -1, [100, 700], 3), "NHWC", "UINT8"), ((2, 3, 427, 640), "NCHW", "FP64"),
])  # fmt: skip
def test_photographs_are_sent_as_they_are(folder, photographs, shape, layout, dtype):
    found = samples.evaluation(describe(shape, layout, dtype), folder)
    batch = 2 if shape[0] == 2 else 1
    assert len(found.feeds) == 2 // batch and found.rows == 2
    for number, feed in enumerate(found.feeds):
        sent = feed["image"]
        assert sent.dtype == arrays.DTYPES[dtype] and sent.flags.c_contiguous
        rows = sent if "N" in layout else sent[np.newaxis]
        order = ["HWC".index(letter) for letter in layout.removeprefix("N")]
        for at, row in enumerate(rows):
            assert np.array_equal(row, photographs[0][number * batch + at].transpose(order))


def test_a_size_that_does_not_fit_is_refused_unless_resizing_is_asked_for(folder, photographs):
    with pytest.raises(InputError, match=r"china.jpg: is 427 x 640 pixels \(height x width\), the input takes 64 x 96"):
        samples.evaluation(describe((-1, 3, 64, 96)), folder)
    for resize, box in (("stretch", None), ("crop", (106.5, 0, 533.5, 427))):
        found = samples.evaluation(describe((-1, 64, 64, 3), "NHWC", resize=resize), folder).feeds[0]["image"]
        wanted = Image.fromarray(photographs[0][0]).resize((64, 64), Image.Resampling.BILINEAR, box=box)
        assert np.array_equal(found[0], np.asarray(wanted)), resize
    with pytest.raises(InputError, match="may vary, so there is no size to resize to"):
        samples.evaluation(describe((-1, 3, -1, 96), resize="crop"), folder)


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """Sixty of scikit-learn's digits as grey PNG: in folders by class, and in one with a list."""
    there = tmp_path_factory.mktemp("digits")
    data = load_digits()
    lines = ["file,label"]
    for number in range(60):
        image = Image.fromarray((data.images[number] * 15).astype(np.uint8))
        for path in (there / "pictures" / f"{data.target[number]}", there / "listed"):
            path.mkdir(parents=True, exist_ok=True)
            image.save(path / f"{number:03}.png")
        lines.insert(1, f"{number:03}.png,{data.target[number]}")
    (there / "listed" / "labels.csv").write_text("\n".join(lines))
    return there, data


def test_digits_in_folders_by_class(digits):
    described = describe((-1, 1, 8, 8), dtype="FP32", labels="folders", calibration=[0, 20], evaluation=[20, 60])
    folder, data = digits
    found = samples.calibration(described, folder)
    assert found.labels.tolist() == [*range(10), *range(10)]  # every run of rows holds all classes
    first = {label: data.images[list(data.target[:60]).index(label)] * 15 for label in range(10)}
    for number in range(10):
        assert np.array_equal(found.feeds[number]["image"][0, 0], first[number])
    assert samples.evaluation(described, folder).rows == 40


def test_digits_by_a_list(digits):
    folder, data = digits
    described = describe((-1, 8, 8), "NHW", path="listed", labels="labels.csv")
    found = samples.evaluation(described, folder)
    assert found.labels.tolist() == data.target[:60][::-1].tolist()
    assert np.array_equal(found.feeds[1]["image"][0], data.images[58] * 15)


def test_names_of_folders_are_numbers_by_classes(tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        Image.new("L", (4, 4), len(name)).save(tmp_path / "pictures" / name / "a.png")
        (tmp_path / "pictures" / name / ".hidden").write_text("")
    (tmp_path / "pictures" / ".DS_Store").write_text("")
    shape = (-1, 1, 4, 4)
    found = samples.evaluation(describe(shape, labels="folders", classes=["dog", "bird", "cat"]), tmp_path)
    assert found.labels.tolist() == [0, 2]
    for classes, said in ((None, "'cat' is no number; list the names in data.classes"), (["dog"], "'cat' is none of")):
        with pytest.raises(InputError, match=said):
            samples.evaluation(describe(shape, labels="folders", classes=classes), tmp_path)
    with pytest.raises(InputError, match=r"of folders in pictures/ say data.labels: folders"):
        samples.evaluation(describe(shape), tmp_path)


@pytest.mark.parametrize("options,said", [
    ({"labels": "label"}, "data.labels: 'label'; of pictures they are folders, or a .csv file in pictures/"),
    ({"labels": "none.csv"}, "none.csv: no such file"),
    ({"labels": "../pictures.csv"}, "leads out"),
    ({"labels": "folders"}, "china.jpg: is no folder"),
    ({"columns": ["a"]}, "data.columns: is for table, pictures is pictures; remove it"),
])  # fmt: skip
def test_options_that_do_not_fit(folder, options, said):
    with pytest.raises(InputError) as fault:
        samples.evaluation(describe((-1, 3, 427, 640), **options), folder)
    assert said in str(fault.value) and "\n" not in str(fault.value)


@pytest.mark.parametrize("text,said", [
    ("file,label\n../secret.jpg,1", "leads out"), ("file,label\n/etc/passwd,1", "leads out"),
    ("file,label\nnone.jpg,1", "line 2: no picture 'none.jpg' in pictures/"), ("file,class\na,1", "no column 'label'"),
    ("file,label\nchina.jpg,tree", "line 2: 'tree' is no number"), ("file,label\n,1", "no picture ''"),
    ("file,label\n\nchina.jpg", "line 3 has 1 cells, line 1 has 2"),
    ("file,label\n", "neither .npy files nor pictures"),
    ("file,label\n\0,1", "no picture"),
])  # fmt: skip
def test_lists_that_are_wrong(folder, text, said):
    (folder / "pictures" / "labels.csv").write_text(text)
    (folder / "secret.jpg").write_bytes(b"")
    with pytest.raises(InputError) as fault:
        samples.evaluation(describe((-1, 3, 427, 640), labels="labels.csv"), folder)
    assert said in str(fault.value) and "\n" not in str(fault.value)


@pytest.mark.parametrize("shape,layout,dtype,said", [
    ((-1, 3), None, "FP32", "need a layout such as NCHW"), ((-1, 3, 4), "NCD", "FP32", "need a layout"),
    ((3, 4, 4, 1), "CHWN", "FP32", "need a layout"), ((-1, 2, 4, 4), "NCHW", "FP32", "1, 3 or 4 channels"),
    ((-1, -1, 4, 4), "NCHW", "FP32", "1, 3 or 4 channels"), ((-1, 3, 4, 4), "NCHW", "INT8", "which INT8 does not"),
    ((-1, 3, 4, 4), "NCHW", "BOOL", "which BOOL does not"),
])  # fmt: skip
def test_inputs_that_take_no_pictures(folder, shape, layout, dtype, said):
    with pytest.raises(InputError, match=said):
        samples.evaluation(describe(shape, layout, dtype), folder)


@pytest.mark.parametrize("mode,channels,fits", [
    ("L", 1, True), ("1", 1, True), ("RGB", 1, False), ("P", 1, False), ("LA", 1, False), ("I;16", 1, False),
    ("L", 3, True), ("1", 3, True), ("RGB", 3, True), ("P", 3, True), ("RGBA", 3, False), ("I;16", 3, False),
    ("RGBA", 4, True), ("RGB", 4, False),
])  # fmt: skip
def test_what_would_lose_or_make_up_values_is_refused(tmp_path, mode, channels, fits):
    (tmp_path / "pictures").mkdir()
    Image.new(mode, (4, 4)).save(tmp_path / "pictures" / "a.png")
    described = describe((-1, channels, 4, 4))
    if fits:
        assert samples.evaluation(described, tmp_path).feeds[0]["image"].shape == (1, channels, 4, 4)
        return
    with pytest.raises(InputError, match=rf"a.png: is of Pillow's mode {mode}, the input takes {channels} channels"):
        samples.evaluation(described, tmp_path)


def test_transparency_and_turned_photographs_are_refused(tmp_path):
    (tmp_path / "pictures").mkdir()
    path = tmp_path / "pictures" / "a"
    Image.new("RGB", (4, 4)).save(path, "PNG", transparency=(0, 0, 0))
    with pytest.raises(InputError, match="mode transparent"):
        samples.evaluation(describe((-1, 3, 4, 4)), tmp_path)
    turned = Image.Exif()
    turned[pictures.ORIENTATION] = 6
    Image.new("RGB", (4, 4)).save(path, "JPEG", exif=turned)
    with pytest.raises(InputError, match=r"stored turned .EXIF orientation 6"):
        samples.evaluation(describe((-1, 3, 4, 4)), tmp_path)


def test_pictures_of_a_batch_have_one_size(folder):
    Image.new("RGB", (10, 20)).save(folder / "pictures" / "z.png")
    found = samples.evaluation(describe((-1, 3, -1, -1)), folder)
    assert [feed["image"].shape[2:] for feed in found.feeds] == [(427, 640), (427, 640), (20, 10)]
    Image.new("RGB", (10, 20)).save(folder / "pictures" / "b.png")
    with pytest.raises(InputError, match="the next of the same batch has another size"):
        samples.evaluation(describe((2, 3, -1, -1)), folder).feeds[0]


def bomb(width, height):
    """A PNG of a few bytes that claims so many pixels of one bit."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    lines = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", lines) + chunk(b"IEND", b"")


@pytest.mark.parametrize("content,said", [
    (bomb(8000, 8000), "claims 8000 x 8000 pixels, more than 50000000"),
    (bomb(60_000, 60_000), "damaged, or neither PNG nor JPEG (Image size"),
    (bomb(12_000, 10_000), "damaged, or neither PNG nor JPEG (Image size"),
    (bomb(300, 300), "damaged"), (b"", "damaged"), (b"GIF89a" + bytes(50), "neither PNG nor JPEG"),
    (b"version https://git", "neither PNG nor JPEG"),
])  # fmt: skip
def test_hostile_pictures_are_one_line(tmp_path, content, said):
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "a.png").write_bytes(content)
    with pytest.raises(InputError) as fault:
        samples.evaluation(describe((-1, 1, -1, -1)), tmp_path).feeds[0]
    assert said in str(fault.value) and "\n" not in str(fault.value)


def test_a_truncated_photograph_and_a_huge_file(folder):
    path = folder / "pictures" / "china.jpg"
    path.write_bytes(path.read_bytes()[:50_000])
    with pytest.raises(InputError, match=r"china.jpg: damaged, or neither PNG nor JPEG .*truncated"):
        samples.evaluation(describe((-1, 3, 427, 640)), folder).feeds[0]
    with path.open("ab") as file:
        file.truncate(pictures.MOST_BYTES + 1)
    with pytest.raises(InputError, match=r"china.jpg: is larger than 64 MB"):
        samples.evaluation(describe((-1, 3, 427, 640)), folder)


def test_links_out_and_folders_without_pictures(folder, tmp_path):
    (folder / "outside.jpg").write_bytes(b"")
    (folder / "pictures" / "link.jpg").symlink_to(folder / "outside.jpg")
    with pytest.raises(InputError, match="leads out"):
        samples.evaluation(describe((-1, 3, 427, 640)), folder)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"neither .npy files nor pictures"):
        samples.evaluation(describe((-1, 3, 427, 640), path="empty"), folder)


def test_only_one_input_can_be_pictures(folder):
    described = describe((-1, 3, 427, 640))
    two = described.model_copy(update={"inputs": [described.inputs[0]] * 2})
    with pytest.raises(InputError, match=r"pictures hold one input's data, the model has 2; give an .npz"):
        samples.evaluation(two, folder)


def test_without_pillow_the_extra_is_named(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(MachineError, match=r"install nearedge\[onnx\]"):
        samples.evaluation(describe((-1, 3, 427, 640)), folder)

"""Mean average precision against pycocotools', and the forms in which models give boxes."""

import contextlib
import io

import numpy as np
import pytest

from converters import detection
from nearedge.errors import InputError
from nearedge.release.detection import Detection


def scene(seed, images=12, classes=3):
    """Labels [images, 8, 5] and detections [images, 20, 6] near some of them, among noise; xyxy."""
    random = np.random.default_rng(seed)
    labels = np.full((images, 8, 5), -1.0)
    found = np.zeros((images, 20, 6))
    for image in range(images):
        count = int(random.integers(0, 9))
        corner, size = random.uniform(0, 60, (count, 2)), random.uniform(15, 40, (count, 2))
        labels[image, :count] = np.hstack([corner, corner + size, random.integers(0, classes, (count, 1))])
        corner, size = random.uniform(0, 60, (20, 2)), random.uniform(5, 40, (20, 2))
        found[image] = np.hstack([
            corner, corner + size, random.uniform(0.05, 1, (20, 1)).round(2), random.integers(0, classes, (20, 1))
        ])  # fmt: skip
        for at in range(count):
            if random.random() < 0.8:
                found[image, at, :4] = labels[image, at, :4] + random.normal(0, 2, 4)
                found[image, at, 5] = labels[image, at, 4] if random.random() < 0.9 else 0
    return labels, found


def flat(labels, found, **how):
    boxes = Detection(boxes="boxes", **how)
    return detection.detected(boxes, {"boxes": found}), detection.labelled(boxes, labels)


def judge(labels, found):
    """Pycocotools' AP and AP50."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    def box(row):
        return [float(row[0]), float(row[1]), float(row[2] - row[0]), float(row[3] - row[1])]

    truths = [
        {"image_id": image, "category_id": int(row[4]), "bbox": box(row), "area": box(row)[2] * box(row)[3],
         "iscrowd": 0}
        for image, rows in enumerate(labels) for row in rows if row[4] >= 0
    ]  # fmt: skip
    for number, one in enumerate(truths):
        one["id"] = number + 1
    answers = [
        {"image_id": image, "category_id": int(row[5]), "bbox": box(row), "score": float(row[4])}
        for image, rows in enumerate(found) for row in rows
    ]  # fmt: skip
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        categories = sorted({one["category_id"] for one in truths + answers})
        truth.dataset = {
            "images": [{"id": image} for image in range(len(labels))], "annotations": truths,
            "categories": [{"id": one} for one in categories],
        }  # fmt: skip
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(answers), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return float(evaluation.stats[0]), float(evaluation.stats[1])


@pytest.mark.parametrize("seed", range(8))
def test_figures_are_cocos(seed):
    labels, found = scene(seed, classes=1 + seed % 4)
    answers, truths = flat(labels, found)
    wanted = judge(labels, found)
    assert 0.05 < wanted[0] < wanted[1] < 1
    assert (detection.value("map", answers, truths), detection.value("map50", answers, truths)) == pytest.approx(wanted)


def test_more_than_a_hundred_detections_of_a_class_are_cut_as_coco_cuts_them():
    labels, _ = scene(1, images=2, classes=1)
    random = np.random.default_rng(1)
    corner = random.uniform(0, 60, (2, 150, 2))
    found = np.concatenate([corner, corner + random.uniform(5, 40, (2, 150, 2)), random.random((2, 150, 1)),
                            np.zeros((2, 150, 1))], axis=2)  # fmt: skip
    found[:, -8:, :4], found[:, -8:, 4] = labels[..., :4].clip(0), 0.01
    assert detection.value("map", *flat(labels, found)) == pytest.approx(judge(labels, found)[0])


def test_worked_by_hand():
    """One box found, one missed, one false in front: precision 1/2 up to recall 1/2, which are 51 of 101 recalls."""
    labels = np.array([[[0, 0, 10, 10, 0], [20, 20, 30, 30, 0]]])
    found = np.array([[[50, 50, 60, 60, 0.9, 0], [0, 0, 10, 10, 0.8, 0]]])
    assert detection.value("map50", *flat(labels, found)) == pytest.approx(51 / 101 / 2)


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("form", ["xywh", "cxcywh"])
def test_formats_of_boxes(form, seed):
    labels, found = scene(seed)
    wanted = detection.value("map", *flat(labels, found))

    def turned(boxes):
        size = boxes[..., 2:4] - boxes[..., :2]
        first = boxes[..., :2] + (size / 2 if form == "cxcywh" else 0)
        return np.concatenate([first, size, boxes[..., 4:]], axis=-1)

    assert detection.value("map", *flat(turned(labels), turned(found), format=form)) == pytest.approx(wanted)


@pytest.mark.parametrize("classes", [None, "classes"])
def test_scores_and_classes_of_their_own(classes):
    _, found = scene(3)
    wanted = detection.detected(Detection(boxes="b"), {"b": found})
    each = np.zeros((*found.shape[:2], 3))
    np.put_along_axis(each, found[..., 5:].astype(int), found[..., 4:5], axis=2)
    answers = {"b": found[..., :4], "s": each if classes is None else found[..., 4], "classes": found[..., 5]}
    got = detection.detected(Detection(boxes="b", scores="s", classes=classes), answers)
    np.testing.assert_array_equal(got, wanted)
    alone = {name: array[4] for name, array in answers.items()}
    got = detection.detected(Detection(boxes="b", scores="s", classes=classes), alone, first=4)
    np.testing.assert_array_equal(got, wanted[wanted[:, 0] == 4])


def test_what_fills_up_is_left_out():
    found = np.array([[[0, 0, 1, 1, 0.5, 2], [0, 0, 0, 0, 0, -1]]], float)
    assert detection.detected(Detection(boxes="b"), {"b": found}).tolist() == [[0, 0, 0, 1, 1, 0.5, 2]]
    assert detection.value("map", np.empty((0, 7)), np.empty((0, 6))) == 0.0
    none = detection.detected(Detection(boxes="b"), {"b": np.empty((1, 0, 6))})
    assert none.shape == (0, 7) and detection.value("map", none, np.array([[0, 0, 0, 1, 1, 0.0]])) == 0.0


@pytest.mark.parametrize("answers,how,said", [
    ({"b": np.ones((1, 3, 5))}, {}, r"output 'b' has shape \[1, 3, 5\], not \[images, boxes, 6\]"),
    ({"b": np.ones((1, 3, 4)), "s": np.ones((1, 2, 4))}, {"scores": "s"}, r"not \[1, 3, 'classes'\]"),
    ({"b": np.ones((1, 3, 4)), "s": np.ones((1, 2)), "c": np.ones((1, 3))}, {"scores": "s", "classes": "c"},
     r"output 's' has shape \[1, 2\], the boxes \[1, 3\]"),
])  # fmt: skip
def test_outputs_that_do_not_fit(answers, how, said):
    with pytest.raises(InputError, match=said):
        detection.detected(Detection(boxes="b", **how), answers)


def test_labels_that_are_no_boxes():
    with pytest.raises(InputError, match=r"labels of shape \[3\] are no boxes: give \[images, boxes, 5\]"):
        detection.labelled(Detection(boxes="b"), np.zeros(3))

"""The drift reference: one number a row, bins that hold equal shares, and what is left out."""

import numpy as np
import pytest

from converters.drift import LEAST_ROWS, Watched

RANDOM = np.random.default_rng(17)


def references(rows, kind, predict, rows_each=1, image=None):
    """The references of a model that answers `y`, by the tensor's name."""
    watched = Watched(lambda feed: {"y": predict(feed["x"])}, rows_each)
    for number in range(0, rows, rows_each):
        given = RANDOM.normal(size=(rows_each, 4)) if image is None else image[number : number + rows_each]
        watched.predict({"x": given.astype(np.float32)})
    return {one.tensor: one for one in watched.references({"y": kind}, rows)}


def test_numbers_fall_into_deciles(capsys):
    found = references(500, "value", lambda x: x * 2 + 1)
    assert "how input x, output y lie in 500 rows" in capsys.readouterr().err
    assert set(found) == {"x", "y"} and found["x"].of == "input" and found["y"].of == "output"
    for one in found.values():
        assert one.summary == "mean" and one.batched and one.rows == 500 and len(one.edges) == 9
        assert one.edges == sorted(one.edges) and np.allclose(one.expected, 0.1, atol=0.003)
    assert np.allclose(found["y"].edges, 2 * np.array(found["x"].edges) + 1, atol=1e-4)


@pytest.mark.parametrize("rows_each", [1, 4])
def test_scores_are_summed_up_by_their_decision(rows_each):
    images = np.zeros((400, 4))
    images[np.arange(400), np.arange(400) % 3] = 1.0
    images[:200] = [0, 0, 1, 0]
    one = references(400, "class", lambda x: x, rows_each, images)["y"]
    classes = np.bincount(images.argmax(axis=1), minlength=3) / 400
    assert one.summary == "top1" and one.edges == [1.0, 2.0] and one.expected == pytest.approx(list(classes))


def test_many_classes_share_bins():
    one = references(1000, "class", lambda x: np.eye(1000)[RANDOM.integers(0, 1000, len(x))])["y"]
    assert len(one.edges) == 9 and np.allclose(one.expected, 0.1, atol=0.02)


def test_a_request_without_batch_is_one_row():
    found = references(200, "value", lambda x: x.sum())
    assert not found["y"].batched and found["x"].rows == 200


def test_ties_have_one_bin():
    values = np.repeat([[0.0], [1.0], [5.0]], [300, 50, 50], axis=0) * np.ones((1, 4))
    one = references(400, "value", lambda x: x, image=values)["x"]
    assert one.edges == [1.0, 5.0] and one.expected == [0.75, 0.125, 0.125]


def test_what_never_differs_is_left_out(capsys):
    assert set(references(200, "value", lambda x: np.zeros_like(x))) == {"x"}
    assert "output 'y': its mean is the same in all rows; it is not watched" in capsys.readouterr().err
    assert set(references(200, "detections", lambda x: x)) == {"x"}


def test_too_few_rows_are_no_reference(capsys):
    assert references(LEAST_ROWS - 1, "value", lambda x: x) == {}
    assert f"{LEAST_ROWS - 1} evaluation rows are too few" in capsys.readouterr().err

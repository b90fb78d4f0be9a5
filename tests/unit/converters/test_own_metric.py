"""A metric of the user's own: what it is given, which way is better, and what its answer has to be."""

import numpy as np
import pytest

from converters import metrics, own_metric
from converters.own_code import OwnCode
from nearedge.errors import GateError, InputError
from nearedge.release.metric import Metric

JUDGE = """
import numpy as np

def error(answers, labels):
    return np.abs(answers - labels).max()

def nothing(answers, labels):
    return None

def infinite(answers, labels):
    return float("nan")

def shapes(answers, labels):
    return answers.shape[0] * 1000 + answers.ndim * 100 + labels.shape[0]
"""


@pytest.fixture
def scored(tmp_path):
    """A function that gives an empty score for one of the functions."""
    (tmp_path / "judge.py").write_text(JUDGE)

    def made(name, rises=False):
        metric = Metric(name=f"judge:{name}", higher_is_better=rises, allowed_drop=0.1)
        return own_metric.score_of(metric, "y", OwnCode(tmp_path))

    return made


@pytest.mark.parametrize("rises", [True, False])
def test_it_is_held_in_the_direction_that_model_yaml_says(scored, rises):
    score = scored("error", rises)
    score.add(np.array([[1.0], [2.0]]), np.array([[1.5], [2.0]]))
    score.add(np.array([[5.0]]), np.array([[3.0]]))
    assert (score.value(), score.rises, score.metric) == (2.0, rises, "judge:error")
    metrics.gate_doubt(score)  # what it gives by chance is not known
    metrics.gate_expected(score, 2.05, 0.1)
    better, worse = (2.5, 1.5) if rises else (1.5, 2.5)
    metrics.gate_drop(score.metric, score.rises, 2.0, better, 0.1)
    with pytest.raises(GateError, match="judge:error went from 2 to"):
        metrics.gate_drop(score.metric, score.rises, 2.0, worse, 0.1)
    with pytest.raises(GateError, match=r"metric.expected is"):
        metrics.gate_expected(score, better, 0.1)


def test_a_model_without_batch_dimension_gives_a_row_a_request(scored):
    score = scored("shapes")
    for _ in range(3):
        score.add(np.zeros((4, 5)), np.zeros((1,)))
    assert score.value() == 3 * 1000 + 300 + 3


@pytest.mark.parametrize("name", ["nothing", "infinite"])
def test_it_has_to_give_a_finite_number(scored, name):
    score = scored(name)
    score.add(np.zeros((1, 1)), np.zeros((1,)))
    with pytest.raises(InputError, match="it has to give one finite number"):
        score.value()


def test_without_code_there_is_none():
    with pytest.raises(InputError, match="none is allowed here"):
        own_metric.score_of(Metric(name="judge:error", higher_is_better=True, allowed_drop=0), "y", None)
    assert own_metric.score_of(Metric(name="mae", allowed_drop=0), "y", None).metric == "mae"

import keras
import numpy as np
import pytest

from shortlist.models import Catalogue


def test_the_loss_is_the_multinomial_likelihood_of_the_hidden_items() -> None:
    rng = np.random.default_rng(0)
    queries, candidates = rng.normal(size=(2, 3)), rng.normal(size=(5, 3))
    known = np.array([[1, 0], [0, 0]], np.int32)
    hidden = np.array([[0, 2, 5], [4, 0, 0]], np.int32)
    scores = queries @ candidates.T / 0.5
    scores[0, 0] = -np.inf  # known
    logarithms = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
    expected = -(logarithms[0, 1] + logarithms[0, 4] + logarithms[1, 3]) / 3
    loss = Catalogue(temperature=0.5)(
        keras.ops.cast(queries, "float32"),
        keras.ops.cast(candidates, "float32"),
        {"known": known, "hidden": hidden},
    )
    np.testing.assert_allclose(float(loss), expected, rtol=1e-5)


def test_the_logistic_loss_asks_yes_or_no_for_every_candidate_not_known() -> None:
    rng = np.random.default_rng(0)
    queries, candidates = rng.normal(size=(2, 3)), rng.normal(size=(5, 3))
    known = np.array([[1, 0], [0, 0]], np.int32)
    hidden = np.array([[2, 5, 0], [4, 0, 0]], np.int32)
    odds = np.exp(queries @ candidates.T) / 6  # 6: the candidates and the unknown one
    positive = np.zeros((2, 5), bool)
    positive[[0, 0, 1], [1, 4, 3]] = True
    likelihood = np.log(np.where(positive, odds, 1.0) / (1 + odds))
    likelihood[0, 0] = 0.0  # known
    loss = Catalogue(likelihood="logistic")(
        keras.ops.cast(queries, "float32"),
        keras.ops.cast(candidates, "float32"),
        {"known": known, "hidden": hidden},
    )
    np.testing.assert_allclose(float(loss), -likelihood.sum() / 3, rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hidden": 1.0}, "`hidden` must be between 0 and 1, got 1.0"),
        ({"unknown_users": 2.0}, "`unknown_users` must be from 0 to 1, got 2.0"),
        ({"max_history": 1}, "`max_history` must be at least 2, got 1"),
        ({"temperature": 0.0}, "`temperature` must be above 0, got 0.0"),
        ({"likelihood": "poisson"}, "`likelihood` must be 'multinomial' or 'logistic'"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Catalogue(**options)

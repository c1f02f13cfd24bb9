import numpy as np
import pytest

from shortlist.data.invented.taste import (
    GENRE_POSITIONS,
    PULL,
    Tastes,
    draw_choices,
    place_films,
)
from shortlist.data.invented.titles import GENRES


def test_every_genre_has_a_position() -> None:
    assert set(GENRE_POSITIONS) == set(GENRES)


def test_utility_is_popularity_and_the_pull_of_taste() -> None:
    rng = np.random.default_rng(0)
    tastes = Tastes(rng.normal(size=(4, 5)), rng.normal(size=4), rng.normal(size=(3, 5)))
    expected = tastes.popularity[1] + PULL * tastes.viewers[2] @ tastes.films[1] / np.sqrt(5)
    assert tastes.utility()[2, 1] == pytest.approx(expected)


def test_films_stand_on_average_where_their_genres_stand() -> None:
    years = np.full(4000, 1995)
    films = place_films([["Horror", "Comedy"]] * 4000, years, np.random.default_rng(0))
    both = np.add(GENRE_POSITIONS["Horror"], GENRE_POSITIONS["Comedy"]) / np.sqrt(2)
    np.testing.assert_allclose(films.mean(axis=0), [*both, 0], atol=0.03)


def test_choices_follow_the_logit_without_replacement() -> None:
    """The frequencies of all ordered pairs of three films against the formula."""
    utility = np.log([0.5, 0.3, 0.2])
    viewers = 60_000
    choices = draw_choices(
        np.tile(utility, (viewers, 1)), np.full(viewers, 2), np.random.default_rng(0)
    )
    pairs, counts = np.unique(np.array(choices), axis=0, return_counts=True)
    p = np.exp(utility)
    for (first, second), count in zip(pairs, counts, strict=True):
        expected = p[first] * p[second] / (1 - p[first])
        assert count / viewers == pytest.approx(expected, abs=0.01)


def test_viewers_see_as_many_films_as_they_should_and_none_twice() -> None:
    rng = np.random.default_rng(0)
    counts = rng.integers(1, 20, size=50)
    choices = draw_choices(rng.normal(size=(50, 20)), counts, rng)
    assert [len(films) for films in choices] == counts.tolist()
    assert all(len(set(films)) == len(films) for films in choices)

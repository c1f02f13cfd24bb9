"""The sample: invented films, invented viewers, and what they saw."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from shortlist.data.interactions import Interactions
from shortlist.data.invented.oracle import Oracle
from shortlist.data.invented.taste import (
    OCCUPATION_POSITIONS,
    Tastes,
    draw_choices,
    place_films,
    place_viewers,
)
from shortlist.data.invented.titles import GENRES, invent_titles

FILMS, VIEWERS, RATINGS = 2_000, 3_000, 200_000
_FEWEST, _MOST = 20, 400  # ratings of one viewer
_OPENING = 1_672_531_200  # 2023-01-01, when the first viewers join
_DAY = 86_400


@dataclass(frozen=True, eq=False)
class Sample:
    """An invented data set whose best possible hit rate is known.

    Attributes:
        interactions: 200,000 ratings by 3,000 viewers of 2,000 films.
        oracle: The model the viewers chose by.

    Example:
        >>> invented = sample()
        >>> len(invented.interactions), invented.oracle.utility.shape
        (200000, (3000, 2000))
    """

    interactions: Interactions
    oracle: Oracle


def sample(seed: int = 0) -> Sample:
    """Invent a catalogue of films, viewers, and the ratings they left, from a taste model.

    Viewers choose films by the model described in `shortlist.data.invented.taste` and never see
    one twice; ratings from 1 to 5 follow taste, the film's quality and mood. Viewers join over a
    year, and are active for a month to a year.

    Args:
        seed: The same seed gives the same data.

    Returns:
        The interactions, with `title`, `year` and `genres` of films and `age`, `gender` and
        `occupation` of viewers, and the oracle.

    Example:
        >>> films = sample().interactions
        >>> films
        Interactions(200,000 of 3,000 users and 2,000 items)
    """
    rng = np.random.default_rng(seed)
    items, genres, years = _films(rng)
    users, genders, ages, occupations = _viewers(rng)
    tastes = Tastes(
        films=place_films(genres, years, rng),
        popularity=rng.normal(size=FILMS),
        viewers=place_viewers(genders, ages, occupations, rng),
    )
    utility = tastes.utility()
    counts = _counts(rng)
    rows = np.repeat(np.arange(VIEWERS), counts)
    columns = np.concatenate(draw_choices(utility, counts, rng))
    frame = pl.DataFrame(
        {
            "user_id": users["user_id"].gather(rows),
            "item_id": items["item_id"].gather(columns),
            "rating": _ratings(tastes, rows, columns, rng),
            "timestamp": _times(rows, rng),
        }
    ).sort("timestamp", maintain_order=True)
    oracle = Oracle(
        user_ids=users["user_id"].to_numpy(),
        item_ids=items["item_id"].to_numpy(),
        utility=utility.astype(np.float32),
    )
    return Sample(Interactions(frame, users, items), oracle)


def _films(
    rng: np.random.Generator,
) -> tuple[pl.DataFrame, list[list[str]], npt.NDArray[np.int64]]:
    shares = rng.dirichlet(np.full(len(GENRES), 4.0))
    genres = [
        [GENRES[g] for g in rng.choice(len(GENRES), size, replace=False, p=shares)]
        for size in rng.choice([1, 2, 3], size=FILMS, p=[0.3, 0.45, 0.25])
    ]
    years = 2022 - np.floor(72 * rng.beta(1.0, 2.2, size=FILMS)).astype(np.int64)
    frame = pl.DataFrame(
        {
            "item_id": np.arange(1, FILMS + 1),
            "title": invent_titles(genres, rng),
            "year": years,
            "genres": genres,
        }
    )
    return frame, genres, years


def _viewers(
    rng: np.random.Generator,
) -> tuple[pl.DataFrame, list[str], npt.NDArray[np.int64], list[str]]:
    genders = rng.choice(["F", "M"], size=VIEWERS).tolist()
    ages = np.floor(16 + 64 * rng.beta(1.6, 2.4, size=VIEWERS)).astype(np.int64)
    occupations = rng.choice(list(OCCUPATION_POSITIONS), size=VIEWERS).tolist()
    frame = pl.DataFrame(
        {
            "user_id": np.arange(1, VIEWERS + 1),
            "age": ages,
            "gender": genders,
            "occupation": occupations,
        }
    )
    return frame, genders, ages, occupations


def _counts(rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Return how many films each viewer sees: few many, many few, `RATINGS` in all."""
    shares = rng.lognormal(sigma=0.9, size=VIEWERS)
    counts = np.full(VIEWERS, _FEWEST)
    while (left := RATINGS - int(counts.sum())) > 0:
        free = np.where(counts < _MOST, shares, 0.0)
        counts += rng.multinomial(left, free / free.sum())
        counts = np.minimum(counts, _MOST)
    return counts


def _ratings(
    tastes: Tastes,
    rows: npt.NDArray[np.int64],
    columns: npt.NDArray[np.int64],
    rng: np.random.Generator,
) -> npt.NDArray[np.float32]:
    taste = tastes.attraction()[rows, columns]
    taste = (taste - taste.mean()) / taste.std()
    quality = 0.5 * tastes.popularity + np.sqrt(0.75) * rng.normal(size=FILMS)
    mood = rng.normal(size=len(rows))
    ratings = 3.4 + 0.6 * taste + 0.45 * quality[columns] + 0.6 * mood
    whole: npt.NDArray[np.float32] = np.clip(np.round(ratings), 1, 5).astype(np.float32)
    return whole


def _times(rows: npt.NDArray[np.int64], rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Return rising times for each viewer's choices, mostly in the evening."""
    joined = rng.integers(365, size=VIEWERS)
    active = rng.integers(30, 366, size=VIEWERS)
    days = joined[rows] + np.floor(rng.random(len(rows)) * active[rows])
    hours = np.clip(rng.normal(20, 2.5, size=len(rows)), 0, 23.99)
    times = _OPENING + (days * _DAY + hours * 3600).astype(np.int64)
    return times[np.lexsort((times, rows))]

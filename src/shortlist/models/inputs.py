"""What a tower is fed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from shortlist.data import DataError, Vocabulary
from shortlist.data.columns import Source
from shortlist.data.features import FeatureSpec, Output
from shortlist.data.times import time_column

Arrays = Mapping[str, npt.NDArray[Any]]

# From indices to a tower's inputs; for a tower that is one table, the indices themselves.
Inputs = Callable[[npt.NDArray[np.int64]], Any]

HISTORY = "history"
TIMESTAMP = "timestamp"


def indices_only(indices: npt.NDArray[np.int64]) -> npt.NDArray[np.int32]:
    """Returns the inputs of a tower that takes nothing but indices: (n,) int32."""
    return indices.astype(np.int32)


@dataclass(frozen=True, eq=False)
class Columns:
    """The inputs of a tower of features.

    Attributes:
        arrays: For each feature an array with a row per index of the vocabulary; row 0 is for an
            unknown id.
        features: What encoded the table, to encode the values of a request too; None for ids.

    Example:
        >>> Columns({"age": np.array([0.0, 0.5, 1.5])})(np.array([2, 0]))
        {'age': array([1.5, 0. ])}
    """

    arrays: Arrays
    features: FeatureSpec | None = None

    def __call__(self, indices: npt.NDArray[np.int64]) -> dict[str, npt.NDArray[Any]]:
        """Returns the rows of (n,) indices, by feature."""
        return {name: array[indices] for name, array in self.arrays.items()}


class Moments:
    """The inputs of a query tower that come from the time of the query.

    Args:
        features: Over the column `timestamp` alone; one not adapted yet learns from `times`.
        times: (n,) the times of training: seconds since 1970.

    Raises:
        ValueError: Features of other columns, or no times to learn from.

    Example:
        >>> from shortlist.data.features import Time
        >>> moments = Moments(FeatureSpec({"hour": Time("timestamp")}), np.array([0]))
        >>> moments(["2024-01-01T10:30:00Z", None], 2)
        {'hour': array([11,  0], dtype=int32)}
    """

    def __init__(self, features: FeatureSpec, times: npt.NDArray[np.int64] | None = None) -> None:
        if features.columns != (TIMESTAMP,):
            raise ValueError(
                f"`time_features` must read the column {TIMESTAMP!r} and no other, since nothing "
                f"else is known of a query to come; got {list(features.columns)}."
            )
        if not features.is_adapted:
            if times is None:
                raise ValueError("`time_features` need interactions with a column 'timestamp'.")
            features = features.adapt({TIMESTAMP: times})
        self.features = features

    def __call__(self, at: Any, count: int) -> Arrays:
        """Returns the features of each moment, by name.

        Args:
            at: (count,) seconds since 1970, date-times or ISO 8601 text, or one for all; None for
                a moment that is unknown.
            count: The number of queries.
        """
        if at is None:
            unknown = self.features.transform_one({})
            return {name: np.repeat(array, count, axis=0) for name, array in unknown.items()}
        return self.features.transform({TIMESTAMP: _times(at, count)})

    def to_learn_from(self, times: npt.NDArray[np.int64], seed: int | None) -> Arrays:
        """Returns the features of each moment of training.

        Every tenth, drawn at random, is unknown, so that the model also learns to answer when
        nobody says when.
        """
        known = self(times, len(times))
        if seed is None:
            return known
        hidden = np.random.default_rng(seed).random(len(times)) < 0.1
        unknown = self(None, int(hidden.sum()))
        for name, array in known.items():
            array[hidden] = unknown[name]
        return known


def ends(at: Any, count: int) -> npt.NDArray[np.int64]:
    """Returns where the history of each query ends: at its time, in seconds since 1970.

    Args:
        at: As for `Moments`; the history of a query whose time is unknown ends never.
        count: The number of queries.

    Example:
        >>> ends(["1970-01-01T00:01:00Z", None], 2)[0]
        np.int64(60)
    """
    times = _times(at, count)
    if times.dtype.is_float():
        times = times.fill_nan(None)
    known = times.is_not_null()
    out = np.full(count, np.iinfo(np.int64).max)
    out[known.to_numpy()] = time_column(
        times.filter(known),
        Source("`at`", options=False),
        "s" if times.dtype.is_numeric() else None,
    )
    return out


def _times(at: Any, count: int) -> pl.Series:
    """The time of each query as it was given: one for each, or one for all."""
    if isinstance(at, str) or not isinstance(at, Sequence | np.ndarray | pl.Series):
        at = [at] * count
    if len(at) != count:
        raise ValueError(
            f"`at` must be one time or one for each of {count} queries, got {len(at)}."
        )
    if isinstance(at, Sequence) and any(isinstance(one, np.generic) for one in at):
        at = np.array(at)  # which knows the unit of its own date-times
    try:
        times = pl.Series(TIMESTAMP, at)
    except (TypeError, OverflowError, pl.exceptions.PolarsError):
        times = pl.Series(TIMESTAMP, at, dtype=pl.Object)
    if times.dtype.is_nested() or times.dtype in (pl.Object, pl.Int128, pl.Boolean, pl.Binary):
        raise ValueError(
            "`at` must be seconds since 1970, date-times or ISO 8601 text, got "
            f"{str(times[0])[:40]!r}."
        )
    return times


def id_columns(vocabulary: Vocabulary, name: str) -> Columns:
    """Returns the inputs of a tower whose only feature, `name`, is the id."""
    return Columns({name: np.arange(vocabulary.size, dtype=np.int32)})


def feature_columns(
    spec: FeatureSpec, table: pl.DataFrame | None, vocabulary: Vocabulary, key: str
) -> tuple[FeatureSpec, Columns]:
    """Returns the features of every id of a vocabulary.

    Args:
        spec: Over the columns of `table`, `key` among them.
        table: A row per id, or None where `key` is all that is known.
        vocabulary: The ids.
        key: The column of the ids in `table`, `"user_id"` or `"item_id"`.

    Returns:
        The spec, adapted to the ids of the vocabulary if it was not, and arrays with a row per
        index. For an id that is not in the table, every other column is missing.

    Raises:
        DataError: A column that is not there.
    """
    unread = [column for column in spec.columns if column != key]
    if table is None and unread:
        kind = key.removesuffix("_id")
        raise DataError(
            f"a feature reads {unread[0]!r}, but of {kind}s only the id is known: give a table "
            f"`{kind}s` with the columns {key!r} and {unread[0]!r}."
        )
    rows = pl.DataFrame({key: pl.Series([None, *vocabulary.ids.tolist()])})
    if table is not None:
        rows = rows.join(table, on=key, how="left", maintain_order="left")
    if not spec.is_adapted:
        spec = spec.adapt(rows[1:])
    return spec, Columns(spec.transform(rows), spec)


def id_output(vocabulary: Vocabulary) -> Output:
    """Returns what an id becomes: its index."""
    return Output("index", size=vocabulary.size)


def history_output(items: Vocabulary) -> Output:
    """Returns what a history becomes: the indices of its items."""
    return Output("indices", size=items.size)


def side(
    key: str,
    vocabulary: Vocabulary,
    spec: FeatureSpec | None,
    table: pl.DataFrame | None,
    further: Mapping[str, Output],
) -> tuple[dict[str, Output], Columns]:
    """Returns the features of a tower, and where the values of an id come from.

    Args:
        key: The column of the ids.
        vocabulary: The ids.
        spec: What is known of an id; None knows the id itself.
        table: A row per id, or None.
        further: Features of the tower that belong to a query and not to an id.

    Raises:
        ValueError: Two features of one name.
    """
    if spec is not None and not isinstance(spec, FeatureSpec):
        raise TypeError(
            f"the features of {key.removesuffix('_id')}s must be a FeatureSpec, got "
            f"{type(spec).__name__}."
        )
    if spec is None:
        outputs, columns = {key: id_output(vocabulary)}, id_columns(vocabulary, key)
    else:
        spec, columns = feature_columns(spec, table, vocabulary, key)
        outputs = dict(spec.outputs)
    for name in further:
        if name in outputs:
            raise ValueError(
                f"{name!r} is the name of another feature; call one of them otherwise."
            )
    return {**outputs, **further}, columns

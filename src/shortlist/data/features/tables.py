"""The tables that features read: examples to learn from, queries to answer, candidates to index.

A history must not hold the item that is to be predicted from it. So it holds either what came
strictly before, or all of the user's other items.
"""

from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from shortlist.data.columns import id_series
from shortlist.data.errors import DataError
from shortlist.data.histories import Histories
from shortlist.data.interactions import Interactions
from shortlist.data.vocabulary import Vocabulary

_BLOCK = 4_000_000  # places in histories looked at together


def example_table(
    interactions: Interactions,
    *,
    past: Interactions | None = None,
    history: int = 20,
    history_from: Literal["before", "others"] | None = None,
) -> pl.DataFrame:
    """Return one row per interaction with all that is known of its user, its item and the past.

    Args:
        interactions: What is to be predicted.
        past: Where histories come from; `interactions` themselves where not given. To encode test
            give train here.
        history: How many items a history holds at most; 0 for no history.
        history_from: `"before"`: the user's items at strictly earlier times, as it is when
            predicting the future. `"others"`: all of the user's items in `past` except the item
            of the row, as it is when held-out items were drawn at random. `"before"` where both
            have times, unless said otherwise.

    Returns:
        The columns of `interactions.frame`, `history` (item ids, most recent first; the order of
        rows where there are no times), the features of users, and those of items.

    Raises:
        DataError: A column that stands in two of the tables, or no times to tell what was before.

    Example:
        >>> views = Interactions.from_arrays([1, 1, 1], [7, 8, 9], timestamp=[10, 20, 30])
        >>> example_table(views)["history"].to_list()
        [[], [7], [8, 7]]
        >>> example_table(views, history_from="others")["history"].to_list()
        [[9, 8], [9, 7], [8, 7]]
    """
    past = interactions if past is None else past
    timed = "timestamp" in interactions.values and "timestamp" in past.values
    if history_from is None:
        history_from = "before" if timed else "others"
    if history_from not in ("before", "others"):
        raise DataError(f"`history_from` must be 'before' or 'others', got {history_from!r}.")
    if history_from == "before" and not timed:
        raise DataError("history from before needs a column 'timestamp', and there is none.")
    table = interactions.frame
    if history:
        targets = table.select("user_id", "item_id", *(["timestamp"] if timed else []))
        before = history_from == "before"
        table = table.with_columns(_histories(targets, past, history, before=before))
    table = _with_features(table, interactions.users, "user_id")
    return _with_features(table, interactions.items, "item_id")


def query_table(past: Interactions, user_ids: Any = None, *, history: int = 20) -> pl.DataFrame:
    """Return one row per user with all that is known of them and their past.

    Args:
        past: What is known; for an evaluation, train.
        user_ids: The users; every user of `past` where not given. Others have an empty history.
        history: How many items a history holds at most; 0 for no history.

    Returns:
        `user_id`, `history` (item ids, most recent first) and the features of users.

    Example:
        >>> views = Interactions.from_arrays([1, 1, 2], [7, 8, 9], timestamp=[10, 20, 30])
        >>> query_table(views, [2, 1, 3])["history"].to_list()
        [[9], [8, 7], []]
    """
    ids = past.user.ids if user_ids is None else id_series(user_ids, "user_ids")
    table = pl.DataFrame({"user_id": ids})
    if history:
        table = table.with_columns(_histories(table, past, history, before=False))
    return _with_features(table, past.users, "user_id")


def candidate_table(interactions: Interactions, item_ids: Any = None) -> pl.DataFrame:
    """Return one row per item with all that is known of it.

    Args:
        interactions: Where items and their features are.
        item_ids: The items; every item of an interaction where not given.

    Returns:
        `item_id` and the features of items.

    Example:
        >>> films = {"item_id": [7, 8], "title": ["Alien", "Brazil"]}
        >>> candidate_table(Interactions.from_arrays([1], [8], items=films)).rows()
        [(8, 'Brazil')]
    """
    ids = interactions.item.ids if item_ids is None else id_series(item_ids, "item_ids")
    return _with_features(pl.DataFrame({"item_id": ids}), interactions.items, "item_id")


def _with_features(table: pl.DataFrame, features: pl.DataFrame | None, key: str) -> pl.DataFrame:
    if features is None:
        return table
    for column in features.columns:
        if column != key and column in table.columns:
            raise DataError(
                f"the features of {key[:-3]}s have a column {column!r}, and so does another table; "
                "rename one."
            )
    if table[key].dtype != features[key].dtype:
        raise DataError(
            f"`{key}s` must be {features[key].dtype}, as in the features, got {table[key].dtype}."
        )
    return table.join(features, on=key, how="left", maintain_order="left")


def _histories(
    targets: pl.DataFrame, past: Interactions, length: int, *, before: bool
) -> pl.Series:
    """Return what each target's user chose in the past, most recent first.

    Args:
        targets: `user_id`; with `before` also `timestamp`. Where there is an `item_id` and not
            `before`, that item is left out.
        past: Where histories come from.
        length: How many items at most.
        before: Whether to take only what is strictly earlier than the target.
    """
    users, items = Vocabulary(past.user.ids), Vocabulary(past.item.ids)
    histories = Histories.from_interactions(past).encoded(users, items)
    user = users.encode(targets["user_id"])
    moments = targets["timestamp"].to_numpy() if before else None
    own = np.zeros(len(targets), np.int64)
    window = length
    if not before and "item_id" in targets.columns:
        own = items.encode(targets["item_id"])
        pairs = pl.DataFrame({"user": past.user.rows, "item": past.item.rows})
        window += int(pairs.group_by("user", "item").len()["len"].max() or 0)  # type: ignore[arg-type]

    found, lengths = [], []
    size = max(1, _BLOCK // window)
    for rows in (slice(start, start + size) for start in range(0, len(targets), size)):
        moment = None if moments is None else moments[rows]
        latest_first = histories.padded(user[rows], window, before=moment)[:, ::-1]
        there = (latest_first > 0) & (latest_first != own[rows, None])
        if window > length:
            there &= there.cumsum(axis=1, dtype=np.int32) <= length
        found.append(latest_first[there])
        lengths.append(there.sum(axis=1))
    return _lists(items, np.concatenate(found), np.concatenate(lengths))


def _lists(
    items: Vocabulary, indices: npt.NDArray[np.int32], lengths: npt.NDArray[np.int64]
) -> pl.Series:
    """Return the column of lists of these lengths, of the ids with these indices."""
    ids = pl.DataFrame(
        {
            "row": np.repeat(np.arange(len(lengths), dtype=np.uint32), lengths),
            "history": pl.Series(items.ids).gather(indices - 1),
        }
    )
    lists = ids.group_by("row", maintain_order=True).agg("history")
    rows = pl.DataFrame({"row": np.arange(len(lengths), dtype=np.uint32)})
    joined = rows.join(lists, on="row", how="left", maintain_order="left")
    return joined["history"].fill_null(pl.lit([], dtype=lists["history"].dtype))

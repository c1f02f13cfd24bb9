"""The pairs of user and item of two parts, compared without a table of all of them."""

import numpy as np
import numpy.typing as npt
import polars as pl

from shortlist.data.errors import DataError
from shortlist.data.id_rows import IdRows
from shortlist.data.interactions import Interactions
from shortlist.data.storage import blocks


def check_id_types(test: Interactions, train: Interactions) -> None:
    """Refuse a test and a train part whose ids are integers in one and text in the other.

    Raises:
        DataError: The column, and an id of both.
    """
    for column, ours, theirs in (
        ("user_id", test.user, train.user),
        ("item_id", test.item, train.item),
    ):
        if ours.ids.dtype != theirs.ids.dtype:
            raise DataError(
                f"`test` and `train` must have ids of one type; {column!r} is {_kind(ours)} in "
                f"`test` and {_kind(theirs)} in `train`. Read both in the same way."
            )


def _kind(column: IdRows) -> str:
    kind = "text" if column.ids.dtype == pl.String else "an integer"
    return f"{kind}, such as {column.values(slice(1))[0]!r}," if len(column) else kind


def pair_numbers(part: Interactions, whole: Interactions) -> npt.NDArray[np.int64]:
    """Return a number for user and item of each interaction, the same for the same pair.

    Args:
        part: Whose pairs are numbered.
        whole: Pairs of a user and an item of `whole` have numbers from 0; others have -1.
    """
    users, items = part.user.rows_in(whole.user), part.item.rows_in(whole.item)
    numbers = np.empty(len(part), np.int64)
    for rows in blocks(len(part), part.user.rows, part.item.rows):
        user, item = users[part.user.rows[rows]], items[part.item.rows[rows]]
        known = (user >= 0) & (item >= 0)
        numbers[rows] = np.where(known, user * len(whole.item.ids) + item, -1)
    return numbers


def stand_in(test: Interactions, train: Interactions) -> npt.NDArray[np.bool_]:
    """Return for each interaction of test whether its pair of user and item is in train too."""
    numbers = pl.Series(pair_numbers(test, train))
    wanted = numbers.unique().implode()
    found = [pl.Series([], dtype=pl.Int64)]
    for rows in blocks(len(train), train.user.rows, train.item.rows):
        here = train.user.rows[rows] * np.int64(len(train.item.ids)) + train.item.rows[rows]
        theirs = pl.Series(here)
        found.append(theirs.filter(theirs.is_in(wanted)).unique())
    return numbers.is_in(pl.concat(found).unique().implode()).to_numpy()

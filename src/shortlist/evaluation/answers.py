"""What recommenders answer: in many forms, read into one and checked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import chain, compress
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from shortlist.ids import are_text, as_ids, check_kind

Ids = npt.NDArray[Any]

_UNORDERED = (Mapping, Set, str, bytes)
_LONG_FORM = {"user_id", "item_id"}


@dataclass(frozen=True)
class Lists:
    """The candidates of q queries, best first.

    Attributes:
        scores: (q, w) float64, descending. A score of -inf, and nothing else, is padding.
        ids: (q, w) int64, or object (str); of no meaning where the score is -inf.
    """

    scores: npt.NDArray[np.float64]
    ids: Ids

    @property
    def width(self) -> int:
        """Places in each list."""
        return int(self.scores.shape[1])

    @property
    def filled(self) -> npt.NDArray[np.bool_]:
        """(q, w) whether a candidate stands at a place."""
        return self.scores > -np.inf

    def take(self, rows: npt.NDArray[Any]) -> Lists:
        """Returns some of the lists, by number or by mask."""
        return Lists(self.scores[rows], self.ids[rows])

    def followed_by(self, others: Lists) -> Lists:
        """Returns each list with another one behind it."""
        return Lists(
            np.concatenate([self.scores, others.scores], axis=1),
            np.concatenate([self.ids, others.ids], axis=1),
        )

    def among(self, listed: Sequence[Ids]) -> npt.NDArray[np.bool_]:
        """Returns, as (q, w), which candidates stand in the ids listed for their query."""
        found = np.zeros(self.scores.shape, dtype=bool)
        rows = np.repeat(np.arange(len(listed)), [len(ids) for ids in listed])
        if len(rows) and self.filled.any():
            text = are_text(self.ids)
            wanted = _pairs(rows, np.concatenate(listed), text).unique().with_columns(found=True)
            pairs = self._pairs().join(
                wanted, on=["query", "id"], how="left", maintain_order="left"
            )
            found[self.filled] = pairs["found"].fill_null(False).to_numpy()
        return found

    def repeats(self) -> npt.NDArray[np.bool_]:
        """Returns, as (q, w), which candidates stand further ahead in their list too."""
        again = np.zeros(self.scores.shape, dtype=bool)
        if self.filled.any():
            is_first = self._pairs().select(pl.struct("query", "id").is_first_distinct())
            again[self.filled] = ~is_first.to_series().to_numpy()
        return again

    def _pairs(self) -> pl.DataFrame:
        return _pairs(np.nonzero(self.filled)[0], self.ids[self.filled], are_text(self.ids))


def read_lists(answer: Any, users: Ids, text: bool, who: str, start: int = 0) -> Lists:
    """Reads what a recommender answered.

    Args:
        answer: Something with `scores` and `ids`; a pair (scores, ids); or ids alone, best first,
            which count as strictly ordered. Each part is a (q, w) array, tensor or data frame, or
            holds one sequence for each user, of any lengths.
        users: (q,) ids of the users who were asked for.
        text: Whether ids are str here.
        who: Whose answer it is, to begin an error message with.
        start: How many candidates each user was given before, where ids come alone.

    Returns:
        The lists, padded to one width.

    Raises:
        ValueError: The answer has another form; its scores are NaN or not in descending order; an
            id is none, or of the other kind, or comes twice for one user.

    Example:
        >>> read_lists([[7], [7, -1]], np.array([1, 2]), False, "The recommender").scores
        array([[  0., -inf],
               [  0.,  -1.]])
    """
    scores, ids = _parts(answer, who)
    flat, widths = _flat(ids, who)
    values, score_widths = (None, widths) if scores is None else _flat(scores, who)
    if len(widths) != len(users) or not np.array_equal(widths, score_widths):
        raise ValueError(
            f"{who}, asked for {len(users)} users, must answer with as many lists, of as many "
            f"scores as ids; got {shape_of(widths)} ids"
            + ("." if scores is None else f" and {shape_of(score_widths)} scores.")
        )
    stands = np.arange(widths.max()) < widths[:, None]
    table = np.full(stands.shape, -np.inf)
    if values is None:
        table[:] = np.where(stands, -np.arange(start, start + stands.shape[1]), -np.inf)
    else:
        table[stands] = _numbers(values, who)
    if np.isnan(table).any():
        raise ValueError(f"{who} must answer with numbers for scores, got NaN.")
    if (table[:, 1:] > table[:, :-1]).any():
        user = users.tolist()[np.argmax((table[:, 1:] > table[:, :-1]).any(axis=1))]
        raise ValueError(
            f"{who} must answer with scores in descending order; those for user {user!r} are not."
        )
    filled = table > -np.inf
    is_id = filled[stands]
    try:
        kept = as_ids(flat[is_id] if isinstance(flat, np.ndarray) else list(compress(flat, is_id)))
        check_kind(kept, text, "ids", "`test`")
    except ValueError as error:
        raise ValueError(f"{who} answered with ids that are none here: {error}") from None
    found = np.full(stands.shape, "", object) if text else np.zeros(stands.shape, np.int64)
    found[filled] = kept
    lists = Lists(table, found)
    refuse_any(
        lists,
        lists.repeats(),
        users,
        f"{who} answered {{user}} with the id {{item}} twice. An id may come once; where there are "
        "fewer candidates than were asked for, end the list, or pad it with the score -inf.",
    )
    return lists


def refuse_any(lists: Lists, wrong: npt.NDArray[np.bool_], users: Ids, sentence: str) -> None:
    """Raises a ValueError with the user and the item of the first candidate that is wrong."""
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        user, item = users.tolist()[row], lists.ids[row].tolist()[column]
        raise ValueError(sentence.format(user=f"user {user!r}", item=repr(item)))


def _parts(answer: Any, who: str) -> tuple[Any, Any]:
    """The scores, or None, and the ids."""
    scores, ids = getattr(answer, "scores", None), getattr(answer, "ids", None)
    if scores is not None and ids is not None:
        return scores, ids
    if isinstance(answer, tuple):
        if len(answer) < 2:
            raise ValueError(f"{who} must answer with (scores, ids), got a tuple of {len(answer)}.")
        return answer[0], answer[1]
    if isinstance(answer, list) and [getattr(part, "ndim", 0) for part in answer] == [2, 2]:
        return answer[0], answer[1]  # what `predict` of a Keras model gives
    return None, answer


def _flat(values: Any, who: str) -> tuple[Ids | list[Any], npt.NDArray[np.int64]]:
    """All values of all rows, one after the other, and the length of each row."""
    if hasattr(values, "detach"):  # PyTorch
        values = values.detach().cpu()
        values = values.double() if values.is_floating_point() else values
    if _LONG_FORM & set(map(str, getattr(values, "columns", ()))):
        raise ValueError(
            f"{who} must answer with one row for each user, got a data frame with the columns "
            f"{list(map(str, values.columns))}."
        )
    for as_list in ("to_list", "to_pylist"):  # columns of lists, ragged tensors
        values = getattr(values, as_list)() if hasattr(values, as_list) else values
    if len(getattr(values, "shape", ())) == 2:
        table = np.asarray(values)
        return table.ravel(), np.full(len(table), table.shape[1])
    if isinstance(values, _UNORDERED) or not isinstance(values, Iterable):
        raise ValueError(f"{who} must answer with one list a user, got {type(values).__name__}.")
    rows = list(values)
    for row in rows:
        if isinstance(row, _UNORDERED) or not isinstance(row, Iterable) or _is_scalar(row):
            raise ValueError(f"{who} must answer with one list for each user, got {row!r} for one.")
    lists = [row.tolist() if hasattr(row, "tolist") else list(row) for row in rows]
    return list(chain.from_iterable(lists)), np.array(list(map(len, lists)), dtype=np.int64)


def _is_scalar(row: Any) -> bool:
    """Whether it is a value, some of which have `__iter__` all the same."""
    return getattr(row, "shape", None) == ()


def shape_of(widths: npt.NDArray[np.int64]) -> str:
    """The lengths of lists as a shape."""
    return f"({len(widths)}, {widths[0]})" if len(set(widths)) == 1 else f"({len(widths)}, …)"


def _numbers(values: Ids | list[Any], who: str) -> npt.NDArray[np.float64]:
    try:
        array = np.asarray(values)
        if array.dtype.kind in "UTSmMc":
            raise TypeError(array.dtype)
        return array.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{who} must answer with numbers for scores: {error}.") from None


def _pairs(queries: npt.NDArray[np.int64], ids: Ids, text: bool) -> pl.DataFrame:
    dtype = pl.String if text else pl.Int64
    column = pl.Series(ids.tolist() if ids.dtype == object else ids, dtype=dtype)
    return pl.DataFrame({"query": queries, "id": column})

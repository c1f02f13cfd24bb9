"""Whether changes fit a bundle: its kinds of ids, its columns, the length of its embeddings."""

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import Any

import numpy as np
import polars as pl

from shortlist.bundle import Bundle
from shortlist.bundle.answering import Answering
from shortlist.data.errors import nearest
from shortlist.ids import are_text
from shortlist.live.changes import Change, Interaction, ItemUpsert


def check_fit(changes: Iterable[Change], bundle: Bundle, current: Answering) -> None:
    """Refuse changes that could not be applied.

    Args:
        changes: What is to be appended.
        bundle: What was learnt.
        current: The bundle with what changed since.

    Raises:
        ValueError: An id of another kind, an unknown item, an attribute that is no column or not
            of its type, an embedding of another length, or none where there must be one.
    """
    coming: set[int | str] = set()
    for change in changes:
        _check_kind("item", change.item_id, bundle.items.text)
        if isinstance(change, ItemUpsert):
            _check_upsert(change, bundle, current)
            coming.add(change.item_id)
        elif isinstance(change, Interaction):
            if len(bundle.tower.users):
                _check_kind("user", change.user_id, are_text(bundle.tower.users.ids))
            known = change.item_id in coming or _is_known(change.item_id, bundle, current)
            if not known:
                raise ValueError(current.items.unknown(change.item_id))


def _check_upsert(change: ItemUpsert, bundle: Bundle, current: Answering) -> None:
    tower, attributes = bundle.candidate_tower, change.attributes
    if attributes is not None:
        check_attributes(attributes, bundle)
        if tower is not None:
            tower.embed([change.item_id], [attributes])  # a value may be of its type and not fit
    if change.embedding is not None:
        if len(change.embedding) != bundle.index.dim:
            raise ValueError(
                f"`embedding` must have shape ({bundle.index.dim},), as those of this bundle, got "
                f"{change.embedding.shape}."
            )
    elif tower is None and not _is_known(change.item_id, bundle, current):
        raise ValueError(
            f"item {change.item_id!r} is new and must come with an `embedding`: this bundle has no "
            "candidate tower that makes one of attributes."
        )


def _is_known(item: int | str, bundle: Bundle, current: Answering) -> bool:
    return item in current.items or bool(bundle.items.positions([item])[0] >= 0)


def _check_kind(what: str, value: int | str, text: bool) -> None:
    if isinstance(value, str) != text:
        raise ValueError(
            f"`{what}_id` must be {'text' if text else 'an integer'}, as those of this bundle are; "
            f"got the {type(value).__name__} {value!r}."
        )


def check_attributes(attributes: Mapping[str, Any], bundle: Bundle) -> None:
    """Refuse attributes that are no columns of the bundle's items, or not of their types.

    What the candidate tower reads beside the columns may be given too.

    Raises:
        ValueError: As above, naming the first.
    """
    table = bundle.items.table
    schema = {name: table.schema[name] for name in table.columns[1:]}
    further = () if bundle.candidate_tower is None else bundle.candidate_tower.columns
    for name, value in attributes.items():
        if name not in schema:
            if name in further:
                continue
            known = [*schema, *(one for one in further if one not in schema)]
            raise ValueError(
                f"the items of this bundle have no column {name!r}{nearest(name, known)}; they "
                f"have {known}."
            )
        if not _fits(value, schema[name]):
            raise ValueError(
                f"`attributes[{name!r}]` must be {_described(schema[name])}, as the column of "
                f"this bundle's items; got {value!r:.60}."
            )


def _fits(value: Any, dtype: pl.DataType) -> bool:
    if value is None:
        return True
    if isinstance(dtype, pl.List | pl.Array):
        return isinstance(value, list) and all(_fits(one, _inner(dtype)) for one in value)
    if isinstance(value, bool):
        return isinstance(dtype, pl.Boolean)
    if dtype.is_integer():
        limits = np.iinfo(str(dtype).lower())
        return isinstance(value, int) and limits.min <= value <= limits.max
    if dtype.is_float():
        return isinstance(value, int | float)
    if isinstance(dtype, pl.Date | pl.Datetime):
        return isinstance(value, str) and _parses(value, date if dtype == pl.Date else datetime)
    return isinstance(value, str) and isinstance(dtype, _TEXT)


_TEXT = (pl.String, pl.Categorical, pl.Enum)


def _described(dtype: pl.DataType) -> str:
    if isinstance(dtype, pl.List | pl.Array):
        return f"a list, each value {_described(_inner(dtype))}"
    if isinstance(dtype, pl.Boolean):
        return "true or false"
    if dtype.is_integer():
        return f"an integer of {dtype}"
    if dtype.is_float():
        return "a number"
    if isinstance(dtype, pl.Date):
        return "a date such as '2024-12-31'"
    if isinstance(dtype, pl.Datetime):
        return "a time such as '2024-12-31T23:59:59'"
    return "text" if isinstance(dtype, _TEXT) else f"left out or null, since it is of {dtype}"


def _inner(dtype: pl.List | pl.Array) -> pl.DataType:
    inner = dtype.inner
    return inner if isinstance(inner, pl.DataType) else inner()


def _parses(value: str, kind: type[date]) -> bool:
    try:
        kind.fromisoformat(value)
    except ValueError:
        return False
    return True

"""What a request to TensorFlow Serving asks for, in rows (`instances`) or columns (`inputs`)."""

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shortlist.serving.errors import RequestError
from shortlist.serving.settings import Limits


@dataclass(frozen=True)
class Asked:
    """What is asked for, for each row.

    Args:
        users: The users' ids, as they came.
        k: How many candidates.
        exclude_seen: Whether to leave out what the user has had.
    """

    users: Sequence[Any]
    k: Sequence[int]
    exclude_seen: Sequence[bool]


def from_instances(instances: list[Any], limits: Limits) -> Asked:
    """Read rows: user ids, or records of user_id, k and exclude_seen.

    Args:
        instances: The rows.
        limits: Give the k of a row that names none.

    Raises:
        RequestError: A row is neither (400).
    """
    users, ks, seen = [], [], []
    for position, instance in enumerate(instances):
        record = instance if _is_record(instance) else {"user_id": instance}
        unknown = set(record) - {"user_id", "k", "exclude_seen"}
        if unknown or "user_id" not in record:
            raise RequestError(
                400,
                f"instances[{position}] must be a user id or a record of user_id, k and "
                f"exclude_seen, got {str(instance)[:100]}.",
            )
        users.append(_scalar(record["user_id"], "user_id"))
        ks.append(_count(_scalar(record.get("k", limits.usual_k), "k")))
        seen.append(_flag(_scalar(record.get("exclude_seen", True), "exclude_seen")))
    return Asked(users, ks, seen)


def from_inputs(inputs: Any, limits: Limits) -> Asked:
    """Read columns: that of user ids, or each by its name.

    Args:
        inputs: The columns.
        limits: How many rows there may be, and the k where none is named.

    Raises:
        RequestError: They are no such columns, of different lengths, or too long (400).
    """
    columns: Mapping[str, Any] = inputs if _is_record(inputs) else {"user_id": inputs}
    unknown = set(columns) - {"user_id", "k", "exclude_seen"}
    if unknown or "user_id" not in columns:
        raise RequestError(400, "`inputs` must have user_id, and may have k and exclude_seen.")
    users = [_scalar(user, "user_id") for user in _column(columns["user_id"])]
    limits.check_rows(len(users))
    ks = [_count(_scalar(k, "k")) for k in _column(columns.get("k", limits.usual_k))]
    seen = [
        _flag(_scalar(value, "exclude_seen"))
        for value in _column(columns.get("exclude_seen", True))
    ]
    return Asked(users, _spread(ks, len(users), "k"), _spread(seen, len(users), "exclude_seen"))


def _is_record(value: Any) -> bool:
    return isinstance(value, dict) and set(value) != {"b64"}


def _column(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _spread(values: list[Any], count: int, name: str) -> list[Any]:
    if len(values) == 1:
        return values * count
    if len(values) != count:
        raise RequestError(400, f"`{name}` must have 1 or {count} values, got {len(values)}.")
    return values


def _scalar(value: Any, name: str) -> Any:
    while isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, dict) and set(value) == {"b64"}:
        try:
            return base64.b64decode(value["b64"], validate=True).decode()
        except (binascii.Error, UnicodeDecodeError, TypeError, ValueError) as error:
            raise RequestError(400, f"`{name}` has bad base64: {error}.") from None
    if isinstance(value, list | dict) or value is None:
        raise RequestError(400, f"`{name}` must be one value a row, got {str(value)[:100]}.")
    return value


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise RequestError(400, f"`k` must be an integer, got {value!r}.")
    return value


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise RequestError(400, f"`exclude_seen` must be true or false, got {value!r}.")
    return value

"""Candidate embeddings on the host: checked, in batches, and in files."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from keras import ops
from numpy.typing import NDArray

from shortlist.ids import are_text, as_ids
from shortlist.layers._candidate_ids import CandidateIds

Array = NDArray[Any]

PARTS = (
    "candidate_embeddings",
    "candidate_ids",
    "candidate_ids_utf8",
    "candidate_ids_ends",
    "dataset_dim",
)
DIGEST = "candidates_digest"


def checked_embeddings(
    embeddings: Any, argument: str = "candidate_embeddings"
) -> NDArray[np.float32]:
    """Returns embeddings as a float32 array of the host, or raises what is wrong with them."""
    if embeddings is None:
        raise ValueError(f"`{argument}` must have shape (n, d), got None.")
    array = np.asarray(ops.convert_to_numpy(embeddings))
    if array.ndim != 2 or 0 in array.shape:
        raise ValueError(f"`{argument}` must have shape (n, d), got {array.shape}.")
    if array.dtype.kind in "OUSbc":
        raise TypeError(f"`{argument}` must hold floats, got dtype {array.dtype}.")
    with np.errstate(over="ignore"):  # What float32 cannot hold is reported as infinite.
        array = np.ascontiguousarray(array, dtype=np.float32)
    finite = np.isfinite(array).all(axis=1)
    if not finite.all():
        raise ValueError(
            f"`{argument}` must be finite, got NaN or infinity in row {int(np.argmin(finite))}, "
            f"and in {int((~finite).sum())} of {len(finite)} in all. Leave such rows out: with "
            "`keep = np.isfinite(embeddings).all(axis=1)`, give `embeddings[keep]`, and as ids "
            "`ids[keep]` or, where the rows were the ids, `np.flatnonzero(keep)`."
        )
    return array


def row_blocks(embeddings: Array, rows_at_a_time: int) -> Iterator[Array]:
    """Returns consecutive blocks of rows."""
    for start in range(0, len(embeddings), rows_at_a_time):
        yield embeddings[start : start + rows_at_a_time]


def as_batch(batch: Any) -> tuple[Any, Any]:
    """Returns a batch of a dataset as (embeddings, ids or None)."""
    if isinstance(batch, (tuple, list)):
        if len(batch) != 2:
            raise ValueError(
                f"`batches` must give embeddings or (ids, embeddings), got {len(batch)} parts."
            )
        ids, embeddings = batch
        return checked_embeddings(embeddings), as_ids(ids, "candidate_ids", ndim=None).ravel()
    return checked_embeddings(batch), None


def concatenated(batches: Iterable[Any]) -> tuple[Array, Array | None]:
    """Returns all batches of a dataset as one (embeddings, ids or None)."""
    parts = [as_batch(batch) for batch in batches]
    if not parts:
        raise ValueError("`batches` must give at least one batch, got none.")
    embeddings, ids = zip(*parts, strict=True)
    if len({part.shape[1] for part in embeddings}) > 1:
        raise ValueError("`batches` must give embeddings of one dim, got several.")
    return np.concatenate(embeddings), concatenated_ids(ids)


def concatenated_ids(parts: Sequence[Array | None]) -> Array | None:
    """Returns the ids of all batches, None where there are none."""
    given = [part for part in parts if part is not None]
    if given and len(given) < len(parts):
        raise ValueError("`batches` must give ids with every batch or with none.")
    if len({are_text(part) for part in given}) > 1:
        raise ValueError("`batches` must give ids that are all integers or all text.")
    return np.concatenate(given) if given else None


def write_checked(store: Any, parts: dict[str, Array]) -> None:
    """Writes arrays among the weights of a file, with a digest of them all."""
    for name, array in parts.items():
        store[name] = array
    store[DIGEST] = _digest(parts)


def read_checked(store: Any, names: set[str]) -> dict[str, Array]:
    """Reads what `write_checked` wrote.

    Raises:
        ValueError: It is damaged.
    """
    parts = {name: np.array(store[name]) for name in PARTS if name in names}
    if DIGEST not in names or not np.array_equal(np.array(store[DIGEST]), _digest(parts)):
        raise ValueError("The candidates in the file are damaged: save the layer again.")
    return parts


def _digest(parts: dict[str, Array]) -> NDArray[np.uint8]:
    digest = hashlib.blake2b(digest_size=16)
    for name in sorted(parts):
        digest.update(f"{name}{parts[name].dtype}{parts[name].shape}".encode())
        digest.update(np.ascontiguousarray(parts[name]).data)
    return np.frombuffer(digest.digest(), dtype=np.uint8)


def arrays_of_ids(ids: CandidateIds) -> dict[str, Array]:
    """Returns ids as arrays of numbers, for files."""
    if not ids.are_strings:
        return {"candidate_ids": ids.values}
    encoded = [value.encode() for value in ids.values.tolist()]
    return {
        "candidate_ids_utf8": np.frombuffer(b"".join(encoded), dtype=np.uint8),
        "candidate_ids_ends": np.cumsum([len(value) for value in encoded], dtype=np.int64),
    }


def ids_of_arrays(parts: dict[str, Array]) -> Array:
    """Returns the ids that `arrays_of_ids` was given."""
    if "candidate_ids" in parts:
        return parts["candidate_ids"]
    text = parts["candidate_ids_utf8"].tobytes()
    ends = [0, *parts["candidate_ids_ends"].tolist()]
    return np.array([text[start:end].decode() for start, end in pairwise(ends)], dtype=object)

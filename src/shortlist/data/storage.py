"""Long columns: in memory, or where they are large in files that the system maps into it."""

import mmap
import os
import tempfile
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from shortlist.data.errors import DataError

BLOCK = 4_000_000  # rows worked on at a time
LARGE = 64 * 2**20  # bytes; a column from this size on is a file

Column = npt.NDArray[Any]


def column(length: int, dtype: npt.DTypeLike) -> Column:
    """Return a new column, its values not set yet.

    A large one is a mapped file in the folder for temporary files, which `TMPDIR` names. The file
    has no name of its own, so it is gone when nobody uses the column any more, or the process ends.

    Args:
        length: Rows.
        dtype: Of a value.

    Raises:
        DataError: There is no room for the file.
    """
    size = length * np.dtype(dtype).itemsize
    if size < LARGE:
        return np.empty(length, dtype)
    with tempfile.TemporaryFile() as file:
        try:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, size)
            else:
                os.ftruncate(file.fileno(), size)
        except OSError as error:
            raise _no_room(size, error) from None
        return np.frombuffer(mmap.mmap(file.fileno(), size), dtype)


class Growing:
    """A column that grows at its end, and is whole when its last values are known.

    Args:
        dtype: Of a value.

    Example:
        >>> column = Growing(np.int32)
        >>> column.append(np.array([7, 8]))
        >>> column.append(np.array([9]))
        >>> column.whole()
        array([7, 8, 9], dtype=int32)
    """

    def __init__(self, dtype: npt.DTypeLike) -> None:
        self._column = np.empty(0, dtype)
        self._length = 0

    def append(self, values: Column) -> None:
        """Add values at the end.

        Raises:
            DataError: There is no room for the file.
        """
        length = self._length + len(values)
        if length > len(self._column):
            larger = column(max(length, len(self._column) * 3 // 2), self._column.dtype)
            for block in blocks(self._length, self._column, larger):
                larger[block] = self._column[block]
            self._column = larger
        self._column[self._length : length] = values
        self._length = length
        release(self._column)

    def whole(self) -> Column:
        """Return the column."""
        return self._column[: self._length]


def blocks(length: int, *columns: Column) -> Iterator[slice]:
    """Yield slices of at most `BLOCK` rows, one after the other.

    Args:
        length: Rows in all.
        *columns: What is read or written in them. After each block the system may take their
            memory back, so that a pass over a mapped column never holds all of it.
    """
    for start in range(0, length, BLOCK):
        yield slice(start, min(start + BLOCK, length))
        release(*columns)


def release(*columns: Column) -> None:
    """Let the system take back the memory that mapped columns hold; their values stay."""
    for each in columns:
        file = _file(each)
        if file is not None and hasattr(mmap, "MADV_DONTNEED"):
            file.madvise(mmap.MADV_DONTNEED)


def taken(values: Column, rows: Column) -> Column:
    """Return some of the values as a new column.

    Args:
        values: A column.
        rows: Row numbers, or a boolean per row.
    """
    if rows.dtype != bool:
        return gathered(values, rows)
    out = column(int(np.count_nonzero(rows)), values.dtype)
    filled = 0
    for block in blocks(len(rows), out, values):
        kept = values[block][rows[block]]
        out[filled : filled + len(kept)] = kept
        filled += len(kept)
    return out


def gathered(values: Column, rows: Column) -> Column:
    """Return the value for each row number as a new column, of the values' type."""
    out = column(len(rows), values.dtype)
    for block in blocks(len(rows), out, rows):
        out[block] = values[rows[block]]
    return out


def counts(rows: Column, size: int) -> npt.NDArray[np.int64]:
    """Return how often each of the numbers 0 to `size` - 1 stands in a column."""
    found = np.zeros(size, np.int64)
    for block in blocks(len(rows), rows):
        found += np.bincount(rows[block], minlength=size)
    return found


def grouped(
    columns: list[Column], groups: Column, number: int
) -> tuple[list[Column], npt.NDArray[np.int64]]:
    """Return columns with the rows of each group together, in the order they had.

    It reads and writes from start to end, so that columns may be larger than memory.

    Args:
        columns: Of equal length.
        groups: The group of each row: uint8, below `number`.
        number: Groups.

    Returns:
        New columns, and (number + 1,) where the rows of each group begin.

    Example:
        >>> (letters,), starts = grouped([np.array([5, 6, 7])], np.uint8([1, 0, 1]), 2)
        >>> letters.tolist(), starts.tolist()
        ([6, 5, 7], [0, 1, 3])
    """
    starts = np.concatenate([[0], np.cumsum(counts(groups, number))])
    filled = starts[:-1].copy()
    out = [column(len(groups), values.dtype) for values in columns]
    for block in blocks(len(groups), groups, *columns, *out):
        order = np.argsort(groups[block], kind="stable")
        ends = np.cumsum(np.bincount(groups[block], minlength=number))
        parts = np.split(order, ends[:-1])
        for values, new in zip(columns, out, strict=True):
            here = values[block]
            for start, rows in zip(filled.tolist(), parts, strict=True):
                new[start : start + len(rows)] = here[rows]
        filled += np.diff(ends, prepend=0)
    return out, starts


def _file(values: Column) -> mmap.mmap | None:
    """The file that a column is, or None for one in memory."""
    while isinstance(values.base, np.ndarray):
        values = values.base
    owner = getattr(values.base, "obj", None)
    return owner if isinstance(owner, mmap.mmap) else None


def _no_room(size: int, error: OSError) -> DataError:
    return DataError(
        f"a column of {size / 1e9:.1f} GB needs a file in {tempfile.gettempdir()}: "
        f"{error.strerror}. Name a folder with more room in the environment variable TMPDIR."
    )

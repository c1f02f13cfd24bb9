"""Rows in an order drawn at random, however many there are."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from shortlist.data.storage import Column, blocks, column, grouped, release

AT_ONCE = 16_000_000  # rows shuffled in memory


class Shuffled:
    """The rows of columns in an order drawn at random, every order being equally likely.

    Up to `AT_ONCE` rows are shuffled in memory. Of more, each row first goes to a group drawn at
    random, and a group is shuffled in memory when reading comes to it. So memory does not grow with
    the rows, and files are read and written from start to end.

    Args:
        columns: Of equal length, by name.
        seed: The same seed gives the same order.

    Example:
        >>> rows = Shuffled({"letter": np.array(["a", "b", "c"])}, [0])
        >>> rows.read(0, 3)["letter"].tolist()
        ['c', 'a', 'b']

    Source:
        Rao, "Generation of random permutation of given number of elements using random sampling
        numbers", Sankhya 1961; Sandelius, "A simple randomization procedure", JRSS B 1962.
    """

    def __init__(self, columns: Mapping[str, Column], seed: Sequence[int]) -> None:
        self._columns = dict(columns)
        self._seed = list(seed)
        self._length = len(next(iter(columns.values())))
        self._starts = np.array([0, self._length])
        self._group = -1, np.zeros(0, np.int32)  # the one that is being read, and its order
        number = -(-self._length // AT_ONCE)
        if number > 1:
            groups = column(self._length, np.uint8)
            rng = np.random.default_rng(self._seed)
            for block in blocks(self._length, groups):
                groups[block] = rng.integers(0, number, len(groups[block]), np.uint8)
            values, self._starts = grouped(list(columns.values()), groups, number)
            self._columns = dict(zip(columns, values, strict=True))

    def __len__(self) -> int:
        """Return the number of rows."""
        return self._length

    def read(self, start: int, end: int) -> dict[str, Column]:
        """Return the values at some places of the order.

        It is made for reading from start to end; going back to an earlier group is slow.
        """
        end = min(end, self._length)
        first, last = np.searchsorted(self._starts, [start, end - 1], side="right") - 1
        parts = []
        for group in range(first, last + 1):
            begin = self._starts[group]
            order = self._order(group)[max(start - begin, 0) : max(end - begin, 0)]
            parts.append({name: each[begin:][order] for name, each in self._columns.items()})
        if len(parts) == 1:
            return parts[0]
        return {name: np.concatenate([part[name] for part in parts]) for name in self._columns}

    def _order(self, group: int) -> npt.NDArray[np.int32]:
        if self._group[0] != group:
            seed = self._seed if len(self._starts) == 2 else [*self._seed, group]
            order = np.arange(self._starts[group + 1] - self._starts[group], dtype=np.int32)
            np.random.default_rng(seed).shuffle(order)
            self._group = group, order
            release(*self._columns.values())
        return self._group[1]

"""What the linear baselines share: a user is a bag of items, a score is a dot product."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from shortlist._native import MAX_DIM
from shortlist.data import Histories, Interactions, Vocabulary
from shortlist.data.interactions import check_interactions
from shortlist.evaluation.baselines.baseline import Baseline
from shortlist.ids import as_ids
from shortlist.index import Index, IndexConfig

# The rows of the items that each user chose, ascending, each once.
Chosen = list[npt.NDArray[np.int64]]


class LinearRecommender(Baseline):
    """A baseline whose scores are dot products with an embedding of the user's items.

    Args:
        train: Interactions; that an item was chosen counts, not how often or how it was rated.
    """

    def __init__(self, train: Interactions) -> None:
        check_interactions(train, "train")
        self.seen = Histories.from_interactions(train)
        self._items = Vocabulary.from_ids(train.item_ids)
        chosen = self._rows(self.seen(self.seen.users))
        self._index = Index.build(
            self._fit(chosen, len(self._items.ids)).astype(np.float32),
            self._items.ids,
            config=IndexConfig(exact=True),
        )

    @abstractmethod
    def _fit(self, chosen: Chosen, num_items: int) -> npt.NDArray[np.floating]:
        """Learns from the items each user chose; returns (items, d) embeddings of the items."""

    @abstractmethod
    def _embed(self, chosen: Chosen) -> npt.NDArray[np.floating]:
        """Returns (q, d) embeddings of users who chose these items."""

    def embed_queries(self, user_ids: npt.ArrayLike) -> npt.NDArray[np.float32]:
        """Returns the embeddings of users; one unknown in train has chosen nothing."""
        return self.embed_histories(self.seen(user_ids))

    def embed_histories(self, histories: Sequence[npt.ArrayLike]) -> npt.NDArray[np.float32]:
        """Returns the embeddings of histories; items unknown in train are passed over."""
        return self._embed(self._rows(histories)).astype(np.float32)

    def _exact(self) -> Index:
        return self._index

    def _rows(self, histories: Sequence[npt.ArrayLike]) -> Chosen:
        """Returns the rows, among all items, of what each user chose, each once."""
        if not len(histories):
            return []
        ids = [as_ids(history, "histories") for history in histories]
        # At once, since to look up the ids of one history may take as long as those of all.
        known = self._items.encode(np.concatenate([own for own in ids if len(own)] or ids))
        ends = np.cumsum([len(own) for own in ids])
        rows = [np.unique(own) for own in np.split(known, ends[:-1])]
        return [own[own > 0] - 1 for own in rows]


def check_memory(name: str, num_items: int, matrices: int) -> None:
    """Refuses what does not fit in memory, before it is begun.

    Args:
        name: Of the baseline.
        num_items: Rows and columns of each matrix.
        matrices: How many float64 matrices are held at once.

    Raises:
        MemoryError: They need more than this machine has, which is said, or more dimensions than
            the engine takes.
    """
    needed, there = 8 * matrices * num_items**2, _memory()
    if there is not None and needed > there:
        raise MemoryError(
            f"{name} of {num_items:,} items needs about {needed / 1e9:,.0f} GB of memory, and this "
            f"machine has {there / 1e9:,.0f} GB. Use IALS, or leave out the items that hardly "
            "anybody chose."
        )
    if num_items > MAX_DIM:
        raise MemoryError(
            f"{name} of {num_items:,} items has embeddings of as many dimensions, and the engine "
            f"takes {MAX_DIM:,}. Use IALS, or leave out the items that hardly anybody chose."
        )


def _memory() -> int | None:
    """Bytes of memory this machine has, if it can be told."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None


def zeros_and_ones(chosen: Chosen, num_items: int) -> npt.NDArray[np.float32]:
    """Returns (q, items) with 1 where an item was chosen."""
    matrix = np.zeros((len(chosen), num_items), np.float32)
    for row, items in enumerate(chosen):
        matrix[row, items] = 1.0
    return matrix


def co_occurrence(chosen: Chosen, num_items: int) -> npt.NDArray[np.float64]:
    """Returns the (items, items) numbers of users who chose both."""
    counts = np.zeros((num_items, num_items))
    for start in range(0, len(chosen), 1024):
        block = zeros_and_ones(chosen[start : start + 1024], num_items)
        counts += block.T @ block
    return counts

"""Changes to an index while it is searched."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from numpy.typing import ArrayLike

from shortlist.embeddings import as_embeddings
from shortlist.ids import as_ids, check_kind
from shortlist.index.attributes import as_columns
from shortlist.index.files import read_config
from shortlist.index.numbers import as_integer

if TYPE_CHECKING:
    from collections.abc import Callable

    from shortlist import _native


class Changes(NamedTuple):
    """What an `upsert` did.

    Attributes:
        added: How many candidates are new.
        replaced: How many were in the index, and have new embeddings now.
    """

    added: int
    replaced: int


@dataclass(frozen=True)
class Health:
    """How well the leaves of an index still fit its candidates.

    Attributes:
        rows: Candidates.
        deleted: Deleted candidates that still take memory.
        segments: Pieces that a search reads one after another.
        leaves: Leaves.
        largest: Candidates in the largest leaf.
        empty: Leaves without candidates.
        tier: Candidates that every query scores.
        imbalance: The size of the leaf that a candidate is in, on average, over the mean size of a
            leaf. 1 where all leaves are of one size; after a build it is mostly below 2.
        excess: By what share of a mean leaf the leaves that are larger exceed it, on average.
        distance: Root mean square distance of the candidates from the centroids of their leaves.
        outside: The share of candidates that lie farther from the centroid of their leaf than all
            that the leaf was learnt from. 0 after a build.
    """

    rows: int
    deleted: int
    segments: int
    leaves: int
    largest: int
    empty: int
    tier: int
    imbalance: float
    excess: float
    distance: float
    outside: float


class Updated:
    """The part of `Index` that changes it."""

    __slots__ = ()
    _engine: _native.Index

    def upsert(self, embeddings: ArrayLike, ids: Any, attributes: Any = None) -> Changes:
        """Adds candidates, and replaces those whose ids are in the index.

        Searches that begin when it has returned find them. A search that runs meanwhile, in another
        thread, sees all of the change or nothing of it, and is not held up. Changes take turns.
        A call that fails changes nothing. Leaves and codes stay as they were learnt.

        A change costs about what its rows cost; now and then it also merges what earlier ones
        added, which takes longer.

        Args:
            embeddings: Shape (n, d), as for `build`.
            ids: One for each, of the kind that the index has, no two alike.
            attributes: As for `build`. Those of replaced candidates are replaced too: an attribute
                that is not given is missing from then on.

        Raises:
            ValueError: An argument has the wrong shape or value; ids of the other kind, or twice;
                attributes of another type than the index has.

        Example:
            >>> from shortlist.index import Index
            >>> index = Index.build([[1, 0], [0, 1]], ["Alien", "Big"])
            >>> index.upsert([[3, 3], [2, 0]], ["Cube", "Alien"])
            Changes(added=1, replaced=1)
            >>> index.search([1, 0], 2).ids.tolist()
            ['Cube', 'Alien']
        """
        given = as_embeddings(embeddings)
        own = as_ids(ids)
        check_kind(own, self._engine.ids_are_text, "ids", "this index")
        rows = len(given) if given.ndim else 0
        columns = as_columns(attributes, rows, self._engine.attribute_types)
        return Changes(*self._engine.upsert(given, own, columns))

    def delete(self, ids: Any) -> int:
        """Deletes candidates. No search that begins when it has returned finds them.

        Args:
            ids: Their ids; those that are not in the index are ignored.

        Returns:
            How many were deleted.

        Raises:
            ValueError: They are no ids, or of the other kind than those of the index.

        Example:
            >>> from shortlist.index import Index
            >>> index = Index.build([[1, 0], [0, 1], [1, 1]], ["Alien", "Big", "Cube"])
            >>> index.delete(["Alien", "Dune"])
            1
            >>> list(index)
            ['Big', 'Cube']
        """
        own = as_ids(ids)
        check_kind(own, self._engine.ids_are_text, "ids", "this index")
        return self._engine.delete(own)

    def rebalance(
        self,
        progress: Callable[[str, float], object] | None = None,
        *,
        seed: int = 0,
        threads: int | None = None,
    ) -> None:
        """Learns leaves and codes again, from the candidates there are now.

        The index is then as a fresh one of the same candidates, ids, rows and settings, and holds
        no deleted ones. It takes about the time and memory of a build. Searches and changes go on
        meanwhile in other threads; those changes are kept. Another rebalance waits for its turn.
        The codebook is a new one: scores stay, but parts of a catalogue that shared the old one
        answer as one no more.

        Args:
            progress: Called with the name of a stage and the fraction of it that is done. What it
                raises stops the work, and the index stays as it is.
            seed: Seed of the random choices, from 0.
            threads: None uses all cores. The result does not depend on it.

        Example:
            >>> import numpy as np
            >>> from shortlist.index import Index
            >>> rows = np.random.default_rng(0).standard_normal((4_000, 16), dtype=np.float32)
            >>> index = Index.build(rows)
            >>> _ = index.upsert(rows[:2_000] + 9, range(2_000))
            >>> index.health().outside > 0.2
            True
            >>> index.rebalance()
            >>> index.health().outside
            0.0
        """
        fields = asdict(read_config(self._engine.note))
        del fields["exact"], fields["store"]
        self._engine.rebalance(
            **fields,
            seed=as_integer(seed, "seed", 0, 2**64 - 1),
            threads=threads,
            progress=progress,
        )

    def health(self) -> Health:
        """How well the leaves fit the candidates by now: whether `rebalance` would pay."""
        return Health(**self._engine.health())

"""Changes to an index while it is searched."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from numpy.typing import ArrayLike

from shortlist.embeddings import as_embeddings
from shortlist.ids import as_ids, check_kind

if TYPE_CHECKING:
    from shortlist import _native


class Changes(NamedTuple):
    """What an `upsert` did.

    Attributes:
        added: How many candidates are new.
        replaced: How many were in the index, and have new embeddings now.
    """

    added: int
    replaced: int


class Updated:
    """The part of `Index` that changes it."""

    __slots__ = ()
    _engine: _native.Index

    def upsert(self, embeddings: ArrayLike, ids: Any) -> Changes:
        """Adds candidates, and replaces those whose ids are in the index.

        Searches that begin when it has returned find them. A search that runs meanwhile, in another
        thread, sees all of the change or nothing of it, and is not held up. Changes take turns.
        A call that fails changes nothing. Leaves and codes stay as they were learnt.

        A change costs about what its rows cost; now and then it also merges what earlier ones
        added, which takes longer.

        Args:
            embeddings: Shape (n, d), as for `build`.
            ids: One for each, of the kind that the index has, no two alike.

        Raises:
            ValueError: An argument has the wrong shape or value; ids of the other kind, or twice.

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
        return Changes(*self._engine.upsert(given, own))

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

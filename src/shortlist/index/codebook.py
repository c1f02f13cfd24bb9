"""`Codebook`: what an index learns from embeddings before it holds any."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self

from numpy.typing import ArrayLike

from shortlist import _native
from shortlist.embeddings import as_embeddings
from shortlist.index.config import IndexConfig
from shortlist.index.metrics import check_metric
from shortlist.index.numbers import as_integer

if TYPE_CHECKING:
    from shortlist._native import Metric


class Codebook:
    """Leaves and codes, learnt once and used for any number of indexes.

    Every index built with one codebook puts a row in the same leaf and gives it the same code and
    score, bit for bit, whatever other rows it holds. So parts of a catalogue, each in an index of
    its own, together answer an exact search as one index of them all.

    Made by `Codebook.learn`, or taken from an index as `index.codebook`. It can be pickled.

    Example:
        >>> import numpy as np
        >>> from shortlist import Codebook, Index
        >>> rows = np.random.default_rng(0).standard_normal((2_000, 8), dtype=np.float32)
        >>> codebook = Codebook.learn(rows[::2])
        >>> whole, half = (Index.build(x, codebook=codebook) for x in (rows, rows[:1_000]))
        >>> best = whole.search(rows[0], 1), half.search(rows[0], 1)
        >>> best[0].scores == best[1].scores
        array([ True])
    """

    __slots__ = ("__weakref__", "_engine")
    _engine: _native.Codebook

    def __init__(self) -> None:
        raise TypeError("Make a Codebook with Codebook.learn(sample), or take index.codebook.")

    @classmethod
    def _wrap(cls, engine: _native.Codebook) -> Self:
        codebook = object.__new__(cls)
        codebook._engine = engine
        return codebook

    @classmethod
    def learn(
        cls,
        sample: ArrayLike,
        *,
        metric: Metric = "dot",
        config: IndexConfig | None = None,
        seed: int = 0,
        threads: int | None = None,
        progress: Callable[[str, float], object] | None = None,
    ) -> Self:
        """Learns from a sample of the embeddings that will be indexed.

        Args:
            sample: Embeddings, shape (n, d), as for `Index.build`. All of them, or a random part:
                some 40 rows for each leaf are enough.
            metric: "dot" (inner product), "cosine", or "l2" (minus the squared distance).
            config: What `Index.build` takes. `leaves` and `tier` are chosen by the size of the
                sample where they are not given; `store` and `exact` are no part of a codebook.
            seed: Seed of the random choices, from 0.
            threads: None uses all cores. The codebook does not depend on it.
            progress: Called with the name of a stage and the fraction of it that is done. What it
                raises stops the work.

        Raises:
            ValueError: An argument has the wrong shape or value; rows with NaN or infinity, or none
                at all.
            KeyboardInterrupt: On Ctrl-C, within a second.
        """
        config = IndexConfig() if config is None else config
        if not isinstance(config, IndexConfig):
            raise TypeError(f"`config` must be an IndexConfig, got {type(config).__name__}.")
        fields = dataclasses.asdict(config)
        del fields["exact"], fields["store"]
        return cls._wrap(
            _native.Codebook.learn(
                as_embeddings(sample, "sample"),
                metric=check_metric(metric),
                seed=as_integer(seed, "seed", 0, 2**64 - 1),
                threads=threads,
                progress=progress,
                **fields,
            )
        )

    def to_bytes(self) -> bytes:
        """The codebook as an index file without rows."""
        return self._engine.to_bytes()

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Reads what `to_bytes` wrote, or the codebook of an index in `Index.to_bytes`.

        Raises:
            ValueError: It is no index file of a version this release knows, or is damaged.
        """
        return cls._wrap(_native.Codebook.from_bytes(data))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self).from_bytes, (self.to_bytes(),)

    @property
    def metric(self) -> Metric:
        """How scores are made: "dot", "cosine" or "l2"."""
        return self._engine.metric

    @property
    def dim(self) -> int:
        """Number of dimensions d."""
        return self._engine.dim

    @property
    def nbytes(self) -> int:
        """Bytes of memory the codebook holds."""
        return self._engine.nbytes

    def __repr__(self) -> str:
        engine = self._engine
        return (
            f"Codebook({engine.dim}, {engine.metric}, {engine.num_leaves:,} leaves, {engine.codes})"
        )

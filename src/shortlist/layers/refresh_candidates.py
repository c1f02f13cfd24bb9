"""Candidates that keep up with the tower that embeds them."""

from typing import Any

import keras

from shortlist.layers._candidate_retrieval import CandidateRetrieval
from shortlist.layers._freshness import fingerprint


class RefreshCandidates(keras.callbacks.Callback):
    """Re-embeds and re-indexes a layer's candidates while their tower is trained.

    At the end of each epoch, and before each validation or evaluation, if the tower's weights have
    changed since the last time.

    Args:
        layer: The retrieval layer.
        candidate_tower: Keras model, or layer, that embeds candidates.
        candidates: The tower's inputs for all candidates, as its `predict` takes them.
        candidate_ids: (n,) ids; `None` numbers the rows.
        batch_size: Candidates embedded at a time.

    Example:
        >>> import numpy as np
        >>> from shortlist.layers import BruteForceRetrieval
        >>> tower = keras.Sequential([keras.Input((), dtype="int32"), keras.layers.Embedding(9, 4)])
        >>> layer = BruteForceRetrieval(k=3)
        >>> refresh = RefreshCandidates(layer, tower, np.arange(9))
        >>> refresh.on_epoch_end(epoch=0)  # Keras calls it: model.fit(..., callbacks=[refresh])
        >>> layer.num_candidates
        9
    """

    def __init__(
        self,
        layer: CandidateRetrieval,
        candidate_tower: Any,
        candidates: Any,
        candidate_ids: Any = None,
        batch_size: int | None = None,
    ) -> None:
        super().__init__()
        self.layer = layer
        self.candidate_tower = candidate_tower
        self.candidates = candidates
        self.candidate_ids = candidate_ids
        self.batch_size = batch_size
        self._seen: bytes | None = None

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Brings the candidates up to date."""
        del epoch, logs
        self._refresh()

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Brings the candidates up to date."""
        del logs
        self._refresh()

    def _refresh(self) -> None:
        _ = self.model  # On JAX, asking for the model brings its variables up to date.
        now = fingerprint(self.candidate_tower)
        if now != self._seen:
            self.layer.update_from(
                self.candidate_tower, self.candidates, self.candidate_ids, self.batch_size
            )
            self._seen = now

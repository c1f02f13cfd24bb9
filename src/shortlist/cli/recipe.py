"""How the commands split data, make a model and train it."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from shortlist.data import Interactions, Split
    from shortlist.models import History, TwoTower


@dataclass(frozen=True)
class Recipe:
    """Settings of a split, a model and its training.

    Attributes:
        split: How to hold out: at `"random"`, the latest by `"time"`, or the `"last"` of each user.
        test: Share held out, for random and time.
        objective: `"retrieval"` or `"rating"`.
        embedding_dim: Length of an embedding.
        epochs: Passes over the interactions, at most.
        batch_size: Interactions in a batch.
        learning_rate: Step of Adam.
        patience: Epochs without improvement after which training stops, where there is validation.
        seed: Seed of the split, the initial embeddings and the order of training.
    """

    split: Literal["random", "time", "last"] = "random"
    test: float = 0.2
    objective: Literal["retrieval", "rating"] = "retrieval"
    embedding_dim: int = 32
    epochs: int = 7
    batch_size: int = 512
    learning_rate: float = 0.005
    patience: int = 3
    seed: int = 0

    def parts(self, interactions: Interactions) -> Split:
        """Returns the train and test part."""
        from shortlist.data import split_by_time, split_leave_last_out, split_random

        if self.split == "random":
            return split_random(interactions, test=self.test, seed=self.seed)
        if self.split == "time":
            return split_by_time(interactions, test=self.test)
        return split_leave_last_out(interactions)

    def model(self, train: Interactions) -> TwoTower:
        """Returns the untrained model."""
        from shortlist.models import TwoTower

        return TwoTower.from_interactions(
            train,
            embedding_dim=self.embedding_dim,
            objective=self.objective,
            seed=self.seed,
        )

    def fit(
        self, model: TwoTower, train: Interactions, validation: Interactions | None = None
    ) -> History:
        """Trains the model, with a progress bar on a terminal."""
        import keras

        return model.fit(
            train,
            epochs=self.epochs,
            batch_size=self.batch_size,
            optimizer=keras.optimizers.Adam(self.learning_rate),
            validation=validation,
            patience=self.patience,
        )

    def to_dict(self) -> dict[str, Any]:
        """Returns the settings as plain data, fit for JSON."""
        return asdict(self)


def fingerprint(interactions: Interactions) -> str:
    """Returns the SHA-256 of the interactions' users and items, in their order."""
    digest = hashlib.sha256()
    for column in ("user_id", "item_id"):
        digest.update("\n".join(map(str, interactions.frame[column])).encode())
    return digest.hexdigest()

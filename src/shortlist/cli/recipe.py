"""How the commands make and train a model."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shortlist.data import Interactions
    from shortlist.models import History, TwoTower


@dataclass(frozen=True)
class Recipe:
    """Settings of a model and its training.

    Attributes:
        objective: `"retrieval"` or `"rating"`.
        embedding_dim: Length of an embedding.
        epochs: Passes over the interactions, at most.
        batch_size: Interactions in a batch.
        learning_rate: Step of Adam.
        patience: Epochs without improvement after which training stops, where there is validation.
        seed: Seed of the initial embeddings and the order of training.
    """

    objective: str = "retrieval"
    embedding_dim: int = 32
    epochs: int = 16
    batch_size: int = 1024
    learning_rate: float = 0.005
    patience: int = 3
    seed: int = 0

    def model(self, train: Interactions) -> TwoTower:
        """Returns the untrained model."""
        from shortlist.models import TwoTower

        return TwoTower.from_interactions(
            train,
            embedding_dim=self.embedding_dim,
            objective=self.objective,
            normalize=self.objective == "retrieval",
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

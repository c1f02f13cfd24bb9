"""What happened in training."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class History:
    """The course of a training.

    Attributes:
        loss: Mean loss of each epoch.
        validation: The monitored metric after each epoch; empty without validation.
        monitor: Its name.
        best_epoch: The epoch, from 1, whose weights the model holds.
        seconds: Wall time of the whole training, validation included.
    """

    loss: tuple[float, ...]
    validation: tuple[float, ...]
    monitor: str
    best_epoch: int
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Returns the history as plain data, fit for JSON."""
        return asdict(self)

    def plot(self) -> Figure:
        """Loss and validation by epoch, as a Matplotlib figure (needs the package `matplotlib`)."""
        from shortlist.evaluation.report.plots import training_figure

        return training_figure(self.to_dict())

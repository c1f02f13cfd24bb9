"""The course of a training."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from shortlist._extras import needs
from shortlist.html import html_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class TrainingLog:
    """What happened in a training, epoch by epoch.

    Attributes:
        loss: Mean loss of each epoch.
        validation: The monitored metric after each epoch; empty without validation.
        monitor: Its name.
        best_epoch: The epoch, from 1, whose weights the model holds.
        seconds: Wall time of the whole training, validation included.

    Example:
        >>> log = TrainingLog((0.9, 0.7), (), "loss", best_epoch=2, seconds=1.5)
        >>> log.to_dict()["loss"]
        (0.9, 0.7)
    """

    loss: tuple[float, ...]
    validation: tuple[float, ...]
    monitor: str
    best_epoch: int
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Returns the log as plain data, fit for JSON."""
        return asdict(self)

    def _repr_html_(self) -> str:
        kept = f"epoch {self.best_epoch} of {len(self.loss)}, {self.seconds:.1f} s"
        columns = [self.loss, self.validation] if self.validation else [self.loss]
        rows = (
            (epoch, *(f"{value:.4f}" for value in values))
            for epoch, values in enumerate(zip(*columns, strict=True), 1)
        )
        return html_table(kept, ("epoch", "loss", self.monitor)[: 1 + len(columns)], rows)

    def plot(self) -> Figure:
        """Loss and validation by epoch, as a Matplotlib figure.

        Raises:
            MissingExtraError: Matplotlib is missing; it comes with `shortlist[report]`.
        """
        with needs("`TrainingLog.plot`", "report"):
            from shortlist.evaluation.report.plots import training_figure

        return training_figure(self.to_dict())

"""The result of an evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from shortlist.html import html_table

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True)
class Evaluation:
    """Metrics of a recommender and of the baselines beside it.

    Attributes:
        metrics: Value of each metric, by names such as `"hit_rate@10"`.
        baselines: The same for each baseline, by its name.
        ks: Numbers of ranks, ascending.
        exclude_seen: Whether train items were kept out of the answers.
        num_users: Users evaluated.
        num_positives: Held-out interactions evaluated.
        left_out: Held-out interactions that could not be evaluated, by reason.
        name: What the recommender is called in tables.

    Example:
        >>> Evaluation({"recall@5": 0.5}, {}, (5,), True, 1, 2)["recall@5"]
        0.5
    """

    metrics: Mapping[str, float]
    baselines: Mapping[str, Mapping[str, float]]
    ks: tuple[int, ...]
    exclude_seen: bool
    num_users: int
    num_positives: int
    left_out: Mapping[str, int] = field(default_factory=dict)
    name: str = "model"

    def __getitem__(self, metric: str) -> float:
        """Returns the recommender's value of a metric such as `"ndcg@10"`."""
        if metric not in self.metrics:
            raise KeyError(f"no metric {metric!r}; there are {', '.join(self.metrics)}")
        return self.metrics[metric]

    def to_dict(self) -> dict[str, Any]:
        """Returns the evaluation as plain data, fit for JSON."""
        return {
            "exclude_seen": self.exclude_seen,
            "users": self.num_users,
            "positives": self.num_positives,
            "left_out": dict(self.left_out),
            "metrics": dict(self.metrics),
            "baselines": {name: dict(values) for name, values in self.baselines.items()},
        }

    def __rich__(self) -> Table:
        """Returns a table with a row for each recommender and metric, and a column for each k."""
        from rich.table import Table

        table = Table(title=self._title, min_width=len(self._title))
        table.add_column("metric")
        table.add_column("recommender")
        for k in self.ks:
            table.add_column(f"@{k}", justify="right")
        for metric, recommender, *values in self._rows():
            if metric:
                table.add_section()
            table.add_row(metric, recommender, *values)
        return table

    def _repr_html_(self) -> str:
        head = ("metric", "recommender", *(f"@{k}" for k in self.ks))
        return html_table(self._title, head, self._rows())

    @property
    def _title(self) -> str:
        shown = "seen items left out" if self.exclude_seen else "seen items kept"
        return f"{self.num_positives:,} held-out interactions of {self.num_users:,} users, {shown}"

    def _rows(self) -> list[list[str]]:
        """The metric, in its first row only, the recommender, and the value at every k."""
        recommenders = {self.name: self.metrics, **self.baselines}
        metrics = dict.fromkeys(key.rpartition("@")[0] for key in self.metrics)
        return [
            [
                metric if recommender == self.name else "",
                recommender,
                *(f"{values[f'{metric}@{k}']:.4f}" for k in self.ks),
            ]
            for metric in metrics
            for recommender, values in recommenders.items()
        ]

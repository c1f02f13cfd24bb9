"""The plots of a report, as SVG to stand inside the page."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from shortlist.index import Tuning

INK, ACCENT, QUIET = "#2c3e50", "#c0392b", "#95a5a6"
BARS = (ACCENT, "#2c3e50", "#5f7a8a", "#95a5a6", "#c8d0d4")  # the model's, then the baselines'


def training_figure(history: Mapping[str, Any]) -> Figure:
    """Returns loss and validation by epoch."""
    figure, axes = _figure()
    epochs = range(1, len(history["loss"]) + 1)
    axes.plot(epochs, history["loss"], color=INK, marker="o", markersize=3, label="loss")
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylabel("loss")
    if history["validation"]:
        other = axes.twinx()
        other.plot(
            epochs,
            history["validation"],
            color=ACCENT,
            marker="o",
            markersize=3,
            label=f"{history['monitor']} on validation",
        )
        other.axvline(history["best_epoch"], color=QUIET, linewidth=0.8, linestyle="--")
        other.set_ylabel(history["monitor"])
    figure.legend(loc="outside upper center", ncols=2, frameon=False)
    return figure


def training_curves(history: Mapping[str, Any]) -> str:
    """Returns the same as SVG."""
    return _svg(training_figure(history))


def hit_rates(
    metrics: Mapping[str, float], baselines: Mapping[str, Mapping[str, float]], ks: Sequence[int]
) -> str:
    """Returns hit rates of the model beside those of the baselines, by k."""
    figure, axes = _figure()
    named = {"two-tower": metrics, **baselines}
    width = 0.8 / len(named)
    for place, (name, values) in enumerate(named.items()):
        axes.bar(
            [i + (place - (len(named) - 1) / 2) * width for i in range(len(ks))],
            [values[f"hit_rate@{k}"] for k in ks],
            width=0.92 * width,
            label=name,
            color=BARS[min(place, len(BARS) - 1)],
        )
    axes.set_xticks(range(len(ks)), [f"@{k}" for k in ks])
    axes.set_ylabel("hit rate")
    figure.legend(loc="outside upper center", ncols=len(named), frameon=False)
    return _svg(figure)


def frontier(tuning: Mapping[str, Any]) -> str:
    """Returns recall against latency with the chosen point."""
    return _svg(Tuning.from_dict(tuning).plot())


def _figure() -> tuple[Figure, Any]:
    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axes = figure.subplots()
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return figure, axes


def _svg(figure: Figure) -> str:
    text = io.StringIO()
    # Fixed names inside the file and no date: the same figures give the same report.
    with rc_context({"svg.hashsalt": "shortlist", "font.size": 9}):
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    drawn = text.getvalue()
    return drawn[drawn.index("<svg") :]

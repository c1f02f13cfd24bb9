"""Draws the figures of the documentation as SVG: python docs/figures/draw.py.

Lines and text are dark on nothing, and the site inverts them in its dark scheme.
"""

from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Polygon

from shortlist import Index, IndexConfig, SearchSettings
from shortlist.evaluation import recall_at_k

HERE = Path(__file__).parent
INK, SOFT, STRONG, PALE = "#263238", "#90a4ae", "#d84315", "#eceff1"
STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "shortlist",
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}


def box(
    axes: Axes, x: float, y: float, text: str, *, width: float = 1.5, strong: bool = False
) -> None:
    """A box with its text, its centre at (x, y)."""
    axes.add_patch(
        FancyBboxPatch(
            (x - width / 2, y - 0.32),
            width,
            0.64,
            boxstyle="round,pad=0.02,rounding_size=0.1",
            facecolor="#ffe0d6" if strong else PALE,
            edgecolor=STRONG if strong else SOFT,
            linewidth=1.2,
        )
    )
    axes.text(x, y, text, ha="center", va="center")


def arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    """An arrow from start to end."""
    axes.add_patch(
        FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=12, color=INK, linewidth=1.1)
    )


def canvas(width: float, height: float) -> tuple[Figure, Axes]:
    """A figure whose units are inches."""
    figure = Figure(figsize=(width, height))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(0, height))
    axes.axis("off")
    return figure, axes


def pipeline() -> Figure:
    """From interactions to an answer."""
    figure, axes = canvas(8.4, 3.0)
    axes.text(0.15, 2.75, "when it is trained", color=INK, style="italic", va="center")
    axes.text(0.15, 1.1, "when somebody asks", color=INK, style="italic", va="center")
    axes.plot([0.1, 8.3], [1.4, 1.4], color=SOFT, linewidth=0.8, linestyle=(0, (4, 3)))
    box(axes, 1.0, 2.15, "interactions")
    box(axes, 3.1, 2.15, "two towers")
    box(axes, 5.3, 2.15, "candidate\nembeddings", width=1.6)
    box(axes, 7.45, 2.15, "index", strong=True)
    box(axes, 1.0, 0.5, "user 42")
    box(axes, 3.1, 0.5, "query tower")
    box(axes, 5.3, 0.5, "query\nembedding", width=1.6)
    box(axes, 7.45, 0.5, "the best k", strong=True)
    for y in (2.15, 0.5):
        for start, end in ((1.8, 2.3), (3.9, 4.45), (6.15, 6.65)):
            arrow(axes, (start, y), (end, y))
    arrow(axes, (3.1, 1.8), (3.1, 0.88))
    arrow(axes, (7.45, 1.8), (7.45, 0.88))
    return figure


def cells(centres: np.ndarray) -> list[np.ndarray]:
    """The Voronoi cells of centres within the unit square, by cutting it in halves."""
    found = []
    for i, centre in enumerate(centres):
        cell = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], float)
        for j, other in enumerate(centres):
            if i == j:
                continue
            normal, middle = other - centre, (other + centre) / 2
            side = (cell - middle) @ normal
            cut = []
            for k in range(len(cell)):
                a, b, u, v = cell[k - 1], cell[k], side[k - 1], side[k]
                if u * v < 0:
                    cut.append(a + (b - a) * u / (u - v))
                if v <= 0:
                    cut.append(b)
            cell = np.array(cut)
        found.append(cell)
    return found


def search() -> Figure:
    """What a search looks at, step by step."""
    rng = np.random.default_rng(3)
    centres = rng.random((28, 2))
    points = rng.random((420, 2))
    for _ in range(12):
        nearest = ((points[:, None] - centres) ** 2).sum(-1).argmin(1)
        centres = np.stack([points[nearest == leaf].mean(0) for leaf in range(len(centres))])
    leaf_of = ((points[:, None] - centres) ** 2).sum(-1).argmin(1)
    query = np.array([0.57, 0.52])
    leaves = ((centres - query) ** 2).sum(1).argsort()
    distance = ((points - query) ** 2).sum(1)
    scanned = np.isin(leaf_of, leaves[:4])
    coarse = np.flatnonzero(scanned)[distance[scanned].argsort()[:14]]
    best = coarse[:4]

    figure = Figure(figsize=(8.4, 2.5))
    steps = ("1  rank the centroids", "2  choose leaves", "3  scan their codes", "4  rerank rows")
    polygons = cells(centres)
    for step, axes in enumerate(figure.subplots(1, 4)):
        axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
        axes.axis("off")
        axes.set_title(steps[step], fontsize=10, color=INK)
        for leaf, cell in enumerate(polygons):
            chosen = step > 0 and leaf in leaves[:4]
            face = "#ffe0d6" if chosen else "none"
            axes.add_patch(Polygon(cell, facecolor=face, edgecolor=SOFT, linewidth=0.7))
        if step == 0:
            axes.scatter(*centres.T, s=14, color=INK, marker="s")
        else:
            axes.scatter(*points.T, s=1.5, color=SOFT)
        if step >= 2:
            axes.scatter(*points[scanned].T, s=4, color=INK)
        if step == 2:
            axes.scatter(*points[coarse].T, s=12, facecolor="none", edgecolor=STRONG)
        if step == 3:
            axes.scatter(*points[coarse].T, s=12, facecolor="none", edgecolor=STRONG)
            axes.scatter(*points[best].T, s=22, color=STRONG)
        axes.scatter(*query, marker="*", s=110, color=STRONG, edgecolor="white", zorder=3)
    figure.subplots_adjust(left=0.01, right=0.99, bottom=0.01, top=0.86, wspace=0.06)
    return figure


def tradeoff() -> Figure:
    """Recall against the share of rows scanned, for few leaves and for many."""
    rng = np.random.default_rng(0)
    rows, dim = 200_000, 32
    homes = rng.standard_normal((2_000, dim), dtype=np.float32)
    spread = np.float32(0.6)
    vectors = homes[rng.integers(2_000, size=rows)]
    vectors = vectors + spread * rng.standard_normal((rows, dim), dtype=np.float32)
    queries = homes[rng.integers(2_000, size=300)]
    queries = queries + spread * rng.standard_normal((300, dim), dtype=np.float32)
    figure = Figure(figsize=(6.4, 3.4), layout="constrained")
    axes = figure.subplots()
    exact = None
    for leaves, colour, name in (
        (round(rows**0.5), SOFT, "√n leaves"),
        (round(9.25 * rows**0.5), STRONG, "9.25 √n leaves, the default"),
    ):
        index = Index.build(vectors, config=IndexConfig(leaves=leaves, tier=0))
        if exact is None:
            exact = index.search(queries, 10, settings=SearchSettings(exact=True))
        shares, recalls = [], []
        for share in np.geomspace(1 / leaves, 0.08, 14):
            visited = max(1, round(share * leaves))
            settings = SearchSettings(leaves=visited, rerank=100)
            shares.append(100 * visited / leaves)
            recalls.append(recall_at_k(exact, index.search(queries, 10, settings=settings)))
        axes.plot(shares, recalls, marker="o", markersize=3.5, color=colour, label=name)
    axes.set_xscale("log")
    axes.set_xlabel("leaves visited, % of all")
    axes.set_ylabel("recall@10")
    axes.grid(color=SOFT, linewidth=0.4, alpha=0.5)
    axes.legend(frameon=False, loc="lower right")
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def main() -> None:
    """Draws them all."""
    with mpl.rc_context(STYLE):
        for draw in (pipeline, search, tradeoff):
            draw().savefig(HERE / f"{draw.__name__}.svg", transparent=True, metadata={"Date": None})


if __name__ == "__main__":
    main()

"""Draws the figures of the documentation as SVG: python docs/figures/draw.py.

Lines and text are dark on nothing, and the site inverts them in its dark scheme.
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Polygon

from shortlist import Index, IndexConfig, SearchSettings
from shortlist.data import sample
from shortlist.evaluation import recall_at_k
from shortlist.models import TwoTower

HERE = Path(__file__).parent
RUN = 64  # rows of a leaf that share a bound
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


def architecture() -> Figure:
    """The way of the data up the floors, and the way of a query down them, with the files."""
    data = (
        ("interactions", "data/interactions.py", "CSV, Parquet, frames: checked, ids kept"),
        ("batches", "data/histories.py, models/batches.py", "who had what, in time order"),
        ("towers", "models/two_tower.py, losses/", "trained with Keras on any backend"),
        ("index", "index/index.py", "the candidates' embeddings, searchable"),
        ("evaluation", "evaluation/evaluate.py", "hit rate of the model, recall of the index"),
        ("bundle", "bundle/bundle.py", "the folder that is deployed"),
    )
    query = (
        ("request", "serving/server.py, app.py", "limits, keys, deadlines"),
        ("dialect", "serving/rest.py, tensorflow_serving.py, …", "its words for one query"),
        ("answer", "serving/answers.py, bundle/answering.py", "who asks, and what is left out"),
        ("query tower", "bundle/tower.py", "ONNX: from a user to an embedding"),
        ("search", "index/index.py, native/core/search", "leaves, codes, then exact scores"),
        ("kernel", "native/core/kernels", "one file for each instruction set"),
    )
    figure, axes = canvas(8.4, 5.9)
    for left, title, steps in ((0.2, "from a table to a bundle", data), (4.35, "a query", query)):
        axes.text(left, 5.7, title, style="italic", va="center")
        for step, (name, files, does) in enumerate(steps):
            y = 5.15 - 0.93 * step
            strong = name in ("index", "bundle", "search")
            box(axes, left + 0.6, y, name, width=1.15, strong=strong)
            axes.text(left + 1.3, y + 0.13, does, va="center", fontsize=8.5)
            axes.text(left + 1.3, y - 0.13, files, va="center", fontsize=7, family="monospace")
            if step:
                arrow(axes, (left + 0.6, y + 0.61), (left + 0.6, y + 0.33))
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


def catalogue() -> tuple[np.ndarray, np.ndarray]:
    """Embeddings of invented films and 500 scaled copies of each, and of their viewers."""
    films = sample().interactions
    model = TwoTower.from_interactions(films, embedding_dim=32)
    model.fit(films, epochs=3, optimizer="adam", progress=False)
    originals = model.embed_candidates()
    scales = np.random.default_rng(0).random((500, *originals.shape), dtype=np.float32)
    copies = (originals * scales).reshape(-1, originals.shape[1])
    return np.concatenate([originals, copies]), model.embed_queries(model.users.ids[:300])


class Leaf:
    """The rows of a leaf in their order, and what is known of them before they are scored."""

    def __init__(self, rows: np.ndarray) -> None:
        self.rows = rows
        self.centroid = rows.mean(0)
        self.radius = np.linalg.norm(rows - self.centroid, axis=1).max()
        reach = rows @ self.centroid / (self.centroid @ self.centroid)
        self.fronts = np.maximum.accumulate(reach[::-1])[::-1][::RUN]

    def expected(self, query: np.ndarray, stop: float) -> np.ndarray:
        """The best score expected of each run of rows and of those after it."""
        base = self.centroid @ query
        along = self.fronts * base if base > 0 else np.full(len(self.fronts), base)
        return along + stop * np.linalg.norm(query) * self.radius


def leaves_of(index: Index, vectors: np.ndarray) -> list[Leaf]:
    """The leaves of an index, as its file has them."""
    with TemporaryDirectory() as folder:
        index.save(Path(folder) / "index.slx")
        data = (Path(folder) / "index.slx").read_bytes()
    (count,) = struct.unpack_from("<Q", data, 24)
    table = struct.iter_unpack("<4Q", data[48 : 48 + 32 * count])
    places = {kind: (size // 4, offset) for kind, offset, size, _ in table}
    starts, row_of = (np.frombuffer(data, np.uint32, *places[kind]) for kind in (10, 15))
    return [Leaf(vectors[rows]) for rows in np.split(row_of, starts[1:-1])]


def visits(
    leaves: list[Leaf], query: np.ndarray, settings: SearchSettings
) -> Iterator[tuple[Leaf, float, int]]:
    """The best leaves in turn, the score that a row needs then, and how many rows are scored."""
    bases = np.array([leaf.centroid @ query for leaf in leaves])
    found = np.empty(0, np.float32)
    for place in (-bases).argsort()[: settings.leaves]:
        leaf = leaves[place]
        need = found.min() if len(found) == settings.rerank else -np.inf
        enough = leaf.expected(query, settings.stop) >= need
        runs = len(enough) if settings.stop == 0 or enough.all() else int(enough.argmin())
        scored = min(RUN * runs, len(leaf.rows))
        yield leaf, need, scored
        scores = np.concatenate([found, leaf.rows[:scored] @ query])
        found = np.sort(scores)[-settings.rerank :]


def leaf(vectors: np.ndarray, queries: np.ndarray) -> Figure:
    """Three leaves that one query visits: what is expected of their rows, and what they score."""
    index = Index.build(vectors, config=IndexConfig(tier=0))
    settings = SearchSettings(leaves=32, stop=0.3)
    visited = list(visits(leaves_of(index, vectors), queries[0], settings))
    figure = Figure(figsize=(8.4, 2.9), layout="constrained")
    for axes, place in zip(figure.subplots(1, 3, sharey=True), (1, 8, 16), strict=True):
        leaf, need, scored = visited[place - 1]
        scores = leaf.rows @ queries[0]
        places = np.arange(len(scores))
        axes.scatter(places[:scored], scores[:scored], s=4, color=INK, label="scored")
        axes.scatter(places[scored:], scores[scored:], s=4, color=SOFT, label="not scored")
        bounds = leaf.expected(queries[0], settings.stop)
        edges = [*range(0, len(scores), RUN), len(scores)]
        axes.stairs(bounds, edges, baseline=None, color=STRONG, linewidth=1.4, label="expected")
        if np.isfinite(need):
            axes.axhline(need, color=INK, linewidth=0.9, linestyle=(0, (4, 3)), label="needed")
        axes.set_title(f"leaf {place} of {settings.leaves}", fontsize=10)
        axes.set_xlabel("row of the leaf")
        axes.spines[["top", "right"]].set_visible(False)
    figure.axes[0].set_ylabel("score")
    handles, labels = figure.axes[1].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=4, frameon=False)
    return figure


def tradeoff(vectors: np.ndarray, queries: np.ndarray) -> Figure:
    """Recall against rows scored, for leaves scored whole and for leaves left early."""
    figure = Figure(figsize=(6.4, 3.4), layout="constrained")
    axes = figure.subplots()
    many = round(9.25 * len(vectors) ** 0.5)
    for number, stop, colour, line, name in (
        (many, 0.0, SOFT, "-", "9.25 √n leaves, every row"),
        (None, 0.0, INK, "-", "3.2 √n leaves, every row"),
        (None, 0.3, STRONG, "-", "3.2 √n leaves, stop = 0.3"),
        (None, 0.1, STRONG, "--", "3.2 √n leaves, stop = 0.1"),
    ):
        index = Index.build(vectors, config=IndexConfig(leaves=number, tier=0))
        exact = index.search(queries, 10, settings=SearchSettings(exact=True))
        leaves = leaves_of(index, vectors)
        counts, recalls = [], []
        for visited in np.unique(np.geomspace(4, 128, 11).round().astype(int)).tolist():
            settings = SearchSettings(leaves=visited, rerank=50, stop=stop)
            scored = [sum(n for *_, n in visits(leaves, query, settings)) for query in queries]
            counts.append(np.mean(scored))
            recalls.append(recall_at_k(exact, index.search(queries, 10, settings=settings)))
        axes.plot(counts, recalls, line, marker="o", markersize=3.5, color=colour, label=name)
    axes.set_xscale("log")
    axes.set_xlabel("rows scored for a query")
    axes.set_ylabel("recall@10")
    axes.grid(color=SOFT, linewidth=0.4, alpha=0.5)
    axes.legend(frameon=False, loc="lower right")
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def main() -> None:
    """Draws them all."""
    vectors, queries = catalogue()
    figures = {
        "pipeline": pipeline(),
        "architecture": architecture(),
        "search": search(),
        "leaf": leaf(vectors, queries),
        "tradeoff": tradeoff(vectors, queries),
    }
    for name, figure in figures.items():
        figure.savefig(HERE / f"{name}.svg", transparent=True, metadata={"Date": None})


if __name__ == "__main__":
    with mpl.rc_context(STYLE):
        main()

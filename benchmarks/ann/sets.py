"""The data sets of the benchmark, made from fixed seeds and kept under the cache folder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

K = 10


@dataclass(frozen=True)
class AnnSet:
    """Candidates, queries and the true top k of each query, all under dot product.

    Attributes:
        folder: where `candidates.npy`, `queries.npy`, `truth.npy` and `kth.npy` lie.
        title: what the set is, in a line, for reports.
    """

    folder: Path
    title: str

    @property
    def name(self) -> str:
        return self.folder.name

    def load(self, part: str) -> np.ndarray:
        """One of "candidates", "queries", "truth" (rows) and "kth" (score of the k-th)."""
        return np.load(self.folder / f"{part}.npy")

    def recall(self, rows: np.ndarray, which: np.ndarray) -> tuple[float, float]:
        """Recall@k of the found `rows` for the queries `which`: by id, and forgiving ties."""
        truth, kth = self.load("truth")[which], self.load("kth")[which]
        by_id = np.mean([len(np.intersect1d(a, b)) for a, b in zip(rows, truth, strict=True)]) / K
        candidates = np.load(self.folder / "candidates.npy", mmap_mode="r")
        queries = self.load("queries")[which].astype(np.float64)
        found = candidates[np.maximum(rows, 0).ravel()].reshape(*rows.shape, -1)
        scores = np.einsum("qd,qkd->qk", queries, found.astype(np.float64))
        good = (scores >= kth[:, None] - 1e-6 * np.abs(kth[:, None])) & (rows >= 0)
        return float(by_id), float(np.minimum(good.sum(axis=1), K).mean() / K)


TITLES = {
    "headline": "MovieLens 100k two-tower embeddings, 1,682 candidates and 1,000 randomly scaled "
    "copies of each (the copies are synthetic): 1,683,682 x 32, dot product",
    "clustered96": "synthetic: 5,000 Gaussian clusters of uneven size, normalised, 1,000,000 x 96",
    "text384": "synthetic: 2,000 nested clusters with a decaying spectrum, normalised, "
    "200,000 x 384",
}


def make(name: str, cache: Path, data_dir: Path | None) -> AnnSet:
    """The set called `name`, made the first time it is asked for."""
    made = AnnSet(cache / "sets" / name, TITLES[name])
    if not (made.folder / "about.json").exists():
        made.folder.mkdir(parents=True, exist_ok=True)
        if name == "headline":
            candidates, queries = _headline(data_dir)
        elif name == "clustered96":
            candidates, queries = _clustered(1_000_000, 96, clusters=5_000, decay=0.0, seed=96)
        else:
            candidates, queries = _clustered(200_000, 384, clusters=2_000, decay=0.5, seed=384)
        truth, kth = exact(candidates, queries)
        for part, values in [
            ("candidates", candidates),
            ("queries", queries),
            ("truth", truth),
            ("kth", kth),
        ]:
            np.save(made.folder / f"{part}.npy", values)
        about = {"title": made.title, "candidates": candidates.shape, "queries": queries.shape}
        (made.folder / "about.json").write_text(json.dumps(about))
    return made


def exact(candidates: np.ndarray, queries: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the true top k, ties by lower row, and the score of the k-th, in float64."""
    truth = np.empty((len(queries), K), np.int64)
    kth = np.empty(len(queries))
    for start in range(0, len(queries), 64):
        block = queries[start : start + 64]
        scores = block @ candidates.T
        near = np.argpartition(scores, -4 * K, axis=1)[:, -4 * K :]
        for at, rows in enumerate(near):
            rows = np.sort(rows)
            fine = candidates[rows].astype(np.float64) @ block[at].astype(np.float64)
            best = np.argsort(-fine, kind="stable")[:K]
            truth[start + at], kth[start + at] = rows[best], fine[best[-1]]
    return truth, kth


def _headline(data_dir: Path | None) -> tuple[np.ndarray, np.ndarray]:
    if data_dir is None or not (data_dir / "u.data").exists():
        raise SystemExit(
            "The headline set needs MovieLens 100k: give its folder (with u.data) by --data-dir "
            "or in SHORTLIST_ML100K, or leave the set out with --sets clustered96 text384."
        )
    queries, originals = _two_tower(np.loadtxt(data_dir / "u.data", dtype=np.int64)[:, :2] - 1)
    rng = np.random.default_rng(20)
    copies = [originals]
    copies += [originals * rng.random(originals.shape, dtype=np.float32) for _ in range(1_000)]
    return np.concatenate(copies), queries


def _two_tower(
    pairs: np.ndarray, dim: int = 32, epochs: int = 20, batch: int = 4_096
) -> tuple[np.ndarray, np.ndarray]:
    """User and item embeddings trained with in-batch softmax and Adagrad, as TFRS's tutorial."""
    rng = np.random.default_rng(42)
    users, items = pairs.max(axis=0) + 1
    tables = [rng.uniform(-0.05, 0.05, (n, dim)).astype(np.float32) for n in (users, items)]
    sums = [np.full_like(table, 0.1) for table in tables]
    for _ in range(epochs):
        order = rng.permutation(len(pairs))
        for start in range(0, len(order) - batch + 1, batch):
            user, item = pairs[order[start : start + batch]].T
            u, v = tables[0][user], tables[1][item]
            logits = u @ v.T
            logits -= logits.max(axis=1, keepdims=True)
            chance = np.exp(logits)
            chance /= chance.sum(axis=1, keepdims=True)
            chance[np.arange(batch), np.arange(batch)] -= 1.0
            steps = ((0, user, chance @ v), (1, item, chance.T @ u))
            for side, which, gradient in steps:
                total = np.zeros_like(tables[side])
                np.add.at(total, which, gradient)
                sums[side] += total * total
                tables[side] -= 0.1 * total / np.sqrt(sums[side])
    return tables[0], tables[1]


def _clustered(
    n: int, dim: int, *, clusters: int, decay: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Normalised points around cluster centres; sizes and spreads of the clusters are uneven."""
    rng = np.random.default_rng(seed)
    spectrum = (np.arange(1, dim + 1) ** -decay).astype(np.float32)
    spectrum *= np.sqrt(dim / np.sum(spectrum**2))
    groups = rng.standard_normal((max(1, clusters // 20), dim), dtype=np.float32) * spectrum
    centres = rng.standard_normal((clusters, dim), dtype=np.float32) * spectrum
    if decay:
        centres = 0.6 * centres + groups[rng.integers(len(groups), size=clusters)]
    share = rng.exponential(size=clusters)
    spread = rng.uniform(0.6, 1.2, clusters).astype(np.float32)

    def draw(count: int) -> np.ndarray:
        which = rng.choice(clusters, count, p=share / share.sum())
        points = rng.standard_normal((count, dim), dtype=np.float32) * spectrum
        points *= spread[which, None]
        points += centres[which]
        return points / np.linalg.norm(points, axis=1, keepdims=True)

    return draw(n), draw(1_000)

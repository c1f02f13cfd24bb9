"""The evaluation of 20,000 queries against 1.68 million candidates, beside the published times.

"Efficient serving" of TensorFlow Recommenders evaluates its model on 20,000 held-out interactions
of MovieLens 100k against a thousand times its films (noisy copies, which are synthetic): 48 s
exactly and 1.6 s with ScaNN, on a large machine of Google's, hit rates at five k included
(https://www.tensorflow.org/recommenders/examples/efficient_serving). Here `evaluate` does that from
end to end: every held-out interaction is a query of its own, embedded by the tower, searched,
matched by id and counted at the same k, by six metrics. Exact and approximate take turns; medians
over the rounds are reported. Training and building are not part of either figure.

    python benchmarks/evaluation.py --data-dir path/to/ml-100k [--json] [--save FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import numpy as np
from ann.report import machine

from shortlist.data import Interactions, movielens, split_random
from shortlist.evaluation import evaluate, recall_at_k
from shortlist.index import Index, SearchSettings, tune
from shortlist.models import Retrieval, TwoTower

KS = (1, 5, 10, 50, 100)
PUBLISHED = {"exact": 48.0, "approximate": 1.6}


def main() -> None:
    options = _arguments()
    split = split_random(movielens("100k", options.data_dir), test=0.2, seed=0)
    model = train(split.train, options.epochs)
    index, build_seconds = catalogue(model, options.candidates)
    test = held_out(split.test)

    users = split.test.frame["user_id"].to_numpy()
    others = np.random.default_rng(0).choice(split.train.frame["user_id"].to_numpy(), 2_000)
    tuned = tune(index, model.embed_queries(others), k=max(KS), recall=options.recall)
    ways = {
        "exact": SearchSettings(exact=True),
        "approximate": index.settings,
        f"approximate, tuned to {options.recall:g}": tuned.settings,
    }

    def queries(rows: np.ndarray) -> np.ndarray:
        return model.embed_queries(users[rows])

    def run(settings: SearchSettings) -> tuple[dict[str, float], float]:
        index.settings = settings
        start = time.perf_counter()
        result = evaluate(
            index, test, ks=KS, exclude_seen=False, baselines={}, queries=queries, block_size=8192
        )
        return dict(result.metrics), time.perf_counter() - start

    everyone = np.arange(len(users))
    truth = index.search(queries(everyone), max(KS), settings=ways["exact"])
    found: dict[str, Any] = {}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(options.rounds):
        for name, settings in ways.items():
            metrics, taken = run(settings)
            seconds[name].append(taken)
            found[name] = {key: metrics[key] for key in metrics if key.startswith("hit_rate")}
    for name, settings in ways.items():
        near = index.search(queries(everyone), max(KS), settings=settings)
        found[name] |= {
            f"recall@{k}": recall_at_k(truth.rows[:, :k], near.rows[:, :k]) for k in (10, 100)
        }
        found[name]["seconds"] = float(np.median(seconds[name]))
    document = {
        "machine": machine(),
        "queries": len(users),
        "candidates": [len(index), index.dim],
        "rounds": options.rounds,
        "build_seconds": build_seconds,
        "published_seconds": PUBLISHED,
        "ours": found,
    }
    if options.save:
        options.save.write_text(markdown(document))
    print(json.dumps(document, indent=2) if options.json else markdown(document))


def train(interactions: Interactions, epochs: int) -> TwoTower:
    """The tutorial's model: two tables of 32 dimensions, softmax summed over batches of 8,192."""
    plain = Retrieval(
        temperature=1.0, sampling_correction=False, remove_accidental_hits=False, reduction="sum"
    )
    model = TwoTower.from_interactions(interactions, objective=plain, normalize=False)
    model.fit(
        interactions,
        epochs=epochs,
        batch_size=8192,
        optimizer=keras.optimizers.Adagrad(0.1),
        progress=False,
    )
    return model


def catalogue(model: TwoTower, candidates: int) -> tuple[Index, float]:
    """The index of every film and noisy copies of it, which have ids of their own."""
    films = model.embed_candidates()
    rng = np.random.default_rng(0)
    rows = films[np.arange(candidates) % len(films)]
    rows[len(films) :] *= rng.random(rows[len(films) :].shape, dtype=np.float32)
    ids = np.arange(candidates) + 1_000_000
    ids[: len(films)] = model.items.ids
    start = time.perf_counter()
    index = Index.build(rows, ids)
    return index, time.perf_counter() - start


def held_out(test: Interactions) -> Interactions:
    """Each held-out interaction as that of a user of its own, so that each is a query."""
    return Interactions.from_arrays(np.arange(len(test)), test.frame["item_id"].to_numpy())


def markdown(document: dict[str, Any]) -> str:
    """The document as a page."""
    n, dim = document["candidates"]
    host = document["machine"]
    lines = [
        f"# Evaluation of {document['queries']:,} queries against {n:,} candidates",
        "",
        f"{n:,} x {dim}, MovieLens 100k and noisy copies of its films, which are synthetic; "
        f"`evaluate` from end to end, medians of {document['rounds']} rounds, in turn. "
        f"{host['processor']}, {host['cores']} cores. The index was built in "
        f"{document['build_seconds']:.1f} s. Published times are those of another, larger machine.",
        "",
        "| | seconds | published | "
        + " | ".join(f"hit rate@{k}" for k in KS)
        + " | recall@10 | recall@100 |",
        "|" + "---|" * (len(KS) + 5),
    ]
    for name, values in document["ours"].items():
        published = PUBLISHED[name.partition(",")[0]]
        cells = [f"{values[f'hit_rate@{k}']:.4f}" for k in KS]
        cells += [f"{values[f'recall@{k}']:.3f}" for k in (10, 100)]
        lines.append(f"| {name} | {values['seconds']:.2f} | {published:g} | {' | '.join(cells)} |")
    command = f"python benchmarks/evaluation.py --rounds {document['rounds']}"
    return "\n".join([*lines, "", f"Command: `{command}`"]) + "\n"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = os.environ.get("SHORTLIST_ML100K")
    parser.add_argument("--data-dir", type=Path, default=default, help="folder or zip of ml-100k")
    parser.add_argument("--candidates", type=int, default=1_683_682)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--recall", type=float, default=0.97, help="recall@100 to tune to")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--save", type=Path, help="write the table to this file")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    return parser.parse_args()


if __name__ == "__main__":
    main()

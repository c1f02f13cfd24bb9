"""The known tutorials' figures on MovieLens 100k, ours beside the published.

    python benchmarks/tutorials.py --data-dir path/to/ml-100k [--json]

Published:

- *rating*: "Recommending movies: retrieval" of Keras Recommenders
  (https://keras.io/keras_rs/examples/basic_retrieval/). Mean squared error of the dot product
  against (rating - 1) / 4 on the held-out fifth. A model that answers 0 for everything has a loss
  of about 0.478, so the published 0.468 to 0.475 is that of a model which has barely begun to
  learn after 50 epochs: Adagrad divides by the root of its initial accumulator, 0.1, and the
  gradients of a mean over 1,000 ratings are tiny. Ours repeats the set-up, not its merit.
- *retrieval*: "Recommending movies: retrieval" of TensorFlow Recommenders
  (https://www.tensorflow.org/recommenders/examples/basic_retrieval). Share of held-out
  interactions among the user's top k of all films, films seen in training not excluded.

Both: a random split of 80,000 and 20,000, embeddings of 32 dimensions, Adagrad at 0.1.
Popularity, which shows everyone the same films, stands beside as the floor that counts.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras

from shortlist.data import Split, movielens, split_random
from shortlist.evaluation import evaluate
from shortlist.evaluation.baselines import Popularity
from shortlist.models import Retrieval, TwoTower

PUBLISHED = {
    "rating": {"validation_loss": "0.468-0.475"},
    "retrieval": {"hit_rate@10": "0.022", "hit_rate@100": "0.236"},
}


def rating(split: Split, seed: int) -> dict[str, float]:
    """50 epochs of squared error, batches of 1,000."""
    model = TwoTower.from_interactions(split.train, embedding_dim=32, objective="rating", seed=seed)
    history = model.fit(
        split.train, epochs=50, batch_size=1000, optimizer=keras.optimizers.Adagrad(0.1)
    )
    return {"validation_loss": model.loss(split.test), "seconds": history.seconds}


def retrieval(split: Split, seed: int) -> dict[str, float]:
    """3 epochs of softmax summed over batches of 8,192, without corrections."""
    model = TwoTower.from_interactions(
        split.train,
        embedding_dim=32,
        normalize=False,
        objective=Retrieval(
            temperature=1.0,
            sampling_correction=False,
            remove_accidental_hits=False,
            reduction="sum",
        ),
        seed=seed,
    )
    history = model.fit(
        split.train, epochs=3, batch_size=8192, optimizer=keras.optimizers.Adagrad(0.1)
    )
    return {**hit_rates(model, split, exclude_seen=False), "seconds": history.seconds}


def ours(split: Split, seed: int) -> dict[str, float]:
    """30 epochs of Shortlist's own retrieval objective, as `shortlist train` has it."""
    model = TwoTower.from_interactions(split.train, seed=seed)
    history = model.fit(split.train, epochs=30, optimizer=keras.optimizers.Adam(0.005))
    return {**both(model, split), "seconds": history.seconds}


def both(recommender: Any, split: Split) -> dict[str, float]:
    """Hit rates with seen films kept, and with them excluded."""
    kept = hit_rates(recommender, split, exclude_seen=False)
    excluded = hit_rates(recommender, split, exclude_seen=True)
    return {**kept, **{f"{name} seen excluded": value for name, value in excluded.items()}}


def hit_rates(recommender: Any, split: Split, *, exclude_seen: bool) -> dict[str, float]:
    """Hit rate at 10 and 100."""
    result = evaluate(
        recommender,
        split.test,
        train=split.train,
        ks=(10, 100),
        exclude_seen=exclude_seen,
        baselines={},
    )
    return {f"hit_rate@{k}": result[f"hit_rate@{k}"] for k in (10, 100)}


def main() -> None:
    """Runs everything over the seeds and prints it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", type=Path, help="folder or zip of ml-100k; else downloaded")
    parser.add_argument("--seeds", type=int, default=1, help="repeat over this many seeds")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    arguments = parser.parse_args()

    started = time.perf_counter()
    data = movielens("100k", arguments.data_dir)
    runs: dict[str, list[dict[str, float]]] = {}
    for seed in range(arguments.seeds):
        split = split_random(data, test=0.2, seed=seed)
        runs.setdefault("rating", []).append(rating(split, seed))
        runs.setdefault("retrieval", []).append(retrieval(split, seed))
        runs.setdefault("popularity", []).append(both(Popularity(split.train), split))
        runs.setdefault("shortlist", []).append(ours(split, seed))
    document = {
        "backend": keras.config.backend(),
        "seeds": arguments.seeds,
        "published": PUBLISHED,
        "ours": {
            name: {key: statistics.fmean(run[key] for run in of_seeds) for key in of_seeds[0]}
            for name, of_seeds in runs.items()
        },
        "seconds": time.perf_counter() - started,
    }
    if arguments.json:
        print(json.dumps(document, indent=2))
        return
    print(f"{'set-up':12}{'figure':30}{'ours':>10}{'published':>14}")
    for name, figures in document["ours"].items():
        for key, value in figures.items():
            print(f"{name:12}{key:30}{value:10.4f}{PUBLISHED.get(name, {}).get(key, ''):>14}")


if __name__ == "__main__":
    main()

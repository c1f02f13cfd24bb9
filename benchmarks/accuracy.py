"""How well models and baselines recommend, side by side, over several seeds.

    python benchmarks/accuracy.py --data-dir DIR [--seeds 3] [--only random,time] [--json]

DIR is an unpacked MovieLens 100k. All figures are hit rates: the share of held-out interactions
found in the first k. With --json one document: each section holds the means, and beside each
figure its standard deviation over the seeds, as KEY_sd.

- random: 80/20, a new split for every seed. seconds is the time to train.
- time: the last 20 % of the interactions are held out; seeds differ in the training alone. Users
  without any interaction before are left out.
- new_users: 100 users are withheld and each is given by 3 of their films, drawn at random; all the
  rest are to be found. Two readings, which differ in who counts: hit_rate@10 is the share found of
  all that is to be found, so that someone with 700 films counts 35 times as much as someone with
  20; per_user@10 is the mean over users of the share of their films found, every user alike. That
  is also how likely one more of a stranger's films, drawn at random, is in the first ten (leave one
  out). The ceiling is what ten films a user can reach at most: they have 100 films on average, and
  every second film that Popularity shows is one of them. EASE, ItemKNN and iALS stand there with
  their own settings and again with those best for three films; TwoTower also with more films given.
  "all films in 4 numbers" is an oracle: it has seen every film of the stranger, those to be found
  included, and keeps 4 numbers of it (principal components): a measure of what three films tell.
- new_users_liked: the same where all that counts is a rating of 4 or 5: three films a stranger
  liked are given, the others that they liked are to be found, and everyone learns from such
  ratings alone; but one Popularity stands there that counts all ratings, and how many times its
  hit rate the others have.
- sample: on the invented data set, as a share of what its taste model itself finds (the oracle).
- deep: features and 1, 2, 3 dense layers by the rating objective, and the hit rate on held-out
  ratings of 5, beside the 0.30 to 0.315 published for this set-up.
- cost: the best model trained in a process of its own on two cores: seconds from the table
  of interactions to the trained model, and the most memory the process had.
- choice (not by default): what each setting of the best model brings, on a validation part of
  train.
"""

import argparse
import json
import multiprocessing
import os
import resource
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import numpy as np
from strangers import KS, Metrics, Strangers, compare

from shortlist.data import (
    Interactions,
    Split,
    movielens,
    sample,
    split_by_time,
    split_random,
)
from shortlist.evaluation import evaluate
from shortlist.evaluation.baselines import EASE, IALS, ItemKNN, Popularity
from shortlist.models import Catalogue, Recipe, TwoTower

NEW_USERS, GIVEN = 100, 3
LIKED = 4
CORES = 2


def two_tower(recipe: Recipe) -> Callable[[Interactions], Any]:
    def fit(train: Interactions) -> Any:
        model = recipe.model(train)
        recipe.fit(model, train)
        return model

    return fit


def models(seed: int) -> dict[str, Callable[[Interactions], Any]]:
    return {
        "Popularity": Popularity,
        "ItemKNN": ItemKNN,
        "EASE": EASE,
        "iALS": lambda train: IALS(train, seed=seed),
        "iALS, 64 factors": lambda train: IALS(train, factors=64, seed=seed),
        "TwoTower, in-batch softmax": two_tower(Recipe(seed=seed, epochs=30)),
        "TwoTower": two_tower(Recipe.best(seed=seed)),
    }


def measured(recommender: Any, split: Split) -> Metrics:
    figures = {}
    for suffix, exclude_seen in (("", True), ("_keep_seen", False)):
        result = evaluate(
            recommender,
            split.test,
            train=split.train,
            ks=KS,
            exclude_seen=exclude_seen,
            baselines={},
        )
        figures |= {f"hit_rate@{k}{suffix}": result[f"hit_rate@{k}"] for k in KS}
    return figures


def side_by_side(split: Split, seed: int) -> dict[str, Metrics]:
    figures = {}
    for name, fit in models(seed).items():
        started = time.perf_counter()
        model = fit(split.train)
        seconds = time.perf_counter() - started
        figures[name] = {**measured(model, split), "seconds": seconds}
    return figures


def random(data: Interactions, seed: int) -> dict[str, Metrics]:
    return side_by_side(split_random(data, seed=seed), seed)


def by_time(data: Interactions, seed: int) -> dict[str, Metrics]:
    return side_by_side(split_by_time(data), seed)


def newcomers(seed: int) -> dict[str, Callable[[Interactions], Any]]:
    """The models that know users by their films; the settings for few films by validation."""

    def for_few_films(train: Interactions) -> TwoTower:
        model = TwoTower.from_interactions(
            train,
            embedding_dim=256,
            objective=Catalogue(likelihood="logistic", unknown_users=1.0),
            pooling="sqrt",
            dropout=0.3,
            seed=seed,
        )
        adam = keras.optimizers.AdamW(0.003, weight_decay=0.1)
        model.fit(train, epochs=400, batch_size=128, optimizer=adam, decay=True)
        return model

    known_by_id = "TwoTower, in-batch softmax"
    return {name: fit for name, fit in models(seed).items() if name != known_by_id} | {
        "ItemKNN for few films": lambda train: ItemKNN(train, neighbors=1000),
        "EASE for few films": lambda train: EASE(train, l2=30_000),
        "iALS for few films": lambda train: IALS(train, l2=0.1, seed=seed),
        "TwoTower for few films": for_few_films,
    }


def new_users(data: Interactions, seed: int) -> dict[str, Metrics]:
    strangers = Strangers(data, NEW_USERS, seed)
    fitted = {name: fit(strangers.train) for name, fit in newcomers(seed).items()}
    figures = compare(strangers.measure(fitted, GIVEN), "Popularity")
    few = {name: fitted[name] for name in ("Popularity", "TwoTower")}
    for count in (1, 5, 10):
        note = f", {count} given"
        figures |= compare(strangers.measure(few, count, note), f"Popularity{note}")
    oracles = {"Popularity": figures["Popularity"], **strangers.oracles(GIVEN, (2, 3, 4, 6, 8))}
    return {"ceiling": strangers.ceiling(GIVEN), **figures, **compare(oracles, "Popularity")}


def new_users_liked(data: Interactions, seed: int) -> dict[str, Metrics]:
    strangers = Strangers(rated(data, LIKED), NEW_USERS, seed)
    fitted = {name: fit(strangers.train) for name, fit in newcomers(seed).items()}
    others = ~data.frame["user_id"].is_in(strangers.ids.tolist())
    fitted["Popularity of all ratings"] = Popularity(data.take(others.to_numpy()))
    figures = compare(strangers.measure(fitted, GIVEN), "Popularity")
    compare(figures, "Popularity of all ratings", "_of_all_ratings")
    return {"ceiling": strangers.ceiling(GIVEN), **figures}


def rated(data: Interactions, least: int) -> Interactions:
    return data.take((data.frame["rating"] >= least).to_numpy())


def on_sample(data: Interactions, seed: int) -> dict[str, Metrics]:
    del data
    invented = sample()
    split = split_random(invented.interactions, seed=seed)
    oracle = invented.oracle.hit_rates(split, KS)
    figures = {"oracle": {f"hit_rate@{k}": oracle[k] for k in KS}}
    for name, fit in models(seed).items():
        figures[name] = measured(fit(split.train), split)
        for k in KS:
            figures[name][f"oracle_share@{k}"] = figures[name][f"hit_rate@{k}"] / oracle[k]
    return figures


DEEP = Recipe(
    objective="rating",
    user_features={
        "user_id": {"kind": "category"},
        "gender": {"kind": "category"},
        "age": {"kind": "bucket", "count": 7},
        "age_gender": {"kind": "cross", "of": ["age", "gender"]},
        "occupation": {"kind": "category"},
    },
    item_features={
        "item_id": {"kind": "category"},
        "title": {"kind": "text"},
        "genres": {"kind": "categories"},
    },
    optimizer="adagrad",
    learning_rate=0.05,
    batch_size=1000,
    epochs=30,
    patience=0,
)


def deep(data: Interactions, seed: int) -> dict[str, Metrics]:
    split = split_random(data, seed=seed)
    loved = rated(split.test, 5)
    figures = {}
    for layers in ((32,), (64, 32), (128, 64, 32)):
        started = time.perf_counter()
        model = two_tower(replace(DEEP, layer_sizes=layers, seed=seed))(split.train)
        seconds = time.perf_counter() - started
        figures["-".join(map(str, layers))] = {
            **measured(model, Split(split.train, loved)),
            "seconds": seconds,
        }
    return figures


def cost(data: Interactions, seed: int) -> dict[str, Metrics]:
    train = split_random(data, seed=seed).train
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return {"TwoTower": pool.apply(cost_of_best, (train, seed))}


def cost_of_best(train: Interactions, seed: int) -> Metrics:
    if hasattr(os, "sched_setaffinity"):  # threads started from now on keep to these cores
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    started = time.perf_counter()
    two_tower(Recipe.best(seed=seed))(train)
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"seconds": seconds, "peak_memory_mb": peak / (1e6 if sys.platform == "darwin" else 1e3)}


CHANGES: dict[str, dict[str, Any]] = {
    "best": {},
    "without history": {"history": False},
    "mean of the history": {"pooling": "mean"},
    "64 dimensions": {"embedding_dim": 64},
    "128 dimensions": {"embedding_dim": 128},
    "without dropout": {"dropout": 0.0},
    "dropout of 0.6": {"dropout": 0.6},
    "without weight decay": {"weight_decay": 0.0},
    "100 epochs": {"epochs": 100},
}


def choice(data: Interactions, seed: int) -> dict[str, Metrics]:
    train = split_random(data, seed=seed).train
    inner = split_random(train, test=0.125, seed=100 + seed)
    figures = {}
    for name, changes in CHANGES.items():
        recipe = Recipe.best(**{**changes, "seed": seed})
        figures[name] = measured(two_tower(recipe)(inner.train), inner)
    return figures


SECTIONS = {
    "random": random,
    "time": by_time,
    "new_users": new_users,
    "new_users_liked": new_users_liked,
    "sample": on_sample,
    "deep": deep,
    "cost": cost,
    "choice": choice,
}
DEFAULT = [section for section in SECTIONS if section != "choice"]


def summary(runs: list[dict[str, Metrics]]) -> dict[str, Metrics]:
    """Means over the runs, each with its standard deviation beside it."""
    out: dict[str, Metrics] = {}
    for name in runs[0]:
        out[name] = {}
        for key in runs[0][name]:
            values = [run[name][key] for run in runs]
            out[name][key] = round(float(np.mean(values)), 4)
            out[name][f"{key}_sd"] = round(float(np.std(values)), 4)
    return out


def show(section: str, figures: dict[str, Metrics], seeds: int) -> None:
    keys = list(dict.fromkeys(key for row in figures.values() for key in row if key[-3:] != "_sd"))
    width = max(map(len, figures)) + 2
    print(f"\n{section}, mean ± deviation of {seeds} seeds")
    print(" " * width + "".join(f"{key:>24}" for key in keys))
    for name, row in figures.items():
        cells = (f"{row[key]:.4f} ± {row[key + '_sd']:.4f}" if key in row else "" for key in keys)
        print(f"{name:<{width}}" + "".join(f"{cell:>24}" for cell in cells))


def main(arguments: Iterable[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="How well models and baselines recommend.")
    parser.add_argument("--data-dir", required=True, help="an unpacked MovieLens 100k")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", default=",".join(DEFAULT), help="sections, by comma")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    given = parser.parse_args(None if arguments is None else list(arguments))
    data = movielens("100k", given.data_dir)
    document: dict[str, Any] = {}
    for section in given.only.split(","):
        runs = []
        for seed in range(given.seeds):
            print(f"{section}, seed {seed}", file=sys.stderr, flush=True)
            runs.append(SECTIONS[section](data, seed))
        document[section] = summary(runs)
        if not given.json:
            show(section, document[section], given.seeds)
        if section == "sample":
            best = document[section]["TwoTower"]
            document[section]["oracle_share"] = best["oracle_share@10"]
            document[section]["oracle_share_sd"] = best["oracle_share@10_sd"]
    if given.json:
        print(json.dumps(document, indent=2))


if __name__ == "__main__":
    main()

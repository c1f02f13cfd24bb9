"""How well recipes and baselines find what was held out, on sets with a valid part of their own.

    python benchmarks/accuracy_sets.py FOLDER ... [--search 900] [--rounds 12] [--json]

Each FOLDER holds train.parquet, valid.parquet and test.parquet with the columns user_id and
item_id. Everyone learns from train alone, and is measured on valid and on test: recall@20 and
NDCG@20, means over users who stand in train, with what they had in train left out.

- Popularity, and EASE where it fits in memory, its penalty tuned on valid.
- iALS, tuned on valid: 64, 128 and 256 factors, and weights and penalties around those of
  `Recipe.for_data`.
- TwoTower by `Recipe.for_data`, and with --search by `Recipe.search` in so many seconds, training
  included. Neither has seen valid.

Figures that others have published on the same files, such as LightGCN's, are not repeated here.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "jax")

from shortlist.data import Interactions
from shortlist.evaluation import evaluate
from shortlist.evaluation.baselines import EASE, IALS, Popularity
from shortlist.models import Recipe

MONITOR = "recall@20"
FIGURES = (MONITOR, "ndcg@20")
Set = dict[str, Interactions]


def figures(recommender: Any, parts: Set, part: str) -> dict[str, float]:
    result = evaluate(recommender, parts[part], train=parts["train"], ks=(20,), baselines={})
    return {name: round(result[name], 4) for name in FIGURES}


def tuned(fits: Iterable[Callable[[], Any]], parts: Set) -> Any:
    """The recommender that finds most of valid."""
    fitted = (fit() for fit in fits)
    return max(fitted, key=lambda recommender: figures(recommender, parts, "valid")[MONITOR])


def ials(parts: Set, rounds: int) -> Iterator[Callable[[], Any]]:
    train = parts["train"]
    options = Recipe.for_data(train, objective="least_squares").options
    weight, l2 = options["unobserved_weight"], options["l2"]
    for factors in (64, 128, 256):
        for by, strength in ((1.0, 1.0), (0.5, 1.0), (2.0, 1.0), (1.0, 0.5), (1.0, 2.0)):
            given = {
                "factors": factors,
                "unobserved_weight": weight * by,
                "l2": l2 * strength / by,
                "iterations": rounds,
            }
            yield lambda given=given: IALS(train, **given)


def recipe(parts: Set, seconds: float) -> Any:
    train = parts["train"]
    chosen = Recipe.search(train, seconds=seconds).recipe if seconds else Recipe.for_data(train)
    model = chosen.model(train)
    chosen.fit(model, train, progress=False)
    return model


def measured(parts: Set, search: float, rounds: int) -> dict[str, dict[str, float]]:
    train = parts["train"]
    ways: dict[str, Callable[[], Any]] = {
        "Popularity": lambda: Popularity(train),
        "EASE": lambda: tuned((lambda l2=l2: EASE(train, l2=l2) for l2 in (30, 100, 300)), parts),
        "iALS": lambda: tuned(ials(parts, rounds), parts),
        "TwoTower": lambda: recipe(parts, 0),
    }
    if search:
        ways["TwoTower, searched"] = lambda: recipe(parts, search)
    out = {}
    for name, way in ways.items():
        print(name, file=sys.stderr, flush=True)
        began = time.perf_counter()
        try:
            recommender = way()
        except MemoryError as error:
            print(error, file=sys.stderr)
            continue
        row = {"seconds": round(time.perf_counter() - began, 1)}
        for part in ("valid", "test"):
            found = figures(recommender, parts, part)
            row |= {f"{part} {figure}": value for figure, value in found.items()}
        out[name] = row
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description="Recipes and baselines on sets of one's own.")
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--search", type=float, default=0.0, help="seconds; 0 does without")
    parser.add_argument("--rounds", type=int, default=12, help="of iALS")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    given = parser.parse_args()
    document = {}
    for folder in given.folders:
        names = ("train", "valid", "test")
        parts = {name: Interactions.from_file(folder / f"{name}.parquet") for name in names}
        document[folder.name] = measured(parts, given.search, given.rounds)
        if not given.json:
            print(f"\n{folder.name}")
            for name, row in document[folder.name].items():
                print(f"{name:<20}" + "".join(f"  {key} {value:<8}" for key, value in row.items()))
    if given.json:
        print(json.dumps(document, indent=2))


if __name__ == "__main__":
    main()

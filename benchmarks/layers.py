"""Retrieval layers in compiled `predict`, beside the engine called directly and beside keras_rs.

Each backend of Keras runs in a process of its own. In every round they answer the same
queries in turn, so that a busy moment of the machine hits all alike, the brute-force layers in
rounds of their own; medians over the rounds are reported. "Keras alone" is `predict` of a model
that returns its inputs: what is spent around any layer. The brute-force layers hold a matrix of
scores in memory, so they answer one smaller batch; all figures are per 1,000 queries.

    python benchmarks/layers.py                        # the headline set, on the three backends
    python benchmarks/layers.py --prepare              # builds the index, tunes it, keeps it
    python benchmarks/layers.py --backends jax --rows 200000 --json
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
BATCH = 1000
K = 10
FAST = 20  # rounds of what takes milliseconds


def main() -> None:
    options = _arguments()
    if options.worker:
        print(json.dumps(measure(options)))
        return
    if not _saved_layer(options).exists():
        prepare(options)
    results = []
    for backend in [] if options.prepare else options.backends:
        command = [sys.executable, __file__, "--worker", *sys.argv[1:]]
        environment = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
        done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE)
        results.append(json.loads(done.stdout.splitlines()[-1]))
    if options.save:
        options.save.write_text(table(results) + "\n")
    if results:
        print(json.dumps(results, indent=2) if options.json else table(results))


def prepare(options: argparse.Namespace) -> None:
    """Builds and tunes the index once, for all backends and runs."""
    import keras

    from shortlist.index import tune
    from shortlist.layers import ApproximateRetrieval

    candidates, queries = _data(options)
    layer = ApproximateRetrieval(candidates, k=K)
    layer.index.settings = tune(layer.index, queries, k=K, recall=options.recall).settings
    inputs = keras.Input((candidates.shape[1],))
    keras.Model(inputs, layer(inputs)).save(_saved_layer(options))


def _saved_layer(options: argparse.Namespace) -> Path:
    size = "all" if options.rows is None else options.rows
    return Path(options.cache) / f"layers-{size}-{options.recall}.keras"


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Times everything on the backend of this process."""
    import keras
    import keras_rs
    from ann.report import machine

    from shortlist.index import SearchSettings
    from shortlist.layers import BruteForceRetrieval

    candidates, real = _data(options)
    queries = np.resize(real, (options.batches * BATCH, real.shape[1]))
    few = queries[: options.brute_batch]

    approximate = keras.saving.load_model(_saved_layer(options)).layers[-1]
    index = approximate.index
    layers = {
        "engine, called directly": None,
        "Keras alone": keras.layers.Identity(),
        "ApproximateRetrieval": approximate,
        "BruteForceRetrieval": BruteForceRetrieval(candidates, k=K),
        "keras_rs BruteForceRetrieval": keras_rs.layers.BruteForceRetrieval(candidates, k=K),
    }

    def engine() -> None:
        for start in range(0, len(queries), BATCH):
            index.search(queries[start : start + BATCH], K)

    calls: dict[str, tuple[Any, int]] = {"engine, called directly": (engine, len(queries))}
    models = {}
    for name, layer in layers.items():
        if layer is None:
            continue
        inputs = keras.Input((candidates.shape[1],))
        model = models[name] = keras.Model(inputs, layer(inputs))
        is_fast = name in ("Keras alone", "ApproximateRetrieval")
        given, batch = (queries, BATCH) if is_fast else (few, len(few))

        def predict(model: Any = model, given: Any = given, batch: int = batch) -> Any:
            return model.predict(given, batch_size=batch, verbose=0)

        calls[name] = (predict, len(given))

    exact = index.search(real, K, settings=SearchSettings(exact=True)).ids
    found = models["ApproximateRetrieval"].predict(real, batch_size=BATCH, verbose=0)[1]
    recall = np.mean([len(np.intersect1d(*pair)) / K for pair in zip(exact, found, strict=True)])
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    # Apart: a brute-force search empties the processor's caches, and whoever is next pays for it.
    slow = [name for name in calls if "BruteForce" in name]
    for names, rounds in (([n for n in calls if n not in slow], FAST), (slow, options.rounds)):
        for round_ in range(rounds + 1):
            for name in names:
                call, count = calls[name]
                start = time.perf_counter()
                call()
                if round_:  # the first round compiles
                    seconds[name].append((time.perf_counter() - start) / count * 1000)
    medians = {name: float(np.median(times)) for name, times in seconds.items()}
    ratios = [
        layer / direct
        for layer, direct in zip(
            seconds["ApproximateRetrieval"], seconds["engine, called directly"], strict=True
        )
    ]
    return {
        "backend": keras.backend.backend(),
        "version": importlib.metadata.version(keras.backend.backend()),
        "machine": "{processor}, {cores} cores, Python {python}".format(**machine()),
        "rounds": options.rounds,
        "rows": len(candidates),
        "dim": candidates.shape[1],
        "recall": float(recall),
        "settings": str(index.settings),
        "milliseconds_per_1000_queries": {name: 1e3 * value for name, value in medians.items()},
        "layer_over_engine": float(np.median(ratios)),
        "keras_rs_over_layer": medians["keras_rs BruteForceRetrieval"]
        / medians["ApproximateRetrieval"],
    }


def table(results: list[dict[str, Any]]) -> str:
    """The results as Markdown, one column a backend."""
    first = results[0]
    rounds = f"medians of {FAST} rounds ({first['rounds']} of brute force)"
    lines = [
        f"{first['rows']:,} x {first['dim']}, top {K}, ms per 1,000 queries, {rounds}",
        "",
        "| | "
        + " | ".join(f"{result['backend']} {result['version']}" for result in results)
        + " |",
        "|---" * (len(results) + 1) + "|",
    ]
    times = [result["milliseconds_per_1000_queries"] for result in results]
    lines += [_line(name, [each[name] for each in times], ",.1f") for name in times[0]]
    lines += [
        _line("recall@10 of ApproximateRetrieval", [r["recall"] for r in results], ".3f"),
        _line("ApproximateRetrieval / engine", [r["layer_over_engine"] for r in results], ".2f"),
        _line(
            "keras_rs / ApproximateRetrieval", [r["keras_rs_over_layer"] for r in results], ",.0f"
        ),
        "",
        f"Machine: {first['machine']}.",
        f"Command: `python benchmarks/layers.py --rounds {first['rounds']}`",
    ]
    return "\n".join(lines)


def _line(name: str, values: list[float], form: str) -> str:
    return f"| {name} | " + " | ".join(f"{value:{form}}" for value in values) + " |"


def _data(options: argparse.Namespace) -> tuple[np.ndarray, np.ndarray]:
    from ann import sets

    data_dir = options.data_dir or os.environ.get("SHORTLIST_ML100K")
    made = sets.make("headline", options.cache, None if data_dir is None else Path(data_dir))
    candidates = made.load("candidates")
    return candidates[: options.rows], made.load("queries")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    every = ["jax", "tensorflow", "torch"]
    parser.add_argument("--backends", nargs="+", default=every, choices=every)
    parser.add_argument("--rows", type=int, help="use only so many candidates")
    parser.add_argument("--recall", type=float, default=0.95)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--batches", type=int, default=10, help="of 1,000 queries, a round")
    parser.add_argument("--brute-batch", type=int, default=100)
    parser.add_argument("--data-dir", type=Path, help="MovieLens 100k, the folder with u.data")
    parser.add_argument("--cache", type=Path, default=ROOT / ".cache" / "ann")
    parser.add_argument("--prepare", action="store_true", help="build and tune the index, no more")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--save", type=Path, help="also write the table to this file")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()

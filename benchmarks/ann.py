"""Recall against speed, side by side with the engines people use today.

Each engine runs in a process and a virtual environment of its own (made under .cache/ on first
use). Its settings are swept on half of the queries; the best are then measured on the other half
in rounds in which the engines take turns, so that a busy moment of the machine hits all alike.

    python benchmarks/ann.py                           # everything; some hours on two cores
    python benchmarks/ann.py --quick                   # each engine at its first build settings
    python benchmarks/ann.py --sets headline --engines shortlist scann-core
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
from ann import report, sets
from ann.environments import PEERS
from ann.fronts import TARGETS, front
from ann.sweep import Engine, Sweep, point_from, summary

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    options = _arguments()
    data_dir = options.data_dir or os.environ.get("SHORTLIST_ML100K")
    for name in options.sets:
        data = sets.make(name, options.cache, None if data_dir is None else Path(data_dir))
        if options.tune_only:
            _sweep(data, options)
            continue
        result = compare(data, options)
        report.write(result, options.out)
        print(report.markdown(result).split("## Every point")[0])


def compare(data: sets.AnnSet, options: argparse.Namespace) -> dict[str, Any]:
    """Sweeps every engine, then measures the finalists in turns."""
    rows, dim = data.load("candidates").shape
    queries = len(data.load("queries"))
    _, reporting = _halves(data)
    sweeps = _sweep(data, options)

    engines: dict[str, Any] = {}
    finalists = {}
    for engine, sweep in sweeps.items():
        engines[engine] = {"builds": [], "points": []}
        # Graphs take minutes to build, and one serves every recall.
        one = options.quick or engine in ("hnswlib", "usearch")
        for build in sweep.finalists(1 if one else options.finalists):
            finalists[engine, len(engines[engine]["builds"])] = build
            engines[engine]["builds"].append({"config": build["config"]})
    exact = {} if options.no_exact else {"shortlist": {"exact": True}, "faiss": {"factory": "Flat"}}
    exact = {engine: config for engine, config in exact.items() if engine in options.engines}

    measured = _rounds(data, finalists, exact, reporting, options)
    for (engine, at), answer in measured["builds"].items():
        engines[engine]["builds"][at].update(answer)
    for (engine, at), points in measured["points"].items():
        engines[engine]["points"] += [{**point, "build": at} for point in points]
    for engine, entry in engines.items():
        print(f"{data.name}: {engine}: {summary(entry['points'])}")
    return {
        "set": data.name,
        "title": data.title,
        "rows": rows,
        "dim": dim,
        "queries": queries,
        "reported": len(reporting),
        "rounds": options.rounds,
        "threads": options.threads,
        "machine": report.machine(),
        "load": " ".join(f"{load:.1f}" for load in os.getloadavg()),
        "versions": {name: PEERS[name] for name in options.engines if name in PEERS},
        "command": "python benchmarks/ann.py " + " ".join(sys.argv[1:]),
        "engines": engines,
        "exact": measured["exact"],
    }


def _halves(data: sets.AnnSet) -> tuple[np.ndarray, np.ndarray]:
    """The queries that settings are chosen on, and those that are reported on."""
    queries = len(data.load("queries"))
    order = np.random.default_rng(7).permutation(queries)
    return np.sort(order[: queries // 2]), np.sort(order[queries // 2 :])


def _sweep(data: sets.AnnSet, options: argparse.Namespace) -> dict[str, Sweep]:
    """Every engine's sweep; scann-core before scann, which begins where that ended."""
    sweeps = {}
    for engine in sorted(options.engines, key=lambda name: name == "scann"):
        print(f"{data.name}: tuning {engine}", flush=True)
        sweeps[engine] = Sweep(engine, data, options.cache, options.threads)
        sweeps[engine].run(_halves(data)[0], 60 * options.minutes, quick=options.quick)
    return {engine: sweeps[engine] for engine in options.engines}


def _rounds(
    data: sets.AnnSet,
    finalists: dict[tuple[str, int], dict[str, Any]],
    exact: dict[str, dict[str, Any]],
    which: np.ndarray,
    options: argparse.Namespace,
) -> dict[str, Any]:
    """Builds every finalist in a process of its own, then goes round them all `rounds` times."""
    workers: dict[Any, Engine] = {}
    answers: dict[Any, list[dict[str, Any]]] = {}
    builds, settings = {}, {}
    try:
        for key, build in [*finalists.items(), *((engine, c) for engine, c in exact.items())]:
            engine = key if isinstance(key, str) else key[0]
            config = build if isinstance(key, str) else build["config"]
            workers[key] = Engine(engine, data, options.cache)
            built = workers[key].ask("build", config=config, threads=options.threads)
            settings[key] = [{}] if isinstance(key, str) else _worth_measuring(build["points"])
            if not isinstance(key, str):
                builds[key] = built
        for turn in range(options.rounds):
            for key, worker in workers.items():
                for at, chosen in enumerate(settings[key]):
                    if isinstance(key, str) and turn >= 2:
                        continue  # exact search is slow and steady: two rounds tell
                    some = which[:100] if isinstance(key, str) else which
                    answer = worker.measure(chosen, some, options.threads, recall=turn == 0)
                    answers.setdefault((key, at), []).append(answer)
    finally:
        for worker in workers.values():
            worker.close()
    queries = len(data.load("queries"))
    points: dict[Any, list[dict[str, Any]]] = {}
    for (key, at), rounds in answers.items():
        points.setdefault(key, []).append(point_from(settings[key][at], rounds, queries))
    return {
        "builds": builds,
        "points": {key: found for key, found in points.items() if not isinstance(key, str)},
        "exact": {key: found[0] for key, found in points.items() if isinstance(key, str)},
    }


def _worth_measuring(points: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The settings on the tuning fronts, single and batch, from below .90 to above .98."""
    chosen: list[dict[str, Any]] = []
    for cost in ("p50_us", "batch_us"):
        line = front(points, cost)
        low = [p for p in line if p["recall"] < TARGETS[0]][-2:]
        middle = [p for p in line if TARGETS[0] <= p["recall"] <= TARGETS[-1]]
        high = [p for p in line if p["recall"] > TARGETS[-1]][:3]
        for point in [*low, *middle[:: max(1, len(middle) // 6)], *high]:
            if point["settings"] not in chosen:
                chosen.append(point["settings"])
    return chosen


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = list(sets.TITLES)
    parser.add_argument("--sets", nargs="+", choices=names, default=names)
    engines = ["shortlist", *PEERS]
    parser.add_argument("--engines", nargs="+", choices=engines, default=engines)
    parser.add_argument("--data-dir", help="folder of MovieLens 100k (else SHORTLIST_ML100K)")
    parser.add_argument("--quick", action="store_true", help="no sweep of build settings")
    parser.add_argument("--minutes", type=float, default=6.0, help="sweep time an engine and set")
    parser.add_argument("--finalists", type=int, default=3, help="builds measured in rounds")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--tune-only", action="store_true", help="sweep, and keep what was found")
    parser.add_argument("--no-exact", action="store_true", help="leave exact search out")
    parser.add_argument("--cache", type=Path, default=ROOT / ".cache" / "ann")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results")
    return parser.parse_args()


if __name__ == "__main__":
    main()

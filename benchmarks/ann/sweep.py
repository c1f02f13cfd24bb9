"""The search for each engine's best settings, on the tuning half of the queries."""

from __future__ import annotations

import itertools
import json
import math
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ann.environments import python_for
from ann.fronts import TARGETS, Point, cost_at
from ann.sets import AnnSet

Config = dict[str, Any]


class Engine:
    """A worker process with one engine in it and at most one index."""

    def __init__(self, engine: str, data: AnnSet, cache: Path) -> None:
        self.engine, self.data = engine, data
        python = python_for(engine, cache)
        here = Path(__file__).resolve().parent.parent
        log = (cache / f"{engine}.log").open("ab")
        self.process = subprocess.Popen(
            [str(python), "-m", "ann.worker", engine, str(data.folder)],
            cwd=here,
            env={**os.environ, "PYTHONPATH": "", "OMP_WAIT_POLICY": "passive"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        self.log = Path(log.name)

    def ask(self, do: str, **request: Any) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps({"do": do, **request}) + "\n")
        self.process.stdin.flush()
        reply = self.process.stdout.readline()
        if not reply:
            raise RuntimeError(f"{self.engine} stopped; its messages are in {self.log}")
        answer: dict[str, Any] = json.loads(reply)
        return answer

    def measure(
        self, settings: Config, which: np.ndarray, threads: int, *, recall: bool = True
    ) -> dict[str, Any]:
        """One round of `settings`; with its recall on the queries `which` if asked for."""
        with tempfile.TemporaryDirectory() as scratch:
            rows = str(Path(scratch) / "rows.npy") if recall else None
            answer = self.ask(
                "measure", settings=settings, which=which.tolist(), threads=threads, rows_to=rows
            )
            if rows is not None:
                answer["recall"], answer["recall_tied"] = self.data.recall(np.load(rows), which)
        return answer

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        try:
            self.process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self.process.kill()


def grid(engine: str, config: Config) -> Iterator[list[Config]]:
    """Ladders of search settings: within one, recall rises, so that a ladder can be cut short."""
    if engine == "shortlist":
        stops = (0.1, 0.15, 0.2, 0.25, 0.35, 0.5)
        for stop, rerank in itertools.product(stops, (10, 12, 16, 22, 30)):
            steps = _steps(4, 2_000)
            yield [{"leaves": leaves, "rerank": rerank, "stop": stop} for leaves in steps]
        # Fine leaves are found sooner in fewer groups, at the lower recalls.
        for stop, part in itertools.product((0.35, 0.5), (3, 2) if "leaves" in config else ()):
            fixed = {
                "rerank": 12,
                "stop": stop,
                "groups": round(math.sqrt(config["leaves"]) / part),
            }
            yield [{"leaves": leaves, **fixed} for leaves in _steps(4, 64)]
    elif engine in ("scann", "scann-core"):
        steps = [s for s in _steps(4, config["leaves"]) if s <= 800]
        for rerank in (30, 60, 120, 250, 500):
            yield [{"search": search, "rerank": rerank} for search in steps]
    elif engine == "faiss" and config["factory"].startswith("IVF"):
        for factor in (4, 16, 64) if "RFlat" in config["factory"] else (None,):
            extra = {} if factor is None else {"k_factor_rf": factor}
            yield [{"nprobe": probe, **extra} for probe in _steps(4, 1_024)]
    elif engine in ("hnswlib", "usearch"):
        yield [{"effort": effort} for effort in _steps(12, 2_000)]
    else:
        yield [{}]


def _steps(first: int, last: int) -> list[int]:
    """A geometric ladder, three steps to a factor of four."""
    count = int(3 * math.log(max(last / first, 1), 4)) + 1
    return sorted({min(last, round(first * 4 ** (i / 3))) for i in range(count)})


def space(engine: str, n: int, dim: int) -> tuple[Config, list[Config]]:
    """Where the sweep of build settings starts, and the changes that it tries one after another."""
    root = math.sqrt(n)
    if engine in ("scann", "scann-core"):
        # Trained on fewer rows or with ScaNN's smallest partition of 50, it is 2 to 5 times slower.
        start = {"leaves": round(3 * root), "threshold": 0.2, "sample": 0.25}
        # First what long sweeps of these sets ended with.
        long: Config = {"threshold": 0.5, "sample": 1.0, "quantize_centroids": True}
        moves: list[Config] = [long, {"leaves": round(1.5 * root)}, long]
        moves += [
            {"leaves": round(6 * root), "threshold": 0.7, **more} for more in ({}, {"soar": 1.5})
        ]
        moves += [{"soar": 1.5}, {"threshold": 0.7}]
        moves += [{"reorder": "BFLOAT16"}, {"quantize_centroids": True}, {"sample": 1.0}]
        moves += [{"threshold": 0.5}, {"threshold": 0.9}, {"leaves": round(6 * root)}]
        return start, moves
    if engine == "faiss":
        leaves = [2 ** round(math.log2(times * root)) for times in (1.5, 6)]
        kinds = [f"PQ{dim // 2}x4fs,RFlat", "Flat", "SQ8"]
        configs = [{"factory": f"IVF{c},{kind}"} for c, kind in itertools.product(leaves, kinds)]
        return configs[0], configs[1:]
    if engine == "hnswlib":
        return {"links": 16, "effort": 100}, [{"links": 32}, {"effort": 200}]
    if engine == "usearch":
        return {"links": 16, "effort": 128}, [{"dtype": "i8"}, {"links": 32}]
    moves = [{"codes": "int4"}, *({"leaves": round(times * root)} for times in (6, 13, 2.5))]
    return {"store": "bfloat16"}, [*moves, {"codes": "pq4"}]  # as fast as float32, half of the file


class Sweep:
    """Measured points of one engine on one set, kept in a file so that a sweep can go on."""

    def __init__(self, engine: str, data: AnnSet, cache: Path, threads: int) -> None:
        self.engine, self.data, self.cache, self.threads = engine, data, cache, threads
        self.file = cache / "sweeps" / f"{data.name}-{engine}.json"
        self.builds: list[dict[str, Any]] = []
        if engine != "shortlist" and self.file.exists():  # its version tells nothing of its code
            self.builds = json.loads(self.file.read_text())

    def run(self, which: np.ndarray, seconds: float, *, quick: bool) -> None:
        """Tries changes one at a time, keeping each that helps, until none is left or time is."""
        rows, dim = self.data.load("candidates").shape
        stop = time.monotonic() + seconds
        best, moves = space(self.engine, rows, dim)
        if self.engine == "scann":  # the same engine without its kernels: start where that ended
            twin = Sweep("scann-core", self.data, self.cache, self.threads).builds
            best = min(twin, key=lambda b: _cost(b["points"]))["config"] if twin else best
        best_cost = self._try(best, which)
        for move in [] if quick else moves:
            config = {**best, **move}
            known = any(build["config"] == config for build in self.builds)
            if config == best or (time.monotonic() > stop and not known):
                continue
            cost = self._try(config, which)
            if cost < best_cost:
                best, best_cost = config, cost

    def _try(self, config: Config, which: np.ndarray) -> float:
        known = next((b for b in self.builds if b["config"] == config), None)
        if known is None:
            known = self._measure(config, which)
            self.builds.append(known)
            self.file.parent.mkdir(parents=True, exist_ok=True)
            self.file.write_text(json.dumps(self.builds))
        return _cost(known["points"])

    def _measure(self, config: Config, which: np.ndarray) -> dict[str, Any]:
        engine = Engine(self.engine, self.data, self.cache)
        try:
            built = engine.ask("build", config=config, threads=self.threads)
            points = []
            for ladder in grid(self.engine, config):
                best, stalls = 0.0, 0
                for settings in ladder:
                    answer = engine.measure(settings, which, self.threads)
                    points.append(point_from(settings, [answer], len(self.data.load("queries"))))
                    recall = points[-1]["recall"]
                    stalls = stalls + 1 if recall > 0.5 and recall < best + 0.001 else 0
                    if recall > 0.992 or stalls == 3:
                        break
                    best = max(best, recall)
        finally:
            engine.close()
        print(
            f"  {self.engine} {config}: {summary(points)}, built in {built['build_seconds']:.0f} s",
            flush=True,
        )
        return {"config": config, **built, "points": points}

    def finalists(self, most: int) -> list[dict[str, Any]]:
        """The builds that are best at some target, each with the points worth measuring again."""
        chosen: list[dict[str, Any]] = []
        for target, cost in itertools.product((0.95, 0.90, 0.98), ("p50_us", "batch_us")):
            priced = [(cost_at(b["points"], target, cost), b) for b in self.builds]
            reached = [(price, build) for price, build in priced if price is not None]
            if reached:
                build = min(reached, key=lambda pair: pair[0])[1]
                if build not in chosen and len(chosen) < most:
                    chosen.append(build)
        return chosen or self.builds[:1]


def _cost(points: list[Point]) -> float:
    """Mean log cost over targets, single and batch; a target missed counts as very dear."""
    prices = [
        cost_at(points, target, cost)
        for target, cost in itertools.product(TARGETS, ("p50_us", "batch_us"))
    ]
    return sum(math.log(price or 1e5) for price in prices) / len(prices)


def point_from(settings: Config, rounds: list[dict[str, Any]], queries: int) -> Point:
    """One point from one or more rounds: medians over rounds, percentiles over single queries."""
    single = np.concatenate([r["nanoseconds"] for r in rounds]) / 1e3
    point: Point = {
        "settings": settings,
        "recall": rounds[0]["recall"],
        "recall_tied": rounds[0]["recall_tied"],
        "p50_us": float(np.percentile(single, 50)),
        "p99_us": float(np.percentile(single, 99)),
    }
    for threads in rounds[0]["batch_seconds"]:
        seconds = float(np.median([r["batch_seconds"][threads] for r in rounds]))
        point[f"qps_{threads}"] = queries / seconds
        point["batch_us"] = seconds / queries * 1e6  # the most threads come last
    return point


def summary(points: list[Point]) -> str:
    """Single-query p50 and batch q/s at each target, in a line."""
    parts = []
    for target in TARGETS:
        single, batch = (cost_at(points, target, cost) for cost in ("p50_us", "batch_us"))
        if single is not None and batch is not None:
            parts.append(f"{target:.2f}: {single:.0f} µs {1e6 / batch:,.0f} q/s")
    top = max(point["recall"] for point in points)
    return "; ".join(parts) or f"no target reached, recall at most {top:.3f}"

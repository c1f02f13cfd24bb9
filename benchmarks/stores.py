"""What keeping rows in bfloat16 or int8 costs and saves, beside float32, at equal settings.

Each index is built in a process of its own, for its peak memory, and saved. Then all are loaded in
one process and answer the same queries in turn, round after round; medians are reported. Recall is
by id against the true best of the rows as they were given.

    python benchmarks/stores.py                 # the headline set
    python benchmarks/stores.py --sets headline text384 --json
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from ann import sets
from ann.worker import peak_memory

from shortlist.index import Index, IndexConfig, SearchSettings

ROOT = Path(__file__).resolve().parent.parent
STORES = ("float32", "bfloat16", "int8")
K = 10


def main() -> None:
    options = _arguments()
    if options.build:
        print(json.dumps(build(*options.build)))
        return
    results = []
    for name in options.sets:
        data_dir = options.data_dir or os.environ.get("SHORTLIST_ML100K")
        data = sets.make(name, options.cache, None if data_dir is None else Path(data_dir))
        with tempfile.TemporaryDirectory() as folder:
            results.append(measure(data, Path(folder), options))
    print(json.dumps(results, indent=2) if options.json else "\n\n".join(map(table, results)))


def build(candidates: str, store: Any, path: str) -> dict[str, float]:
    """Builds and saves in this process."""
    rows = np.load(candidates)
    start = time.perf_counter()
    index = Index.build(rows, config=IndexConfig(store=store))
    seconds = time.perf_counter() - start
    index.save(path)
    peak = peak_memory() / 1e6
    sizes = {"index_mb": index.nbytes / 1e6, "file_mb": Path(path).stat().st_size / 1e6}
    return {"build_seconds": seconds, "peak_mb": peak, **sizes}


def measure(data: sets.AnnSet, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Sizes, recall and times of every store."""
    command = [sys.executable, __file__, "--build", str(data.folder / "candidates.npy")]
    stores: dict[str, dict[str, Any]] = {}
    for store in STORES:
        own = [*command, store, str(folder / store)]
        stores[store] = json.loads(subprocess.run(own, check=True, stdout=subprocess.PIPE).stdout)
    queries = data.load("queries")
    which = np.arange(len(queries))
    indexes = {store: Index.load(folder / store) for store in STORES}
    chosen = {
        f"{leaves} leaves": SearchSettings(leaves=leaves, rerank=options.rerank)
        for leaves in options.leaves
    }
    chosen["exact"] = SearchSettings(exact=True)
    for name, settings in chosen.items():
        for store, index in indexes.items():
            found = index.search(queries, K, settings=settings).rows
            stores[store][name] = {"recall": data.recall(found, which)[0]}
        times: dict[str, list[list[float]]] = {store: [] for store in STORES}
        for _ in range(options.rounds):
            for store, index in indexes.items():
                times[store].append(_times(index, queries, settings))
        for store in STORES:
            p50, p99, batch = np.median(times[store], axis=0)
            stores[store][name].update(p50_us=p50, p99_us=p99, batch_queries_per_s=batch)
    return {"set": data.name, "stores": stores}


def _times(index: Index, queries: np.ndarray, settings: SearchSettings) -> list[float]:
    """The median and 99th percentile of single queries, in µs, and queries/s of the batch."""
    some = queries[:200] if settings.exact else queries
    single = []
    for query in some:
        start = time.perf_counter_ns()
        index.search(query, K, settings=settings)
        single.append((time.perf_counter_ns() - start) / 1e3)
    start = time.perf_counter_ns()
    index.search(queries, K, settings=settings, threads=2)
    seconds = (time.perf_counter_ns() - start) / 1e9
    return [*np.percentile(single, [50, 99]).tolist(), len(queries) / seconds]


def table(result: dict[str, Any]) -> str:
    """The result as Markdown."""
    lines = [f"{result['set']}, top {K}", "", "| | " + " | ".join(STORES) + " |", "|---" * 4 + "|"]
    for name, value in result["stores"]["float32"].items():
        parts = value if isinstance(value, dict) else {"": value}
        for part in parts:
            told = [result["stores"][store][name] for store in STORES]
            values = [cell[part] if isinstance(cell, dict) else cell for cell in told]
            digits = 4 if part == "recall" else 1
            cells = " | ".join(f"{value:,.{digits}f}" for value in values)
            lines.append(f"| {name} {part} | {cells} |")
    return "\n".join(lines)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", nargs="+", default=["headline"], choices=list(sets.TITLES))
    parser.add_argument("--leaves", nargs="+", type=int, default=[8, 16, 32, 64])
    parser.add_argument("--rerank", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--data-dir", type=Path, help="MovieLens 100k, the folder with u.data")
    parser.add_argument("--cache", type=Path, default=ROOT / ".cache" / "ann")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--build", nargs=3, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()

"""One engine in a process of its own: reads a JSON request a line, answers with one a line."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from ann.engines import ADAPTERS


def peak_memory() -> int:
    """The most resident memory this process has had, in bytes."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


class Worker:
    def __init__(self, engine: str, folder: str) -> None:
        self.engine = engine
        self.folder = Path(folder)
        self.queries = np.load(self.folder / "queries.npy")

    def build(self, config: dict[str, Any], threads: int) -> dict[str, Any]:
        """Builds; answers with the seconds, the peak memory and what the index takes on disk."""
        candidates = np.load(self.folder / "candidates.npy")
        start = time.perf_counter()
        self.adapter = ADAPTERS[self.engine](candidates, threads, **config)
        seconds = time.perf_counter() - start
        peak = peak_memory()
        del candidates
        with tempfile.TemporaryDirectory() as scratch:
            self.adapter.save(Path(scratch))
            size = sum(file.stat().st_size for file in Path(scratch).rglob("*") if file.is_file())
        return {"build_seconds": seconds, "peak_bytes": peak, "file_bytes": size}

    def measure(
        self,
        settings: dict[str, Any],
        which: list[int],
        threads: int,
        rows_to: str | None,
        single: bool = True,
    ) -> dict[str, Any]:
        """One round: each of `which` alone on one thread, then all queries as batches.

        Answers with nanoseconds for each single query and seconds for each batch; the rows found
        alone are written to `rows_to`, so that recall is that of the calls that were timed.
        """
        self.adapter.use(**settings)
        clock = time.perf_counter_ns
        one, nanoseconds, found = self.adapter.one, [], []
        prepared = [self.adapter.prepare(self.queries[i].copy()) for i in which]
        if single:
            for query in prepared[:20]:
                one(query)
            for query in prepared:
                before = clock()
                rows = one(query)
                nanoseconds.append(clock() - before)
                found.append(rows)
        batches = {}
        for count in sorted({1, threads}):
            self.adapter.batch(self.queries, count)
            before = clock()
            answered = self.adapter.batch(self.queries, count)
            batches[str(count)] = (clock() - before) / 1e9
        if rows_to is not None:
            full = np.full((len(which), 10), -1, np.int64)
            for at, rows in enumerate(found if single else answered[which]):
                full[at, : len(rows)] = rows
            np.save(rows_to, full)
        return {"nanoseconds": nanoseconds, "batch_seconds": batches}


def main() -> None:
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what an engine prints must not end up between the replies
    worker = Worker(sys.argv[1], sys.argv[2])
    for line in sys.stdin:
        request = json.loads(line)
        reply = getattr(worker, request.pop("do"))(**request)
        print(json.dumps(reply), file=replies, flush=True)


if __name__ == "__main__":
    main()

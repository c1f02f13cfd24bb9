"""How fast the service answers: 1.68 M candidates of 32 dimensions, client on the same machine.

    python benchmarks/serving.py --data-dir ml-100k [--full] [--save FILE] [--json]

The candidates are the headline set of benchmarks/ann.py; the index is tuned to recall@10 of 0.95.
Prints the time from the start of the process to the first answer, the saturation (closed loop),
and latency at 1,000 requests/s (open loop, Poisson arrivals). --full adds two minutes at 60 % of
saturation, and an overload of three times saturation with the time back to normal.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from ann.report import machine
from ann.sets import make
from open_loop import Client, Outcome

from shortlist.bundle import Bundle
from shortlist.data import Vocabulary
from shortlist.index import Index, tune
from shortlist.models import embedding_tower

RATE = 1_000


def prepare(cache: Path, data_dir: Path | None, folder: Path) -> dict[str, Any]:
    """Build, tune and save the bundle, once."""
    about = folder / "about.json"
    if not about.exists():
        headline = make("headline", cache, data_dir)
        candidates, queries = headline.load("candidates"), headline.load("queries")
        index = Index.build(candidates)
        tuned = tune(index, queries[::2], recall=0.95)
        index.settings = tuned.settings
        which = np.arange(1, len(queries), 2)
        recall = headline.recall(index.search(queries[which], 10).rows, which)[1]
        tower = embedding_tower(len(queries) + 1, queries.shape[1])
        tower.set_weights([np.concatenate([queries[:1], queries])])
        Bundle.save(
            folder / "models" / "1",
            query_tower=tower,
            users=Vocabulary(list(range(1, len(queries) + 1))),
            index=index,
            items=pl.DataFrame({"id": index.ids}).with_columns(
                title=pl.format("Film {}", pl.col("id"))
            ),
            run={"name": headline.title},
        )
        about.write_text(json.dumps({"candidates": len(index), "recall@10": recall}))
    return dict(json.loads(about.read_text()))


def requests(users: int) -> list[bytes]:
    """One request a user, ten recommendations each."""
    made = []
    for user in range(1, users + 1):
        body = json.dumps({"user_id": user, "k": 10}).encode()
        head = (
            "POST /api/v1/recommend HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        made.append(head.encode() + body)
    return made


class Server:
    """The service in a process of its own, as `shortlist serve` runs it."""

    def __init__(self, folder: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port: int = probe.getsockname()[1]
        start = time.perf_counter()
        command = [Path(sys.executable).with_name("shortlist"), "serve", folder]
        self.process = subprocess.Popen(
            [*command, "--port", str(self.port)], stderr=subprocess.DEVNULL
        )
        while True:
            if self.process.poll() is not None:
                raise SystemExit("The service did not start.")
            try:
                self.ask()
                break
            except OSError:
                time.sleep(0.01)
        self.first_answer = time.perf_counter() - start
        self.first_answer_cpu = self.cpu_seconds()

    def ask(self) -> float:
        """Ask once; the seconds it took."""
        start = time.perf_counter()
        body = b'{"user_id": 42}'
        url = f"http://127.0.0.1:{self.port}/api/v1/recommend"
        with urllib.request.urlopen(urllib.request.Request(url, body), timeout=10) as answer:
            answer.read()
        return time.perf_counter() - start

    def cpu_seconds(self) -> float:
        """Processor time it has used (Linux)."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory_mb(self) -> float:
        """Resident memory in MB (Linux)."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return float(status.partition("VmRSS:")[2].split()[0]) / 1024

    def stop(self) -> int:
        """Stop as an operator would; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)


def measure(server: Server, seconds: float, full: bool) -> dict[str, Any]:
    """Every figure of the report."""
    client = Client(server.port, requests(943))
    client.closed_loop(16, 2)  # warm
    saturation = client.closed_loop(32, min(seconds, 10)).rps
    used = server.cpu_seconds()
    steady = client.open_loop(RATE, seconds, seed=1)
    used = (server.cpu_seconds() - used) / max(steady.sent, 1)
    figures: dict[str, Any] = {
        "saturation_rps": round(saturation, 1),
        "rate_rps": RATE,
        **summary(steady),
        "errors": steady.failed + steady.unsent,
        "server_cpu_us_per_request": round(used * 1e6),
    }
    if full:
        figures["at_60_percent"] = summary(client.open_loop(0.6 * saturation, 120, seed=2))
        overload = client.open_loop(3 * saturation, 20, seed=3)
        figures["at_3_times"] = summary(overload)
        figures["seconds_back_to_normal"] = back_to_normal(client, 0.6 * saturation, overload)
    client.close()
    return figures


def back_to_normal(client: Client, rate: float, overload: Outcome) -> float:
    """Seconds from the last request of an overload to the end of the first normal second.

    That is one in which all is answered with 200, within 50 ms at p99.
    """
    for second in range(20):
        outcome = client.open_loop(rate, 1.0, seed=10 + second)
        if not outcome.failed and not outcome.unsent and outcome.percentile_ms(99) < 50:
            return round(outcome.ended - overload.ended, 1)
    raise SystemExit("20 seconds after the overload the service was not back to normal.")


def summary(outcome: Outcome) -> dict[str, Any]:
    """Rates, latencies and statuses of a run."""
    return {
        "offered_rps": round(outcome.offered_rps, 1),
        "answered_rps": round(outcome.rps, 1),
        "p50_ms": round(outcome.percentile_ms(50), 3),
        "p99_ms": round(outcome.percentile_ms(99), 3),
        "p999_ms": round(outcome.percentile_ms(99.9), 3),
        "max_ms": round(outcome.percentile_ms(100), 3),
        "statuses": {str(status): n for status, n in sorted(outcome.statuses.items()) if n},
        "unsent": outcome.unsent,
    }


def markdown(figures: dict[str, Any]) -> str:
    """The figures as a page."""
    host = figures["machine"]
    runs = {f"{figures['rate_rps']:,}/s": figures}
    if "at_3_times" in figures:
        runs["60 % of saturation, 2 minutes"] = figures["at_60_percent"]
        runs["3 times saturation, 20 s"] = figures["at_3_times"]
    lines = [
        f"# The service, {figures['candidates']:,} candidates",
        "",
        "`shortlist serve` with the headline set of the nearest-neighbour benchmark, 32 dimensions "
        f"and recall@10 of {figures['recall@10']:.3f}; ten recommendations for a known user by "
        "`POST /api/v1/recommend`; the client is on the same machine. "
        f"{host['processor']}, {host['cores']} cores, Python {host['python']}.",
        "",
        f"- Saturation, 32 connections that ask again at once: {figures['saturation_rps']:,.0f}/s.",
        f"- From the start of the process to the first answer: "
        f"{figures['seconds_to_first_answer']} s.",
        f"- One request after the other, with a connection of its own: {figures['alone_ms']} ms.",
        f"- Processor time of the server: {figures['server_cpu_us_per_request']} µs a request at "
        f"{figures['rate_rps']:,}/s; memory {figures['memory_mb']} MB.",
    ]
    if "at_3_times" in figures:
        lines.append(
            f"- Back to normal {figures['seconds_back_to_normal']} s after the overload, of which "
            "one is the second in which it is seen."
        )
    lines += [
        "",
        "Requests leave at random times, and latency counts from the moment one should have left. "
        "Unsent are those for which the client had no connection left, or no time.",
        "",
        "| | offered/s | answered 200/s | p50 ms | p99 ms | p99.9 ms | longest ms | statuses "
        "| unsent |",
        "|" + "---|" * 9,
    ]
    for name, run in runs.items():
        statuses = ", ".join(f"{n:,} x {status}" for status, n in run["statuses"].items())
        latencies = [f"{run[f'{part}_ms']:.2f}" for part in ("p50", "p99", "p999", "max")]
        cells = [f"{run['offered_rps']:,.0f}", f"{run['answered_rps']:,.0f}", *latencies]
        lines.append(f"| {name} | {' | '.join(cells)} | {statuses} | {run['unsent']:,} |")
    command = f"python benchmarks/serving.py{' --full' if 'at_3_times' in figures else ''}"
    return "\n".join([*lines, "", f"Command: `{command}`"]) + "\n"


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = os.environ.get("SHORTLIST_ML100K")
    parser.add_argument("--data-dir", type=Path, default=Path(default) if default else None)
    parser.add_argument(
        "--cache", type=Path, default=Path(".cache/ann"), help="of benchmarks/ann.py"
    )
    parser.add_argument("--folder", type=Path, default=Path(".cache/serving"))
    parser.add_argument("--seconds", type=float, default=20.0, help="of the steady run")
    parser.add_argument("--full", action="store_true", help="also 60 %% and 300 %% of saturation")
    parser.add_argument(
        "--save", type=Path, help="write a page to this file, and the figures to .json beside it"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    about = prepare(arguments.cache, arguments.data_dir, arguments.folder)
    server = Server(arguments.folder / "models")
    try:
        one = float(np.median([server.ask() for _ in range(50)]))
        figures = {
            **about,
            "seconds_to_first_answer": round(server.first_answer, 2),
            "cpu_seconds_to_first_answer": round(server.first_answer_cpu, 2),
            "alone_ms": round(one * 1e3, 3),
            **measure(server, arguments.seconds, arguments.full),
            "memory_mb": round(server.memory_mb()),
            "machine": machine(),
        }
    finally:
        code = server.stop()
    figures["exit_code"] = code
    if arguments.save:
        arguments.save.write_text(markdown(figures))
        arguments.save.with_suffix(".json").write_text(json.dumps(figures, indent=2) + "\n")
    print(json.dumps(figures, indent=2) if arguments.json else markdown(figures))


if __name__ == "__main__":
    main()

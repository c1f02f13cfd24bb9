"""Tables, JSON and plots of what was measured."""

from __future__ import annotations

import json
import os
import platform
from pathlib import Path
from typing import Any

from ann.fronts import TARGETS, cost_at, front

COLOURS = {
    "shortlist": "#c0392b",
    "scann": "#7f8c8d",
    "scann-core": "#2c3e50",
    "faiss": "#2980b9",
    "hnswlib": "#27ae60",
    "usearch": "#8e44ad",
}


def machine() -> dict[str, Any]:
    """The machine, named by its processor, cores and memory."""
    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    fields = dict(
        [part.strip() for part in line.split(":", 1)] for line in info.splitlines() if ":" in line
    )
    model = fields.get("model name", platform.processor())
    numbers = f"family {fields.get('cpu family')}, model {fields.get('model')}"
    wanted = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "avx512vbmi")
    flags = [flag for flag in wanted if flag in fields.get("flags", "").split()]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "processor": f"{model} ({numbers})",
        "cores": os.cpu_count(),
        "memory_gib": round(memory),
        "flags": flags,
        "python": platform.python_version(),
    }


def write(result: dict[str, Any], out: Path) -> None:
    """`ann-SET.json`, `ann-SET.md` and the two plots of one set."""
    out.mkdir(parents=True, exist_ok=True)
    name = f"ann-{result['set']}"
    (out / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n")
    (out / f"{name}.md").write_text(markdown(result))
    _plot(result, out, name)


def markdown(result: dict[str, Any]) -> str:
    """The report of one set."""
    engines = {name: entry for name, entry in result["engines"].items() if entry["points"]}
    host = result["machine"]
    threads = result["threads"]
    lines = [
        f"# {result['set']}: recall@10 against speed",
        "",
        f"{result['title']}.",
        f"{result['queries']} queries: settings chosen on one half, everything below reported on "
        f"the other half ({result['reported']}), except that batches hold all queries.",
        "",
        f"Machine: {host['processor']}, {host['cores']} cores, {host['memory_gib']} GiB, "
        f"{' '.join(host['flags'])}; Python {host['python']}. "
        f"{result['rounds']} rounds, the engines taking turns; load average at the end "
        f"{result['load']}.",
        f"Command: `{result['command']}`",
        "",
        "Costs at equal recall are interpolated along each engine's best points; - means that no "
        "point measured reached that recall.",
        "",
        "## One query at a time, one thread: p50 µs (p99 µs)",
        "",
        _header(["engine", *(f"recall {t:.2f}" for t in TARGETS)]),
    ]
    for name, entry in engines.items():
        cells = []
        for target in TARGETS:
            p50 = cost_at(entry["points"], target, "p50_us")
            p99 = cost_at(entry["points"], target, "p99_us")
            cells.append("-" if p50 is None or p99 is None else f"{p50:.1f} ({p99:.1f})")
        lines.append(_row([name, *cells]))
    for count in sorted({1, threads}):
        lines += ["", f"## All queries as one batch, {count} thread(s): queries/s", ""]
        lines.append(_header(["engine", *(f"recall {t:.2f}" for t in TARGETS)]))
        for name, entry in engines.items():
            priced = [{**p, "us": 1e6 / p[f"qps_{count}"]} for p in entry["points"]]
            costs = [cost_at(priced, target, "us") for target in TARGETS]
            lines.append(_row([name, *("-" if c is None else f"{1e6 / c:,.0f}" for c in costs)]))
    lines += _ratios(engines, threads)
    lines += ["", "## Building", ""]
    lines.append(_header(["engine", "build settings", "seconds", "peak memory MB", "file MB"]))
    for name, entry in engines.items():
        for build in entry["builds"]:
            text = ", ".join(f"{k}={v}" for k, v in build["config"].items()) or "default"
            numbers = [f"{build['build_seconds']:.1f}"]
            numbers += [f"{build[key] / 1e6:,.0f}" for key in ("peak_bytes", "file_bytes")]
            lines.append(_row([name, text, *numbers]))
    if result.get("exact"):
        lines += ["", "## Exact search", ""]
        lines.append(
            _header(["engine", "recall", "single p50 µs", f"batch q/s, {threads} threads"])
        )
        for name, point in result["exact"].items():
            lines.append(
                _row(
                    [
                        name,
                        f"{point['recall']:.4f}",
                        f"{point['p50_us']:,.0f}",
                        f"{point[f'qps_{threads}']:,.0f}",
                    ]
                )
            )
    lines += ["", f"![One query at a time](ann-{result['set']}-single.svg)"]
    lines += ["", f"![Batches](ann-{result['set']}-batch.svg)"]
    lines += ["", "## Every point", ""]
    columns = ["engine", "build", "search settings", "recall", "ties forgiven", "p50 µs", "p99 µs"]
    lines.append(_header([*columns, *(f"q/s, {count}" for count in sorted({1, threads}))]))
    for name, entry in engines.items():
        for point in sorted(entry["points"], key=lambda p: (p["build"], p["recall"])):
            text = ", ".join(f"{k}={v}" for k, v in point["settings"].items()) or "default"
            cells = [name, str(point["build"]), text]
            cells += [f"{point['recall']:.4f}", f"{point['recall_tied']:.4f}"]
            cells += [f"{point['p50_us']:.1f}", f"{point['p99_us']:.1f}"]
            cells += [f"{point[f'qps_{count}']:,.0f}" for count in sorted({1, threads})]
            lines.append(_row(cells))
    return "\n".join(lines) + "\n"


def _ratios(engines: dict[str, Any], threads: int) -> list[str]:
    """Shortlist against the better of the two ScaNN packages, and against the best of all."""
    if "shortlist" not in engines or len(engines) < 2:
        return []
    lines = ["", "## Shortlist against the best peer (above 1: Shortlist is faster)", ""]
    lines.append(_header(["", *(f"recall {t:.2f}" for t in TARGETS)]))
    groups = {
        "the better ScaNN": [e for e in ("scann", "scann-core") if e in engines],
        "the best of all peers": [e for e in engines if e != "shortlist"],
    }
    for cost, label in (("p50_us", "single, p50"), ("batch_us", f"batch, {threads} threads")):
        for group, names in groups.items():
            cells = []
            for target in TARGETS:
                own = cost_at(engines["shortlist"]["points"], target, cost)
                costs = {n: cost_at(engines[n]["points"], target, cost) for n in names}
                reached = {n: c for n, c in costs.items() if c is not None}
                if own is None or not reached:
                    cells.append("-")
                    continue
                peer = min(reached, key=lambda n: reached[n])
                cells.append(f"{reached[peer] / own:.2f}x ({peer})")
            lines.append(_row([f"{label}, against {group}", *cells]))
    return lines


def _header(cells: list[str]) -> str:
    return f"{_row(cells)}\n{_row(['---'] * len(cells))}"


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _plot(result: dict[str, Any], out: Path, name: str) -> None:
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    threads = result["threads"]
    for part, cost, label in [
        ("single", "p50_us", "median µs a query, one at a time, one thread"),
        ("batch", f"qps_{threads}", f"queries/s, one batch, {threads} threads"),
    ]:
        figure = Figure(figsize=(7.5, 5), layout="constrained")
        axes = figure.subplots()
        for engine, entry in result["engines"].items():
            points = [p for p in entry["points"] if p["recall"] >= 0.7]
            if not points:
                continue
            key = "p50_us" if part == "single" else "batch_us"
            line = front(points, key)
            style = {"color": COLOURS.get(engine), "zorder": 3 if engine == "shortlist" else 2}
            x = [p["recall"] for p in line]
            axes.plot(
                x,
                [p[cost] for p in line],
                marker="o",
                markersize=4,
                linewidth=2.5 if engine == "shortlist" else 1.5,
                label=engine,
                **style,
            )
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.set_xlim(0.7, 1.003)
        for target in TARGETS:
            axes.axvline(target, color="#dddddd", linewidth=0.8, zorder=0)
        axes.set_xlabel("recall@10")
        axes.set_ylabel(label)
        axes.set_title(f"{result['set']}: {result['rows']:,} x {result['dim']}", fontsize=11)
        axes.grid(visible=True, which="major", axis="y", color="#eeeeee")
        axes.legend(frameon=False, fontsize=9)
        figure.text(
            0.995, 0.002, f"{result['machine']['processor']}, {result['machine']['cores']} cores",
            ha="right", fontsize=6, color="#777777",
        )  # fmt: skip
        figure.savefig(out / f"{name}-{part}.svg", metadata={"Date": None})

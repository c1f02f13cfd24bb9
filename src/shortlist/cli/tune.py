"""`shortlist tune`: settings of a bundle's index that reach a recall or keep to a time."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shortlist.cli.output import Json, console, print_json, status

if TYPE_CHECKING:
    from rich.console import Console

    from shortlist.index import Tuning

# `shortlist.index.MAX_K`, here without importing the engine.
MAX_K = 10_000

MOST_QUERIES = 2_000
UNITS = {"us": 1.0, "µs": 1.0, "ms": 1e3, "s": 1e6}


def tune(
    bundle: Annotated[Path, typer.Argument(help="A bundle written by `shortlist train`.")],
    recall: Annotated[
        float | None,
        typer.Option(
            min=0.01,
            max=1.0,
            help="Share of the exact top k to find; 0.95 if no time is given either.",
        ),
    ] = None,
    latency_p99: Annotated[
        str | None,
        typer.Option(
            help="Most time for 99 of 100 single queries, such as 200us or 1ms; without --recall, "
            "the best recall within it is chosen."
        ),
    ] = None,
    k: Annotated[int, typer.Option("-k", min=1, max=MAX_K, help="Results of a query.")] = 10,
    seed: Annotated[int, typer.Option(min=0, help="Which users are the queries.")] = 0,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Measure only; leave the bundle as it is.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Find the fastest settings that reach a recall, or the best within a time, and save them."""
    limit = _microseconds(latency_p99)

    import numpy as np

    from shortlist.bundle import Bundle
    from shortlist.data import DataError
    from shortlist.index import tune as measure

    with status("measuring"):
        loaded = Bundle.load(bundle)
        users = np.asarray(loaded.tower.users.ids)
        if len(users) < 20:
            raise DataError(f"tuning needs at least 20 users, this bundle knows {len(users)}.")
        chosen = np.random.default_rng(seed).permutation(len(users))[:MOST_QUERIES]
        tuning = measure(
            loaded.index,
            loaded.tower.embed(users[chosen].tolist()),
            k=k,
            recall=recall or (0.95 if limit is None else 1.0),
            latency_p99=limit,
            seed=seed,
        )
    found = {
        **tuning.to_dict(),
        "reached": tuning.reached,
        "latency_p99_limit": limit,
        "why": _why(tuning, recall, limit, latency_p99),
    }
    if not dry_run:
        # What `evaluate --save` measured was measured with other settings.
        run = {"tuning": found} | ({"retrieval": None} if loaded.run.get("retrieval") else {})
        with status("writing the bundle"):
            Bundle.update(bundle, settings=tuning.settings, run=run)
    if as_json:
        print_json({"bundle": str(bundle), "saved": not dry_run, **found})
    else:
        _show(console(), tuning, found["why"], bundle if not dry_run else None)


def _microseconds(text: str | None) -> float | None:
    if text is None:
        return None
    parts = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(us|µs|ms|s)\s*", text)
    if parts is None or float(parts[1]) == 0:
        raise typer.BadParameter(
            f"expected a time such as 200us or 1ms, got {text!r}", param_hint="--latency-p99"
        )
    return float(parts[1]) * UNITS[parts[2]]


def _show(out: Console, tuning: Tuning, why: str, written: Path | None) -> None:
    from rich import box
    from rich.table import Table

    table = Table(
        title=f"Recall@{tuning.k} against time, {tuning.queries[0]:,} queries",
        title_justify="left",
        box=box.SIMPLE_HEAD,
    )
    for name in ("leaves", "rerank", "stop", "groups", "recall", "µs", "µs p99"):
        table.add_column(name, justify="right")
    for point in tuning.curve:
        table.add_row(
            "exact" if point.settings.exact else f"{point.settings.leaves:,}",
            "" if point.settings.exact else f"{point.settings.rerank:,}",
            "" if point.settings.exact else f"{point.settings.stop:g}",
            "" if point.settings.exact else f"{point.settings.groups or 'auto'}",
            f"{point.recall:.4f}",
            f"{point.latency:.1f}",
            f"{point.latency_p99:.1f}",
        )
    out.print(table)
    settings, (low, high) = tuning.settings, tuning.interval
    said = (
        "exact search"
        if settings.exact
        else f"{settings.leaves:,} {'leaf' if settings.leaves == 1 else 'leaves'}, "
        f"{settings.rerank:,} rows reranked, stop {settings.stop:g}"
        + (f", {settings.groups:,} groups" if settings.groups else "")
    )
    out.print(
        f"  Chosen: [bold]{said}[/], recall@{tuning.k} {tuning.recall:.4f} "
        f"(95 % interval {low:.4f} to {high:.4f}, on {tuning.queries[1]:,} other queries), "
        f"{tuning.latency:.1f} µs a query, {tuning.latency_p99:.1f} µs at p99"
    )
    out.print(f"  Why: {why}")
    if written is not None:
        out.print(f"  Written: [bold]{written}[/]")


def _why(tuning: Tuning, recall: float | None, limit: float | None, said: str | None) -> str:
    within = "" if said is None else f" within {said.strip()} at p99"
    if limit is not None and tuning.latency_p99 > limit:
        return f"nothing measured answers{within}; the fastest takes {tuning.latency_p99:.1f} µs."
    if recall is None and limit is not None:
        return f"the best recall measured{within}."
    if not tuning.reached:
        return f"no settings reach {tuning.target}{within}; this is the most that can be had."
    if tuning.settings.exact:
        return f"no approximate settings reach {tuning.target}{within} in less time."
    return f"the fastest measured that reaches {tuning.target}{within}."

"""`shortlist inspect`: what a bundle holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shortlist.cli.output import Json, console, print_json

if TYPE_CHECKING:
    from rich.table import Table

    from shortlist.bundle import Bundle

# What a bundle's `run` says in a line, where it has it.
_MADE: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "data": lambda run: f"{run['data']['name']}, {run['data']['interactions']:,} interactions",
    "objective": lambda run: run["arguments"]["objective"],
    "training": lambda run: (
        f"epoch {run['history']['best_epoch']} of {len(run['history']['loss'])}, "
        f"{run['history']['seconds']:.1f} s"
    ),
    "tuned": lambda run: (
        f"recall@{run['tuning']['k']} {run['tuning']['recall']:.4f}, "
        f"{run['tuning']['latency']:.1f} µs a query"
    ),
}


def inspect(
    bundle: Annotated[Path, typer.Argument(help="A bundle written by `shortlist train`.")],
    as_json: Json = False,
) -> None:
    """Show what a bundle holds, how it was made, and how good it was."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    from shortlist.bundle import Bundle

    loaded = Bundle.load(bundle)
    if as_json:
        print_json(_document(bundle, loaded))
        return
    table = Table(
        title=escape(str(bundle)), title_justify="left", box=box.SIMPLE_HEAD, show_header=False
    )
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    for name, value in _facts(loaded).items():
        table.add_row(name, escape(value))
    out = console()
    out.print(table)
    with suppress(KeyError, TypeError, ValueError):  # not written by `shortlist train`
        out.print(_hit_rates({"this model": loaded.run["metrics"], **loaded.run["baselines"]}))
    out.print("  All of it, every file and figure: --json")


def _document(path: Path, bundle: Bundle) -> dict[str, Any]:
    manifest, index = bundle.manifest, bundle.index
    return {
        "bundle": str(path),
        "fingerprint": manifest.fingerprint,
        "format_version": manifest.format_version,
        "created_by": manifest.created_by,
        "users": len(bundle.tower.users),
        "users_with_history": len(bundle.histories),
        "newcomers": bundle.tower.newcomers,
        "candidates": len(index),
        "dimensions": index.dim,
        "metric": index.metric,
        "files": {name: record.size for name, record in manifest.files.items()},
        "run": dict(bundle.run),
    }


def _facts(bundle: Bundle) -> dict[str, str]:
    """What a person asks first, by name."""
    manifest, index, settings = bundle.manifest, bundle.index, bundle.index.settings
    facts = {
        "users": f"{len(bundle.tower.users):,}, {len(bundle.histories):,} with a history",
        "newcomers": f"served {bundle.tower.newcomers}",
        "candidates": f"{len(index):,} of {index.dim} dimensions, by {index.metric}",
        "search": "exact"
        if settings.exact
        else f"leaves={settings.leaves}, rerank={settings.rerank}, stop={settings.stop}"
        + (f", groups={settings.groups}" if settings.groups else ""),
    }
    for name, line in _MADE.items():
        try:
            facts[name] = line(bundle.run)
        except (KeyError, TypeError, ValueError):  # not written by `shortlist train`
            continue
    size = sum(record.size for record in manifest.files.values())
    facts["size"] = f"{size / 1e6:,.1f} MB in {len(manifest.files)} files"
    facts["created by"] = manifest.created_by
    facts["fingerprint"] = manifest.fingerprint
    return facts


def _hit_rates(recommenders: Mapping[str, Mapping[str, float]]) -> Table:
    from rich import box
    from rich.table import Table

    names = [name for name in recommenders["this model"] if name.startswith("hit_rate@")]
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("hit rate")
    for name in names:
        table.add_column(name.removeprefix("hit_rate"), justify="right")
    for recommender, values in recommenders.items():
        table.add_row(recommender, *(f"{values[name]:.4f}" for name in names))
    return table

"""`shortlist inspect`: what a bundle holds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from shortlist.cli.output import Json, console, print_json


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
    manifest, index = loaded.manifest, loaded.index
    document: dict[str, Any] = {
        "bundle": str(bundle),
        "fingerprint": manifest.fingerprint,
        "format_version": manifest.format_version,
        "created_by": manifest.created_by,
        "users": len(loaded.tower.users),
        "users_with_history": len(loaded.histories),
        "candidates": len(index),
        "dimensions": index.dim,
        "metric": index.metric,
        "files": {name: record.size for name, record in manifest.files.items()},
        "run": dict(loaded.run),
    }
    if as_json:
        print_json(document)
        return
    table = Table(title=escape(str(bundle)), title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("what")
    table.add_column("value", overflow="fold")
    for name, value in document.items():
        if name not in ("bundle", "files", "run"):
            shown = f"{value:,}" if isinstance(value, int) else escape(str(value))
            table.add_row(name.replace("_", " "), shown)
    for name, size in document["files"].items():
        table.add_row(f"[dim]{escape(name)}[/]", f"[dim]{size:,} bytes[/]")
    for name, value in _flat(document["run"]):
        table.add_row(f"[dim]run[/] {escape(name)}", escape(str(value)))
    console().print(table)


def _flat(values: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    rows: list[tuple[str, Any]] = []
    for name, value in values.items():
        if isinstance(value, dict):
            rows += _flat(value, f"{prefix}{name}.")
        else:
            rows.append((prefix + name, _shown(value)))
    return rows


def _shown(value: Any) -> Any:
    """A value in short: numbers to four digits, lists of tables by their length."""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list) and any(isinstance(each, dict) for each in value):
        return f"{len(value)} points"
    if isinstance(value, list):
        return ", ".join(str(_shown(each)) for each in value)
    return value

"""What the commands print: tables for people, one JSON document for programs."""

from __future__ import annotations

import itertools
import json
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    import polars as pl
    from rich.console import Console
    from rich.table import Table

    from shortlist.index import SearchResult

MINUTE = 60.0  # seconds

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]


def console() -> Console:
    """Returns the console for stdout."""
    from rich.console import Console

    return Console(highlight=False)


def print_json(document: Mapping[str, Any]) -> None:
    """Prints one JSON document on stdout."""
    sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")


@contextmanager
def status(message: str) -> Iterator[None]:
    """Shows on stderr what is going on, while it does and on a terminal only."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(message):
        yield


@contextmanager
def stage(message: str) -> Iterator[None]:
    """Shows on stderr what a long command is doing; without a terminal, by a line a minute."""
    if sys.stderr.isatty():
        with status(message):
            yield
        return
    print_line(message)
    ended = threading.Event()

    def keep_saying() -> None:
        for minutes in itertools.count(1):
            if ended.wait(MINUTE):
                return
            print_line(f"still {message}, after {minutes} min")

    threading.Thread(target=keep_saying, daemon=True).start()
    try:
        yield
    finally:
        ended.set()


def print_line(message: str) -> None:
    """Prints one line on stderr."""
    sys.stderr.write(f"shortlist: {message}\n")
    sys.stderr.flush()


def ranked_table(title: str, rows: Sequence[Mapping[str, Any]]) -> Table:
    """Returns a table of recommended items.

    Args:
        title: Stands above.
        rows: Each with `id`, `title` (or None) and `score`.
    """
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    table = Table(
        title=escape(title), title_justify="left", box=box.SIMPLE_HEAD, min_width=len(title)
    )
    table.add_column("#", justify="right", style="dim")
    table.add_column("id", justify="right", style="cyan")
    titled = any(row["title"] for row in rows)
    if titled:
        table.add_column("title")
    table.add_column("score", justify="right")
    for rank, row in enumerate(rows, 1):
        name = [escape(row["title"] or "")] if titled else []
        table.add_row(str(rank), escape(str(row["id"])), *name, f"{row['score']:.4f}")
    return table


def ranked_rows(result: SearchResult, items: pl.DataFrame | None) -> list[list[dict[str, Any]]]:
    """Returns each query's items as plain data, without the padding at the end.

    Args:
        result: Scores and ids of shape (q, k).
        items: The items' ids in the first column and, where known, their `title`.
    """
    titles: dict[Any, str] = {}
    if items is not None and "title" in items.columns:
        titles = dict(zip(items.to_series(0), items["title"], strict=True))
    return [
        [
            {"id": item, "title": titles.get(item), "score": score}
            for item, score in zip(ids, scores, strict=True)
            if score != float("-inf")
        ]
        for ids, scores in zip(result.ids.tolist(), result.scores.tolist(), strict=True)
    ]

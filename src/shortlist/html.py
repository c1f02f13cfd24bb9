"""Tables for notebooks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape


def html_table(caption: str, head: Sequence[object], rows: Iterable[Sequence[object]]) -> str:
    """Returns an HTML table with everything in it escaped.

    Args:
        caption: Stands above.
        head: A word for each column; empty for a table without a head.
        rows: The cells of each row.

    Example:
        >>> html_table("Films", ["id"], [["A & B"]])
        '<table><caption>Films</caption><tr><th>id</th></tr><tr><td>A &amp; B</td></tr></table>'
    """
    lines = [f"<tr>{_cells('th', head)}</tr>"] if head else []
    lines += [f"<tr>{_cells('td', row)}</tr>" for row in rows]
    return f"<table><caption>{escape(caption)}</caption>{''.join(lines)}</table>"


def _cells(tag: str, values: Iterable[object]) -> str:
    return "".join(f"<{tag}>{escape(str(value))}</{tag}>" for value in values)

"""`shortlist similar`: items like an item."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from shortlist.cli.datasets import id_of
from shortlist.cli.output import Json, console, print_json, ranked_lists, ranked_table, status


def similar(
    bundle: Annotated[Path, typer.Argument(help="A bundle written by `shortlist train`.")],
    item: Annotated[list[str], typer.Option("--item", "-i", help="Item id; may be repeated.")],
    k: Annotated[int, typer.Option("-k", min=1, help="How many to show.")] = 10,
    as_json: Json = False,
) -> None:
    """Show the items most like an item, by the cosine of their embeddings."""
    from shortlist.bundle import Bundle

    with status("retrieving"):
        loaded = Bundle.load(bundle)
        items = [id_of(loaded.items.ids, one) for one in item]
        result = similar_items(loaded.index, items, k)
    lists = ranked_lists(result, loaded.items)
    names = loaded.items.titles([loaded.items.row(one) for one in items])
    if as_json:
        print_json(
            {
                "items": [
                    {"item": one, "title": name, "similar": rows}
                    for one, name, rows in zip(items, names, lists, strict=True)
                ]
            }
        )
        return
    for name, rows in zip(names, lists, strict=True):
        console().print(ranked_table(f"Like {name}", rows))

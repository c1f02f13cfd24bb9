"""`shortlist similar`: items like an item."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from shortlist.cli.output import Json, console, print_json, ranked_rows, ranked_table, status


def similar(
    bundle: Annotated[Path, typer.Argument(help="A bundle written by `shortlist train`.")],
    item: Annotated[list[str], typer.Option("--item", "-i", help="Item id; may be repeated.")],
    k: Annotated[int, typer.Option("-k", min=1, help="How many to show.")] = 10,
    as_json: Json = False,
) -> None:
    """Show the items most like an item, by the cosine of their embeddings."""
    from shortlist.bundle import Bundle
    from shortlist.cli.ids import known_id

    with status("retrieving"):
        loaded = Bundle.load(bundle)
        items = [known_id(loaded.index.ids, one, "item") for one in item]
        lists = [ranked_rows(loaded.similar(one, k), loaded.items.table)[0] for one in items]
    titles = [loaded.items.details(one).get("title") for one in items]
    if as_json:
        answers = zip(items, titles, lists, strict=True)
        print_json(
            {
                "items": [
                    {"item": one, "title": title, "similar": rows} for one, title, rows in answers
                ]
            }
        )
        return
    for one, title, rows in zip(items, titles, lists, strict=True):
        console().print(ranked_table(f"Like {title or one}", rows))

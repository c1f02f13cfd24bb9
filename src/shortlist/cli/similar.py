"""`shortlist similar`: items like an item."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from shortlist.cli.datasets import id_of
from shortlist.cli.output import Json, console, print_json, ranked_rows, ranked_table, status


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
        items = [id_of(loaded.model.items, one) for one in item]
        result = loaded.model.similar(items, k)
    titles = loaded.titles()
    lists = {
        one: ranked_rows(ids.tolist(), scores.tolist(), titles)
        for one, ids, scores in zip(items, result.ids, result.scores, strict=True)
    }
    if as_json:
        print_json(
            {
                "items": [
                    {"item": one, "title": titles.get(one), "similar": rows}
                    for one, rows in lists.items()
                ]
            }
        )
        return
    for one, rows in lists.items():
        console().print(ranked_table(f"Like {titles.get(one) or one}", rows))

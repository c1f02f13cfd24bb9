"""`shortlist recommend`: the best candidates for a user."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from shortlist.cli.datasets import id_of
from shortlist.cli.output import Json, console, print_json, ranked_lists, ranked_table, status


def recommend(
    bundle: Annotated[Path, typer.Argument(help="A bundle written by `shortlist train`.")],
    user: Annotated[list[str], typer.Option("--user", "-u", help="User id; may be repeated.")],
    k: Annotated[int, typer.Option("-k", min=1, help="How many to recommend.")] = 10,
    keep_seen: Annotated[
        bool, typer.Option("--keep-seen", help="Let answers contain items seen in training.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Recommend items to users."""
    from shortlist.bundle import Bundle

    with status("retrieving"):
        loaded = Bundle.load(bundle)
        users = [id_of(loaded.tower.users, one) for one in user]
        seen = [[] if keep_seen else loaded.histories.rows(one) for one in users]
        result = loaded.index.search(
            loaded.tower.embed(users),
            k,
            exclude=[loaded.items.ids.gather(rows).to_list() for rows in seen],
        )
    lists = ranked_lists(result, loaded.items)
    if as_json:
        print_json(
            {
                "users": [
                    {"user": one, "recommendations": rows}
                    for one, rows in zip(users, lists, strict=True)
                ]
            }
        )
        return
    for one, rows in zip(users, lists, strict=True):
        console().print(ranked_table(f"Recommended to user {one}", rows))

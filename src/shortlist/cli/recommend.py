"""`shortlist recommend`: the best candidates for a user."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from shortlist.cli.output import Json, console, print_json, ranked_rows, ranked_table, status


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
    from shortlist.cli.ids import known_id

    with status("retrieving"):
        loaded = Bundle.load(bundle)
        users = [known_id(loaded.tower.users.ids, one, "user") for one in user]
        result = loaded.recommend(users, k, exclude_seen=not keep_seen)
    lists = ranked_rows(result, loaded.items.table)
    if as_json:
        answers = zip(users, lists, strict=True)
        print_json({"users": [{"user": one, "recommendations": rows} for one, rows in answers]})
        return
    for one, rows in zip(users, lists, strict=True):
        console().print(ranked_table(f"Recommended to user {one}", rows))

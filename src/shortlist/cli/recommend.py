"""`shortlist recommend`: the best candidates for a user."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from shortlist.cli.datasets import id_of
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

    with status("retrieving"):
        loaded = Bundle.load(bundle)
        users = [id_of(loaded.model.users, one) for one in user]
        result = loaded.model.recommend(users, k, exclude_seen=not keep_seen)
    titles = loaded.titles()
    lists = {
        one: ranked_rows(ids.tolist(), scores.tolist(), titles)
        for one, ids, scores in zip(users, result.ids, result.scores, strict=True)
    }
    if as_json:
        print_json(
            {"users": [{"user": one, "recommendations": rows} for one, rows in lists.items()]}
        )
        return
    for one, rows in lists.items():
        console().print(ranked_table(f"Recommended to user {one}", rows))

"""`shortlist evaluate`: how good a bundle's recommendations are."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from shortlist.cli.output import Json, console, print_json, status


def evaluate(
    bundle: Annotated[Path, typer.Argument(help="A bundle written by `shortlist train`.")],
    test: Annotated[
        Path | None,
        typer.Option(help="CSV or Parquet file of interactions; without it, those held out."),
    ] = None,
    ks: Annotated[
        str, typer.Option("--ks", help="Numbers of ranks, separated by commas.")
    ] = "1,5,10,50,100",
    keep_seen: Annotated[
        bool, typer.Option("--keep-seen", help="Let answers contain items seen in training.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Measure a bundle on held-out interactions, beside Popularity."""
    try:
        ranks = [int(k) for k in ks.split(",")]
    except ValueError:
        raise typer.BadParameter(f"expected numbers such as 1,10,100, got {ks!r}") from None
    if min(ranks) < 1:
        raise typer.BadParameter(f"every rank must be at least 1, got {ks!r}")

    from shortlist.bundle import Bundle
    from shortlist.cli.datasets import open_dataset
    from shortlist.data import DataError
    from shortlist.evaluation import evaluate as measure

    with status("measuring"):
        loaded = Bundle.load(bundle)
        held_out = loaded.held_out if test is None else open_dataset(str(test), None)
        if held_out is None:
            raise DataError(f"{bundle} holds no held-out interactions; give some with --test.")
        result = measure(
            loaded.model, held_out, train=loaded.train, ks=ranks, exclude_seen=not keep_seen
        )
    if as_json:
        print_json(result.to_dict())
    else:
        console().print(result)

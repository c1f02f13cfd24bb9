"""`shortlist evaluate`: how good a bundle's recommendations are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shortlist.cli.datasets import NAMES, DataDir, open_dataset
from shortlist.cli.output import Json, console, print_json, status

if TYPE_CHECKING:
    from shortlist.bundle import Bundle
    from shortlist.data import Split


def evaluate(
    bundle: Annotated[Path, typer.Argument(help="A bundle written by `shortlist train`.")],
    dataset: Annotated[
        str | None,
        typer.Option(help="The data it was trained on; needed for a file, known for a data set."),
    ] = None,
    data_dir: DataDir = None,
    ks: Annotated[
        str, typer.Option("--ks", help="Numbers of ranks, separated by commas.")
    ] = "1,5,10,50,100",
    keep_seen: Annotated[
        bool, typer.Option("--keep-seen", help="Let answers contain items seen in training.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Measure a bundle on the interactions held out of its training, beside Popularity."""
    ranks = _ranks(ks)

    from shortlist.bundle import Bundle
    from shortlist.evaluation import evaluate as measure

    with status("measuring"):
        loaded = Bundle.load(bundle)
        parts = _parts(loaded, dataset, data_dir)
        result = measure(
            loaded.index,
            parts.test,
            train=parts.train,
            ks=ranks,
            exclude_seen=not keep_seen,
            queries=lambda users: loaded.tower.embed(users.tolist()),
        )
    if as_json:
        print_json(result.to_dict())
    else:
        console().print(result)


def _ranks(ks: str) -> list[int]:
    words = ks.split(",")
    if not all(word.strip().isdigit() and int(word) > 0 for word in words):
        raise typer.BadParameter(f"expected numbers such as 1,10,100, got {ks!r}")
    return [int(word) for word in words]


def _parts(bundle: Bundle, dataset: str | None, data_dir: Path | None) -> Split:
    """Splits the data again as they were split for the training."""
    from shortlist.bundle import BundleError
    from shortlist.cli.recipe import Recipe, fingerprint
    from shortlist.data import DataError

    try:
        data: dict[str, Any] = bundle.run["data"]
        recipe, trained_on, digest = Recipe(**bundle.run["arguments"]), data["name"], data["sha256"]
    except (KeyError, TypeError):
        raise BundleError(
            "This bundle does not say how its data were split; only bundles written by "
            "`shortlist train` can be evaluated."
        ) from None
    if dataset is None and trained_on not in NAMES:
        raise DataError(f"name the file it was trained on, {trained_on!r}, with --dataset.")
    interactions = open_dataset(dataset or trained_on, data_dir, columns=data.get("columns"))
    if fingerprint(interactions) != digest:
        raise DataError(
            f"{dataset or trained_on} does not hold the interactions this bundle was trained on: "
            f"they were {data.get('interactions')} of {trained_on!r}."
        )
    return recipe.parts(interactions)

"""`shortlist train`: from interactions to a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from shortlist.cli.datasets import DataDir, Dataset, column_names, open_dataset
from shortlist.cli.output import Json, console, print_json, status

if TYPE_CHECKING:
    import polars as pl

    from shortlist.data import Interactions
    from shortlist.models import TwoTower


def train(
    out: Annotated[Path, typer.Argument(help="Where the bundle goes; another bundle is replaced.")],
    config: Annotated[
        Path | None,
        typer.Option(help="A TOML file with data, features, model and training; options override."),
    ] = None,
    dataset: Annotated[str | None, Dataset.__metadata__[0]] = None,
    data_dir: DataDir = None,
    columns: Annotated[
        str | None,
        typer.Option(
            metavar="OURS=THEIRS,…",
            help="What columns are called in the files: user_id=buyer,item_id=sku.",
        ),
    ] = None,
    objective: Annotated[
        Literal["retrieval", "rating", "multitask", "catalogue"] | None,
        typer.Option(help="What the model learns; retrieval if not said. catalogue finds most."),
    ] = None,
    embedding_dim: Annotated[
        int | None, typer.Option(min=1, help="Length of an embedding.")
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Passes over the data, at most.")
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Interactions in a batch; users for catalogue.")
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option(min=1e-6, help="Step of the optimizer.")
    ] = None,
    patience: Annotated[
        int | None,
        typer.Option(
            min=0, help="Epochs without improvement before training stops; 0 for all epochs."
        ),
    ] = None,
    split: Annotated[
        Literal["random", "time", "last"] | None,
        typer.Option(help="How to hold out: at random, the latest, or the last of each user."),
    ] = None,
    test: Annotated[
        float | None,
        typer.Option(min=0.001, max=0.999, help="Share to hold out, for random and time."),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Seed of the split and of the training.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Train a two-tower model, stop when it no longer improves, and write a bundle."""
    from shortlist.bundle import Bundle
    from shortlist.cli.config import Config, ConfigError
    from shortlist.evaluation import evaluate

    try:
        read = Config.read(config) if config else Config()
    except ConfigError as error:
        raise typer.BadParameter(str(error), param_hint="--config") from None
    options = {
        "split": split,
        "test": test,
        "objective": objective,
        "embedding_dim": embedding_dim,
        "epochs": epochs,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "patience": patience,
        "seed": seed,
    }
    given = {name: value for name, value in options.items() if value is not None}
    source = dataset or read.dataset
    named = read.columns if columns is None else column_names(columns)
    with status("reading the data"):
        if dataset:
            interactions = open_dataset(dataset, data_dir, columns=named)
        else:
            interactions = open_dataset(
                source, data_dir, users=read.users, items=read.items, columns=named
            )
    with status("starting Keras"):
        from shortlist.models import Recipe
    recipe = Recipe.of(**{**read.settings, **given})
    parts = recipe.parts(interactions)
    model = recipe.model(parts.train)
    history = recipe.fit(model, parts.train)
    with status("measuring"):
        # As the bundle will answer: it holds users, and nobody tells it when they ask.
        result = evaluate(
            lambda users, k, exclude: model.recommend(
                users, k, exclude_seen=False, exclude=exclude
            ),
            parts.test,
            train=parts.train,
        )
        in_time = evaluate(model, parts.test, train=parts.train) if model.timed else None
    run: dict[str, Any] = {
        "seed": recipe.seed,
        "data": {
            "name": Path(source).name,
            "interactions": len(interactions),
            "users": len(interactions.user_ids),
            "items": len(interactions.item_ids),
            "columns": named,
            "sha256": interactions.fingerprint(),
        },
        "arguments": recipe.to_dict(),
        "history": history.to_dict(),
        "peak_memory_mb": _peak_memory(),
        "metrics": dict(result.metrics),
        "baselines": result.to_dict()["baselines"],
    }
    if in_time is not None:
        run["metrics_at_their_times"] = dict(in_time.metrics)
    with status("writing the bundle"):
        Bundle.save_model(
            out,
            model,
            items=_items(model, interactions),
            interactions=parts.train.frame,
            run=run,
        )
    if as_json:
        print_json({"bundle": str(out), **run})
        return
    shown = console()
    shown.print(result)
    if in_time is not None:
        shown.print("  Each asked at its own time, which the bundle is not told:")
        shown.print(in_time)
    shown.print(
        f"  Best epoch {history.best_epoch} of {len(history.loss)}, {history.seconds:.1f} s. "
        f"Written: [bold]{out}[/]"
    )


def _items(model: TwoTower, interactions: Interactions) -> pl.DataFrame:
    """What is known of each candidate."""
    import polars as pl

    ids = pl.DataFrame({"item_id": pl.Series(model.items.ids.tolist())})
    if interactions.items is not None:
        ids = ids.join(interactions.items, on="item_id", how="left", maintain_order="left")
    return ids.rename({"item_id": "id"})


def _peak_memory() -> float:
    """The most memory this process had, in MB."""
    import resource
    import sys

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / 1e6 if sys.platform == "darwin" else most / 1e3

"""`shortlist train`: from interactions to a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from shortlist.cli.datasets import DataDir, Dataset, open_dataset
from shortlist.cli.output import Json, console, print_json, status

if TYPE_CHECKING:
    import polars as pl

    from shortlist.data import Interactions
    from shortlist.models import TwoTower


def train(
    out: Annotated[Path, typer.Argument(help="Where the bundle goes; another bundle is replaced.")],
    dataset: Dataset = "sample",
    data_dir: DataDir = None,
    objective: Annotated[
        Literal["retrieval", "rating"], typer.Option(help="What the model learns.")
    ] = "retrieval",
    embedding_dim: Annotated[int, typer.Option(min=1, help="Length of an embedding.")] = 32,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the data, at most.")] = 30,
    batch_size: Annotated[int, typer.Option(min=1, help="Interactions in a batch.")] = 512,
    learning_rate: Annotated[float, typer.Option(min=1e-6, help="Step of Adam.")] = 0.005,
    patience: Annotated[
        int, typer.Option(min=1, help="Epochs without improvement before training stops.")
    ] = 3,
    split: Annotated[
        Literal["random", "time", "last"],
        typer.Option(help="How to hold out: at random, the latest, or the last of each user."),
    ] = "random",
    test: Annotated[
        float, typer.Option(min=0.001, max=0.999, help="Share to hold out, for random and time.")
    ] = 0.2,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the split and of the training.")] = 0,
    as_json: Json = False,
) -> None:
    """Train a two-tower model, stop when it no longer improves, and write a bundle."""
    from shortlist.bundle import Bundle
    from shortlist.cli.recipe import Recipe, fingerprint
    from shortlist.evaluation import evaluate

    recipe = Recipe(
        split=split,
        test=test,
        objective=objective,
        embedding_dim=embedding_dim,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        patience=patience,
        seed=seed,
    )
    with status("reading the data"):
        interactions = open_dataset(dataset, data_dir)
        parts = recipe.parts(interactions)
    with status("starting Keras"):
        model = recipe.model(parts.train)
    history = recipe.fit(model, parts.train)
    with status("measuring"):
        result = evaluate(model, parts.test, train=parts.train)
    run: dict[str, Any] = {
        "seed": seed,
        "data": {
            "name": Path(dataset).name,
            "interactions": len(interactions),
            "users": len(interactions.user_ids),
            "items": len(interactions.item_ids),
            "sha256": fingerprint(interactions),
        },
        "arguments": recipe.to_dict(),
        "history": history.to_dict(),
        "metrics": dict(result.metrics),
        "baselines": result.to_dict()["baselines"],
    }
    with status("writing the bundle"):
        Bundle.save(
            out,
            query_tower=model.user_table(),
            users=model.users,
            index=model.index(),
            items=_items(model, interactions),
            interactions=parts.train.frame,
            run=run,
        )
    if as_json:
        print_json({"bundle": str(out), **run})
        return
    shown = console()
    shown.print(result)
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

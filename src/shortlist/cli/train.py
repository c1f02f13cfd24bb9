"""`shortlist train`: from interactions to a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from shortlist.cli.datasets import DataDir, Dataset, open_dataset
from shortlist.cli.output import Json, console, print_json, status


def train(
    out: Annotated[Path, typer.Argument(help="Where the bundle goes; another bundle is replaced.")],
    dataset: Dataset = "sample",
    data_dir: DataDir = None,
    objective: Annotated[
        Literal["retrieval", "rating"], typer.Option(help="What the model learns.")
    ] = "retrieval",
    embedding_dim: Annotated[int, typer.Option(min=1, help="Length of an embedding.")] = 32,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the data, at most.")] = 30,
    batch_size: Annotated[int, typer.Option(min=1, help="Interactions in a batch.")] = 1024,
    learning_rate: Annotated[float, typer.Option(min=1e-6, help="Step of Adam.")] = 0.005,
    patience: Annotated[
        int, typer.Option(min=1, help="Epochs without improvement before training stops.")
    ] = 3,
    split: Annotated[
        Literal["random", "time", "last"],
        typer.Option(help="How to hold out: at random, the latest, or the last of each user."),
    ] = "random",
    test: Annotated[float, typer.Option(help="Share to hold out, for random and time.")] = 0.2,
    seed: Annotated[int, typer.Option(help="Seed of the split and of the training.")] = 0,
    as_json: Json = False,
) -> None:
    """Train a two-tower model, stop when it no longer improves, and write a bundle."""
    import shortlist
    from shortlist.bundle import Bundle
    from shortlist.cli.recipe import Recipe
    from shortlist.data import split_by_time, split_leave_last_out, split_random
    from shortlist.evaluation import evaluate

    with status("reading the data"):
        interactions = open_dataset(dataset, data_dir)
        if split == "random":
            parts = split_random(interactions, test=test, seed=seed)
        elif split == "time":
            parts = split_by_time(interactions, test=test)
        else:
            parts = split_leave_last_out(interactions)
        inner = split_random(parts.train, test=0.1, seed=seed)
    recipe = Recipe(
        objective=objective,
        embedding_dim=embedding_dim,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        patience=patience,
        seed=seed,
    )
    with status("starting Keras"):
        model = recipe.model(parts.train)
    history = recipe.fit(model, inner.train, inner.test)
    model.remember(parts.train)
    with status("measuring"):
        result = evaluate(model, parts.test, train=parts.train)
    run: dict[str, Any] = {
        "shortlist": shortlist.__version__,
        "dataset": Path(dataset).name,
        "split": {"how": split, "test": test, "seed": seed},
        "recipe": recipe.to_dict(),
        "history": history.to_dict(),
        "evaluation": result.to_dict(),
    }
    with status("writing the bundle"):
        Bundle(model, parts.train, parts.test, run).save(out)
    if as_json:
        print_json({"bundle": str(out), **run})
        return
    shown = console()
    shown.print(result)
    shown.print(
        f"  Best epoch {history.best_epoch} of {len(history.loss)}, {history.seconds:.1f} s. "
        f"Written: [bold]{out}[/]"
    )

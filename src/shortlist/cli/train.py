"""`shortlist train`: from interactions to a bundle."""

from __future__ import annotations

import sys
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from shortlist._extras import choose_backend, require
from shortlist.cli.config import Objective
from shortlist.cli.datasets import (
    NAMES,
    DataDir,
    Dataset,
    column_names,
    one_separator,
    open_dataset,
)
from shortlist.cli.output import Json, console, print_json, print_line, stage

if TYPE_CHECKING:
    import polars as pl

    from shortlist.data import Interactions
    from shortlist.models import Recipe, TwoTower


def train(
    out: Annotated[Path, typer.Argument(help="Where the bundle goes; another bundle is replaced.")],
    config: Annotated[
        Path | None,
        typer.Option(help="A TOML file with data, features, model and training; options override."),
    ] = None,
    dataset: Annotated[str | None, Dataset.__metadata__[0]] = None,
    data_dir: DataDir = None,
    users: Annotated[
        Path | None, typer.Option(help="For files: the table of user features, a row per user.")
    ] = None,
    items: Annotated[
        Path | None, typer.Option(help="For files: the table of item features, a row per item.")
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option(
            metavar="OURS=THEIRS,…",
            help="What columns are called in the files: user_id=buyer,item_id=sku.",
        ),
    ] = None,
    separator: Annotated[
        str | None,
        typer.Option(help="What stands between columns of text, or tab; if not said, detected."),
    ] = None,
    encoding: Annotated[
        str | None,
        typer.Option(help="Encoding of text, such as cp1252; if not said, UTF-8 or its mark."),
    ] = None,
    text_ids: Annotated[
        bool | None,
        typer.Option(help="Read all ids as text; if not said, text unless all are integers."),
    ] = None,
    time_unit: Annotated[
        Literal["s", "ms", "us", "ns"] | None,
        typer.Option(help="What numbers in timestamp count since 1970; if not said, detected."),
    ] = None,
    objective: Annotated[
        Objective | None,
        typer.Option(
            help="What the model learns; if not said, what suits the size and density of the data."
        ),
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
    search: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Spend this time (90s, 10m, 1h) on finding the best settings, and training.",
        ),
    ] = None,
    start: Annotated[
        Path | None,
        typer.Option(
            "--from",
            help="A bundle whose model goes on learning, from these data; its ids stay.",
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on from OUT.checkpoint, which a training that was interrupted leaves.",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Train a two-tower model, stop when it no longer improves, and write a bundle."""
    from shortlist.bundle import Bundle
    from shortlist.bundle.atomic import check_replaceable
    from shortlist.cli.config import Config, ConfigError
    from shortlist.cli.former import Former
    from shortlist.data import Interactions
    from shortlist.data.splits import SplitWarning
    from shortlist.evaluation import evaluate

    began = time.perf_counter()
    seconds = _seconds(search) if search else 0.0
    if seconds:
        require("--search", "search")
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
    # A data set of a name has its own tables; those of the TOML file belong to a file.
    tables = read if source not in NAMES or Path(source).is_file() else Config()
    reading: dict[str, Any] = {
        "separator": read.separator if separator is None else _separator(separator),
        "encoding": encoding or read.encoding,
        "text_ids": bool(read.text_ids if text_ids is None else text_ids),
        "time_unit": time_unit or read.time_unit,
    }
    for other, option in ((start, "--from"), (resume, "--resume")):
        if search and other:
            raise typer.BadParameter(
                f"{option} goes on with the settings there were; leave the search out, and give "
                "the settings that it found, which it wrote on stderr.",
                param_hint="--search",
            )
    check_replaceable(out)
    with stage("reading the data"):
        interactions = open_dataset(
            source,
            data_dir,
            users=users or tables.users,
            items=items or tables.items,
            columns=named,
            **reading,
            by_options=True,
        )
    with stage(f"starting Keras on {choose_backend()}"):
        from shortlist.models import Recipe
        from shortlist.models.checkpoint import remove_checkpoint
    settings = {**read.settings, **given}
    former = None
    if start is not None:
        with stage("loading the bundle to start from"):
            former = Former.load(start)
            settings = former.settings(settings)
        recipe = Recipe(**settings)
    else:
        recipe = Recipe.for_data(interactions, **settings)
    with stage("holding out what it is measured on"), warnings.catch_warnings():
        warnings.simplefilter("ignore", SplitWarning)  # the remark says the same
        parts = recipe.parts(interactions)
    if parts.remark:
        print_line(parts.remark)
    found = None
    if seconds:
        left = seconds - (time.perf_counter() - began)
        found = Recipe.search(parts.train, seconds=max(left, 1.0), **settings)
        recipe = found.recipe
    if not settings.get("objective"):
        print_line(f"recipe: {_told(recipe)}")
    with stage(f"making a model for {len(parts.train):,} interactions"):
        model = former.model.grown(parts.train) if former else recipe.model(parts.train)
    checkpoint = out.with_name(f"{out.name}.checkpoint")
    if checkpoint.exists() and not resume:
        print_line(f"starting anew, which replaces {checkpoint}; say --resume to go on from it")
    earlier = former.model.seen if former else None
    history = recipe.fit(model, parts.train, checkpoint=checkpoint, resume=resume, earlier=earlier)
    # What the bundle learnt before is no test of it, and nothing to recommend again.
    learnt = Interactions.from_polars(model.seen.to_frame()) if former else parts.train
    with stage("measuring"):
        # As the bundle will answer: it holds users, and nobody tells it when they ask.
        result = evaluate(model, parts.test, train=learnt, at_their_times=False)
        in_time = evaluate(model, parts.test, train=learnt) if model.timed else None
    run: dict[str, Any] = {
        "seed": recipe.seed,
        "data": {
            "name": Path(source).name,
            "interactions": len(interactions),
            "users": len(interactions.user_ids),
            "items": len(interactions.item_ids),
            "columns": named,
            "reading": {name: value for name, value in reading.items() if value},
            "sha256": interactions.fingerprint(),
        },
        "arguments": recipe.to_dict(),
        "history": history.to_dict(),
        "peak_memory_mb": _peak_memory(),
        "metrics": dict(result.metrics),
        "baselines": result.to_dict()["baselines"],
    }
    if found is not None:
        run["search"] = found.to_dict()
    if in_time is not None:
        run["metrics_at_their_times"] = dict(in_time.metrics)
    if parts.remark:
        run["split"] = parts.remark
    if start is not None:
        run["from"] = start.name
    known = former.items if former else None
    table, id_column = _items(model, interactions, (named or {}).get("item_id", "item_id"), known)
    with stage("indexing, and writing the bundle"):
        Bundle.save_model(
            out,
            model,
            items=table,
            id_column=id_column,
            interactions=learnt,
            run=run,
        )
    remove_checkpoint(checkpoint)
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


def _seconds(text: str) -> float:
    """Returns a time such as 90s, 10m or 1h in seconds; a number alone is seconds."""
    units = {"s": 1, "m": 60, "h": 3600}
    number, unit = (text[:-1], text[-1:]) if text[-1:] in units else (text, "s")
    try:
        seconds = float(number) * units[unit]
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise typer.BadParameter(
            f"expected a time such as 90s, 10m or 1h, got {text!r}.", param_hint="--search"
        )
    return seconds


def _told(recipe: Recipe) -> str:
    """Returns what of a recipe is not as a plain one has it."""
    from dataclasses import fields

    changed = {
        field.name: getattr(recipe, field.name)
        for field in fields(recipe)
        if getattr(recipe, field.name) not in (field.default, {})
    }
    changed |= changed.pop("options", {})
    parts = (
        f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in changed.items()
    )
    return ", ".join(parts) or "plain"


def _separator(text: str) -> str:
    try:
        return one_separator(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--separator") from None


def _items(
    model: TwoTower, interactions: Interactions, called: str, known: pl.DataFrame | None
) -> tuple[pl.DataFrame, str]:
    """What is known of each candidate, and the column of the ids.

    Every column has the name it had in the user's table, where the ids were `called` so. Of items
    that it does not name, what was `known` before stays.
    """
    import polars as pl

    from shortlist.data.columns import id_series
    from shortlist.data.tables import own_name

    key = "item_id"
    table = pl.DataFrame({key: id_series(model.items.ids, "ids")})
    tables = [items for items in (interactions.items, known) if items is not None]
    if tables:
        items = pl.concat(tables, how="diagonal_relaxed").unique(key, keep="first")
        table = table.join(items, on=key, how="left", maintain_order="left")
    others = [
        key if called != key and name == own_name(key) else name for name in table.columns[1:]
    ]
    id_column = next(name for name in ("id", key, called) if name not in others)
    table.columns = [id_column, *others]
    return table, id_column


def _peak_memory() -> float:
    """The most memory this process had, in MB."""
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / 1e6 if sys.platform == "darwin" else most / 1e3

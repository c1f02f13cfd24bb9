"""`shortlist demo`: the whole job on one data set."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shortlist._extras import choose_backend
from shortlist.cli.datasets import DataDir, Dataset, open_dataset
from shortlist.cli.output import Json, console, print_json, ranked_rows, ranked_table, status

if TYPE_CHECKING:
    from pathlib import Path

    from shortlist.data import Interactions, Oracle, Split
    from shortlist.evaluation import Evaluation

KS = (10, 100)


def demo(
    dataset: Dataset = "sample",
    data_dir: DataDir = None,
    user: Annotated[str, typer.Option(help="Whom to recommend to at the end.")] = "42",
    k: Annotated[int, typer.Option("-k", min=1, help="How many to recommend.")] = 10,
    seed: Annotated[int, typer.Option(help="Seed of the split and of the training.")] = 0,
    as_json: Json = False,
) -> None:
    """Read a data set, train a two-tower model, measure it, recommend to one user."""
    from shortlist.cli.ids import known_id

    started = time.perf_counter()
    with status("reading the data"):
        oracle, interactions = _open(dataset, data_dir)
    with status(f"starting Keras on {choose_backend()}"):
        from shortlist.models import Recipe
    recipe = Recipe(seed=seed, patience=0)
    split = recipe.parts(interactions)
    user_id = known_id(split.train.user_ids, user, "user")
    model = recipe.model(split.train)
    history = recipe.fit(model, split.train)
    with status("measuring"):
        measured = {
            "exclude_seen": _measure(model, split, exclude_seen=True),
            "keep_seen": _measure(model, split, exclude_seen=False),
        }
        best = oracle and oracle.hit_rates(split, KS)
    (rows,) = ranked_rows(model.recommend([user_id], k), interactions.items)
    document = {
        "dataset": {
            "name": dataset,
            "interactions": len(interactions),
            "users": len(interactions.user_ids),
            "items": len(interactions.item_ids),
            "split": recipe.split,
            "train": len(split.train),
            "test": len(split.test),
            "seed": seed,
        },
        "train": {**recipe.to_dict(), "loss": history.loss, "seconds": round(history.seconds, 3)},
        "metrics": {seen: _hit_rates(result.metrics) for seen, result in measured.items()},
        "baselines": {
            name: {seen: _hit_rates(result.baselines[name]) for seen, result in measured.items()}
            for name in measured["exclude_seen"].baselines
        },
        "oracle": best and _hit_rates({f"hit_rate@{k}": best[k] for k in KS}),
        "user": user_id,
        "recommendations": rows,
        "seconds": round(time.perf_counter() - started, 3),
    }
    if as_json:
        print_json(document)
    else:
        _show(document)


def _measure(model: Any, split: Split, *, exclude_seen: bool) -> Evaluation:
    from shortlist.evaluation import evaluate

    return evaluate(model, split.test, train=split.train, ks=KS, exclude_seen=exclude_seen)


def _hit_rates(metrics: Any) -> dict[str, float]:
    return {f"hit_rate@{k}": round(metrics[f"hit_rate@{k}"], 6) for k in KS}


def _open(dataset: str, data_dir: Path | None) -> tuple[Oracle | None, Interactions]:
    """The interactions and, known for the sample only, the best possible recommender."""
    if dataset == "sample":
        from shortlist.data import sample

        invented = sample()
        return invented.oracle, invented.interactions
    return None, open_dataset(dataset, data_dir)


def _show(document: dict[str, Any]) -> None:
    from rich import box
    from rich.table import Table

    data, out = document["dataset"], console()
    out.print(
        f"\n[bold]{data['name']}[/]  {data['interactions']:,} interactions of {data['users']:,} "
        f"users and {data['items']:,} items; trained on {data['train']:,} in "
        f"{document['train']['seconds']:.1f} s, measured on {data['test']:,} held out\n"
    )
    table = Table(
        title="Share of held-out interactions found", title_justify="left", box=box.SIMPLE_HEAD
    )
    table.add_column("seen items")
    table.add_column("recommender")
    for k in KS:
        table.add_column(f"hit rate@{k}", justify="right")
    for seen, said in (("exclude_seen", "left out"), ("keep_seen", "kept")):
        rows = {"[bold]two-tower[/]": document["metrics"][seen]}
        rows |= {name: values[seen] for name, values in document["baselines"].items()}
        if seen == "exclude_seen" and document["oracle"]:
            rows["best possible"] = document["oracle"]
        for name, values in rows.items():
            table.add_row(said, name, *(f"{values[f'hit_rate@{k}']:.4f}" for k in KS))
            said = ""
        table.add_section()
    out.print(table)
    if document["oracle"]:
        best, ours = document["oracle"], document["metrics"]["exclude_seen"]
        shares = (f"{ours[name] / best[name]:.0%} at {name.partition('@')[2]}" for name in best)
        out.print(f"  Share of the best possible reached: {', '.join(shares)}\n")
    out.print(ranked_table(f"Recommended to user {document['user']}", document["recommendations"]))
    out.print(f"  {document['seconds']:.1f} s in all\n")

"""`shortlist evaluate`: how good a bundle's recommendations are."""

from __future__ import annotations

import time
import warnings
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shortlist.cli.datasets import NAMES, DataDir, open_dataset
from shortlist.cli.output import Json, console, print_json, print_line, status

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from rich.table import Table

    from shortlist.bundle import Bundle
    from shortlist.data import Interactions, Split
    from shortlist.evaluation import Evaluation
    from shortlist.index import SearchResult

BASELINES = ("Popularity", "ItemKNN", "EASE", "IALS")


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
    baselines: Annotated[
        str, typer.Option(help=f"What to measure beside it, of {', '.join(BASELINES)}; or all.")
    ] = "Popularity",
    save: Annotated[
        bool, typer.Option("--save", help="Keep the figures in the bundle, for its report.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Measure a bundle on interactions held out of its training, searched exactly and as tuned."""
    ranks = _ranks(ks)
    beside = _baselines(baselines)
    if save and keep_seen:
        raise typer.BadParameter(
            "expected without --keep-seen: a bundle keeps figures with seen items left out",
            param_hint="--save",
        )

    from shortlist.bundle import Bundle
    from shortlist.evaluation import evaluate as measure
    from shortlist.evaluation import recall_at_k

    with status("measuring"):
        loaded = Bundle.load(bundle)
        parts = _parts(loaded, dataset, data_dir)
        measured = partial(
            measure, test=parts.test, train=parts.train, ks=ranks, exclude_seen=not keep_seen
        )
        tuned, exact = _Timed(loaded, exact=False), _Timed(loaded, exact=True)
        result = measured(tuned, baselines=_fitted(beside, parts.train))
        exactly = measured(exact, baselines={})
    retrieval = {
        "exact": {**_hit_rates(exactly), **exact.speed()},
        "tuned": {**_hit_rates(result), **tuned.speed()},
        f"recall@{max(ranks)}": recall_at_k(exact.found(), tuned.found()),
    }
    if save:
        document = result.to_dict()
        figures = {name: document[name] for name in ("metrics", "baselines")}
        with status("writing the bundle"):
            Bundle.update(
                bundle,
                settings=loaded.index.settings,
                run={**figures, "retrieval": retrieval},
            )
    if as_json:
        print_json({**result.to_dict(), "retrieval": retrieval})
        return
    shown = console()
    shown.print(result)
    shown.print(_retrieval_table(retrieval, ranks))
    if save:
        shown.print(f"  Written: [bold]{bundle}[/]")


class _Timed:
    """Searches a bundle, and remembers what it found and how long that took."""

    def __init__(self, bundle: Bundle, *, exact: bool) -> None:
        self._bundle, self._exact = bundle, exact
        self._rows: list[npt.NDArray[np.int32]] = []
        self._seconds = 0.0
        self._width = 0

    def __call__(self, users: Any, k: int, exclude: Any) -> SearchResult:
        queries = self._bundle.tower.embed(users.tolist())
        started = time.perf_counter()
        result = self._bundle.search(queries, k, exclude=exclude, exact=self._exact)
        self._width = self._width or k
        if k == self._width:  # not when it is asked further, where scores are equal
            self._seconds += time.perf_counter() - started
            self._rows.append(result.rows.astype("int32"))
        return result

    def found(self) -> list[npt.NDArray[np.int32]]:
        """The rows found for each query, without padding."""
        return [row[row >= 0] for rows in self._rows for row in rows]

    def speed(self) -> dict[str, float]:
        searched = sum(map(len, self._rows))
        return {
            "seconds": round(self._seconds, 6),
            "queries_per_second": round(searched / max(self._seconds, 1e-9), 1),
        }


def _hit_rates(result: Evaluation) -> dict[str, float]:
    return {f"hit_rate@{k}": result[f"hit_rate@{k}"] for k in result.ks}


def _retrieval_table(retrieval: dict[str, Any], ks: list[int]) -> Table:
    from rich import box
    from rich.table import Table

    (recall,) = (name for name in retrieval if name.startswith("recall@"))
    title = f"Hit rate by exact and by tuned search; {recall} {retrieval[recall]:.4f}"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, min_width=len(title))
    for name in ("search", *(f"@{k}" for k in sorted(ks)), "queries/s"):
        table.add_column(name, justify="left" if name == "search" else "right")
    for name in ("exact", "tuned"):
        values = retrieval[name]
        shown = [f"{values[f'hit_rate@{k}']:.4f}" for k in sorted(ks)]
        table.add_row(name, *shown, f"{values['queries_per_second']:,.0f}")
    return table


def _baselines(names: str) -> list[str]:
    if names == "all":
        return list(BASELINES)
    known = {name.lower(): name for name in BASELINES}
    chosen = [name.strip() for name in names.split(",") if name.strip()]
    for name in chosen:
        if name.lower() not in known:
            raise typer.BadParameter(
                f"expected some of {', '.join(BASELINES)}, or all; got {name!r}",
                param_hint="--baselines",
            )
    return [known[name.lower()] for name in chosen]


def _fitted(names: list[str], train: Interactions) -> dict[str, Any]:
    """The baselines, without those that do not fit in memory; a line says which and why."""
    from shortlist.evaluation import baselines

    fitted = {}
    for name in names:
        try:
            fitted[name] = getattr(baselines, name)(train)
        except MemoryError as error:
            print_line(f"left out: {error}")
    return fitted


def _ranks(ks: str) -> list[int]:
    words = ks.split(",")
    if not all(word.strip().isdigit() and int(word) > 0 for word in words):
        raise typer.BadParameter(
            f"expected numbers such as 1,10,100, got {ks!r}", param_hint="--ks"
        )
    return [int(word) for word in words]


def _parts(bundle: Bundle, dataset: str | None, data_dir: Path | None) -> Split:
    """Splits the data again as they were split for the training."""
    from shortlist.bundle import BundleError
    from shortlist.data import DataError, hold_out
    from shortlist.data.splits import SplitWarning

    try:
        data: dict[str, Any] = bundle.run["data"]
        arguments, trained_on, digest = bundle.run["arguments"], data["name"], data["sha256"]
        how, test, seed = (arguments[name] for name in ("split", "test", "seed"))
    except (KeyError, TypeError):
        raise BundleError(
            "This bundle does not say how its data were split; only bundles written by "
            "`shortlist train` can be evaluated."
        ) from None
    if dataset is None and trained_on not in NAMES:
        raise DataError(f"name the file it was trained on, {trained_on!r}, with --dataset.")
    interactions = open_dataset(
        dataset or trained_on, data_dir, columns=data.get("columns"), **data.get("reading", {})
    )
    if interactions.fingerprint() != digest:
        raise DataError(
            f"{dataset or trained_on} does not hold the interactions this bundle was trained on: "
            f"they were {data.get('interactions')} of {trained_on!r}."
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SplitWarning)  # said when the bundle was trained
        return hold_out(_with_kinds(interactions, bundle), how, test=test, seed=seed)


def _with_kinds(interactions: Interactions, bundle: Bundle) -> Interactions:
    """Returns the interactions with ids of the bundle's kinds.

    Its item ids may be text because its table of items, which is not read here, has text ids.
    """
    from shortlist.data import Interactions
    from shortlist.data.tables import Tables

    user = interactions.user.cast(bundle.tower.user_ids.dtype)
    item = interactions.item.cast(bundle.items.ids.dtype)
    return Interactions.of_tables(Tables(user, item, interactions.values, None, None))

"""`shortlist report`: one HTML file about a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shortlist.cli.output import Json, console, print_json, status

if TYPE_CHECKING:
    from shortlist.bundle import Bundle

MOST_USERS = 2_000
SHOWN_USERS = 5
K = 10


def report(
    bundle: Annotated[Path, typer.Argument(help="A bundle written by `shortlist train`.")],
    out: Annotated[
        Path | None, typer.Option(help="The HTML file; by default BUNDLE-report.html beside it.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Which users are shown.")] = 0,
    as_json: Json = False,
) -> None:
    """Write one self-contained HTML file about a bundle: how it learnt, how good and how fast."""
    import numpy as np

    from shortlist.bundle import Bundle
    from shortlist.evaluation.report import Sample, exposure, render

    if out is not None and not out.parent.is_dir():
        raise typer.BadParameter(f"there is no folder {str(out.parent)!r}.", param_hint="--out")
    target = out or bundle.resolve().with_name(f"{bundle.resolve().name}-report.html")
    with status("writing the report"):
        loaded = Bundle.load(bundle)
        users = np.asarray(loaded.tower.users.ids)
        chosen = users[np.random.default_rng(seed).permutation(len(users))[:MOST_USERS]].tolist()
        found = loaded.recommend(chosen, min(K, len(loaded.index)))
        counts = np.bincount(loaded.index.rows(loaded.histories.items), minlength=len(loaded.index))
        lengths = [len(items) for items in loaded.histories(users)]
        samples = [
            Sample(
                user=str(user),
                history=loaded.items.titles(loaded.had(user)[:K]),
                recommended=loaded.items.titles(ids[rows >= 0].tolist()),
            )
            for user, ids, rows in zip(chosen[:SHOWN_USERS], found.ids, found.rows, strict=False)
        ]
        figures = exposure(found.rows, counts, lengths)
        facts: dict[str, Any] = {
            "candidates": len(loaded.index),
            "users": len(users),
            "dimensions": loaded.index.dim,
            "metric": loaded.index.metric,
            "index in memory": f"{loaded.index.nbytes / 1e6:,.1f} MB",
            "bundle on disk": f"{_size(loaded) / 1e6:,.1f} MB",
            "settings": str(loaded.index.settings),
            "written by": loaded.manifest.created_by,
        }
        page = render(bundle.resolve().name, facts, loaded.run, figures, samples)
        target.write_text(page, encoding="utf-8")
    if as_json:
        print_json({"bundle": str(bundle), "report": str(target), "exposure": figures})
    else:
        console().print(f"  Written: [bold]{target}[/]")


def _size(bundle: Bundle) -> int:
    return sum(record.size for record in bundle.manifest.files.values())

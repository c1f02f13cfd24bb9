"""From plain data to the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from shortlist._extras import needs


@dataclass(frozen=True)
class Sample:
    """What one user had, and what is recommended to them.

    Attributes:
        user: Their id.
        history: Titles, latest first.
        recommended: Titles, best first.
    """

    user: str
    history: Sequence[str]
    recommended: Sequence[str]


def render(
    name: str,
    facts: Mapping[str, Any],
    run: Mapping[str, Any],
    exposure: Mapping[str, float],
    samples: Sequence[Sample],
) -> str:
    """Returns a report as one HTML page without scripts or requests.

    Every text is escaped: titles and names are shown, never run. A part whose figures are not in
    `run` says how to get them.

    Args:
        name: What is reported on.
        facts: Names and values of what it holds.
        run: How it came to be: `history`, `metrics`, `baselines`, `retrieval`, `tuning`, `data`,
            `arguments`, `versions`, each where known.
        exposure: What `exposure` returns.
        samples: Users to show.

    Raises:
        MissingExtraError: Matplotlib or Jinja2 is missing; they come with `shortlist[report]`.
    """
    with needs("A report", "report"):
        import jinja2
        from markupsafe import Markup

        from shortlist.evaluation.report import plots

    metrics, baselines = run.get("metrics") or {}, run.get("baselines") or {}
    ks = sorted(int(key.partition("@")[2]) for key in metrics if key.startswith("hit_rate@"))
    drawn = {
        "training": plots.training_curves(run["history"]) if run.get("history") else None,
        "hit_rates": plots.hit_rates(metrics, baselines, ks) if ks else None,
        "frontier": plots.frontier(run["tuning"]) if run.get("tuning") else None,
    }
    page = files("shortlist.evaluation.report").joinpath("page.html.jinja").read_text("utf-8")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(page).render(
        name=name,
        facts=facts,
        run=run,
        metrics=metrics,
        baselines=baselines,
        families=list(dict.fromkeys(key.rpartition("@")[0] for key in metrics)),
        ks=ks,
        exposure=exposure,
        samples=samples,
        # Drawn here from numbers, so safe as it stands; all other text is escaped.
        plots={key: Markup(svg) if svg else None for key, svg in drawn.items()},  # noqa: S704
    )

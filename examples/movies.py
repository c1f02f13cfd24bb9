"""What the examples share: the arguments, and ratings of films to work on."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from shortlist.data import Interactions, movielens, sample


def arguments(description: str | None) -> argparse.Namespace:
    """Reads `--short` and `--data-dir`, which every example takes."""
    parser = argparse.ArgumentParser(description=(description or "").splitlines()[0])
    parser.add_argument("--short", action="store_true", help="less of everything, for a quick try")
    parser.add_argument(
        "--data-dir",
        type=Path,
        default=os.environ.get("SHORTLIST_ML100K") or None,
        help="folder of MovieLens 100k (else SHORTLIST_ML100K, else the embedded sample)",
    )
    return parser.parse_args()


def load(options: argparse.Namespace) -> Interactions:
    """Reads MovieLens 100k where it is given, else the sample of invented films."""
    short = ", in short form (--short)" if options.short else ""
    if options.data_dir is None:
        print(f"Data: the embedded sample of invented films{short}")
        return sample().interactions
    print(f"Data: MovieLens 100k{short}")
    return movielens("100k", options.data_dir)

"""Interactions of any size, drawn from a model of taste and written as a folder of Parquet.

Users are active by a lognormal law, and items are chosen by Zipf's law. Every user belongs to a
group of taste and every item to one. Most choices of a user fall on the items of their own group.
Time goes on from file to file, as in a log. One file at a time is in memory.

    python benchmarks/generated.py views --interactions 10000000 --users 500000 --items 200000
"""

import argparse
from pathlib import Path

import numpy as np
import polars as pl

GROUPS = 50  # of taste
OWN = 0.8  # share of a user's choices among the items of their group
PART = 5_000_000  # interactions in a file
START, YEAR = 1_700_000_000, 365 * 86_400


class Taste:
    """Who chooses what: users, items and groups, the same for the same sizes and seed.

    Args:
        users: Number of users, with the ids 1, 2, …
        items: Number of items, with the ids 1, 2, …
        seed: Of activity, groups and ids.
    """

    def __init__(self, users: int, items: int, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.active = np.cumsum(rng.lognormal(sigma=1.2, size=users))
        self.groups = min(GROUPS, items)
        self.group = rng.integers(0, self.groups, users)
        # The items of group g are the ranks g, g + groups, g + 2 * groups, … of all.
        self.item_ids = rng.permutation(np.arange(1, items + 1))
        self.zipf = np.cumsum(1 / np.arange(1, items + 1))

    def draw(self, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Users and items of some interactions, (count,) int64 ids."""
        users = np.searchsorted(self.active, rng.random(count) * self.active[-1])
        groups = self.group[users]
        own = rng.random(count) < OWN
        sizes = np.where(own, (len(self.item_ids) - 1 - groups) // self.groups + 1, len(self.zipf))
        ranks = np.searchsorted(self.zipf, rng.random(count) * self.zipf[sizes - 1])
        ranks = np.where(own, ranks * self.groups + groups, ranks)
        return users + 1, self.item_ids[ranks]


def write(folder: Path, interactions: int, users: int, items: int, seed: int = 0) -> None:
    """Writes files `part-00000.parquet`, … with `user_id`, `item_id` and `timestamp`."""
    folder.mkdir(parents=True)
    taste = Taste(users, items, seed)
    for part, start in enumerate(range(0, interactions, PART)):
        count = min(PART, interactions - start)
        rng = np.random.default_rng([seed, part])
        user_ids, item_ids = taste.draw(count, rng)
        share = (start + np.sort(rng.random(count)) * count) / interactions
        table = {
            "user_id": user_ids,
            "item_id": item_ids,
            "timestamp": START + (share * YEAR).astype(np.int64),
        }
        pl.DataFrame(table).write_parquet(folder / f"part-{part:05}.parquet")


def main() -> None:
    """Writes a folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="a new folder")
    parser.add_argument("--interactions", type=int, default=10_000_000)
    parser.add_argument("--users", type=int, default=500_000)
    parser.add_argument("--items", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    write(options.folder, options.interactions, options.users, options.items, options.seed)


if __name__ == "__main__":
    main()

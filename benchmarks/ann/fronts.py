"""What an engine costs at a given recall, read off the best of its measured points."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

TARGETS = (0.90, 0.95, 0.98)

Point = dict[str, Any]


def front(points: Iterable[Point], cost: str) -> list[Point]:
    """The points that no other beats in both recall and `cost`, by rising recall."""
    best: list[Point] = []
    for point in sorted(points, key=lambda p: (-p["recall"], p[cost])):
        if not best or point[cost] < best[-1][cost]:
            best.append(point)
    return best[::-1]


def cost_at(points: Iterable[Point], target: float, cost: str) -> float | None:
    """`cost` at recall `target`, interpolated in log cost along the front.

    None when no point reaches the target. Where even the cheapest point is above it, that point's
    cost: the engine is not credited with what was not measured.
    """
    line = front(points, cost)
    above = next((i for i, p in enumerate(line) if p["recall"] >= target), None)
    if above is None:
        return None
    if above == 0:
        return float(line[0][cost])
    low, high = line[above - 1], line[above]
    share = (target - low["recall"]) / (high["recall"] - low["recall"])
    return math.exp((1 - share) * math.log(low[cost]) + share * math.log(high[cost]))

"""Ids as a bundle has them."""

from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl


def id_series(ids: npt.NDArray[Any]) -> pl.Series:
    """Return ids as a series of Int64 or String."""
    if ids.dtype.kind in "iu":
        return pl.Series(ids.astype(np.int64))
    return pl.Series(ids.tolist(), dtype=pl.String)

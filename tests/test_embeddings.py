"""Embeddings in whatever holds them: the same float32 numbers come out, or an error says why."""

from typing import Any

import jax.numpy as jnp
import keras
import ml_dtypes
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse
import tensorflow as tf
import torch

from shortlist.embeddings import as_array, as_embeddings

# Numbers that bfloat16 holds as they are.
SOME = np.array([[1, -2.5, 0.125], [3, 0, 96]], np.float32)
LISTS = SOME.tolist()

HOLDERS = {
    "float16": SOME.astype(np.float16),
    "float64": SOME.astype(np.float64),
    "big-endian": SOME.astype(">f4"),
    "Fortran": np.asfortranarray(SOME),
    "backwards": SOME[::-1, ::-1][::-1, ::-1],
    "strided": np.repeat(SOME, 2, axis=1)[:, ::2],
    "bfloat16": SOME.astype(ml_dtypes.bfloat16),
    "objects": SOME.astype(object),
    "array of rows": np.array([*map(list, LISTS), None], object)[:2],
    "lists": LISTS,
    "tuples": tuple(map(tuple, LISTS)),
    "list of arrays": list(SOME),
    "list of tensors": [torch.tensor(row, requires_grad=True) for row in LISTS],
    "generator": (row for row in LISTS),
    "torch": torch.tensor(LISTS),
    "torch bfloat16": torch.tensor(LISTS, dtype=torch.bfloat16),
    "torch parameter": torch.nn.Parameter(torch.tensor(LISTS)),
    "tensorflow": tf.constant(LISTS),
    "tensorflow variable": tf.Variable(LISTS),
    "tensorflow bfloat16": tf.constant(LISTS, tf.bfloat16),
    "jax": jnp.asarray(LISTS),
    "jax bfloat16": jnp.asarray(LISTS, jnp.bfloat16),
    "keras": keras.Variable(LISTS),
    "pandas frame": pd.DataFrame(SOME, index=[7, 3]),
    "pandas frame of two types": pd.DataFrame({"a": [1, 3], "b": [-2.5, 0], "c": [0.125, 96]}),
    "pandas nullable": pd.DataFrame(SOME).astype("Float64"),
    "pandas column": pd.Series(LISTS, index=[5, 2]),
    "polars frame": pl.DataFrame(SOME, schema=list("abc")),
    "polars lists": pl.Series(LISTS),
    "polars arrays": pl.Series(LISTS, dtype=pl.Array(pl.Float32, 3)),
    "arrow lists": pa.array(LISTS),
    "arrow large lists": pa.array(LISTS, pa.large_list(pa.float32())),
    "arrow fixed lists": pa.array(LISTS, pa.list_(pa.float16(), 3)),
    "arrow slice": pa.array([[9.0] * 3, *LISTS], pa.list_(pa.float64(), 3))[1:],
    "arrow chunks": pa.chunked_array([pa.array(LISTS[:1]), pa.array(LISTS[1:])]),
    "arrow table": pa.table(dict(zip("abc", SOME.T, strict=True))),
}


@pytest.mark.parametrize("values", HOLDERS.values(), ids=HOLDERS)
def test_the_numbers_are_the_same_whatever_holds_them(values: Any) -> None:
    floats = as_embeddings(values)
    assert floats.dtype == np.float32
    assert floats.dtype.isnative
    assert floats.flags.c_contiguous
    np.testing.assert_array_equal(floats, SOME)


def test_float32_in_c_order_is_not_copied() -> None:
    assert np.shares_memory(as_embeddings(SOME), SOME)
    assert as_embeddings(SOME[0]).shape == (3,)


def test_integers_are_numbers() -> None:
    assert as_embeddings([[1, 2], [3, 4]]).tolist() == [[1, 2], [3, 4]]
    assert as_embeddings(np.array([[2**40]])).tolist() == [[2**40]]


def test_shapes_are_kept() -> None:
    assert as_embeddings(5.0).shape == ()
    assert as_embeddings(np.empty((0, 3))).shape == (0, 3)
    assert as_embeddings([]).shape == (0,)
    assert as_embeddings([[[1.0]]]).shape == (1, 1, 1)
    assert as_embeddings(pa.array([1.0, 2.0])).tolist() == [1, 2]


def test_nan_and_infinity_are_for_others_to_judge() -> None:
    given = np.array([[np.nan, np.inf], [-np.inf, 1e300]])
    with np.errstate(all="raise"):
        assert np.isnan(as_embeddings(given)[0, 0])


REFUSED = {
    "text": ([["a", "b"]], "must hold real numbers, got the str 'a' in row 0"),
    "a text after a number": ([-9_223_372_036_854_775_809, ""], "got the str '' in row 1"),
    "a text within a row": ([[1, 2], [1, "x"]], "got the str 'x' in row 1"),
    "a gap within a row": ([[1, 2], [None, 1], [1, 2]], "must have no missing values.* row 1"),
    "a gap of pandas": ([[1.0, 2.0], [pd.NA, 1.0]], "must have no missing values.* row 1"),
    "an integer beyond every float": ([10**400], "must fit float32.*beyond float64"),
    "numbers as text": (np.array([["1", "2"]]), "must hold real numbers"),
    "bytes": (np.array([b"ab"]), "must hold real numbers"),
    "complex": (np.ones((2, 2), np.complex64), "must hold real numbers, got dtype complex64"),
    "bools": (np.ones((2, 2), bool), "must hold real numbers, got dtype bool"),
    "numbers and bools": (np.array([[1.0, True]], object), "must hold real numbers, got the bool"),
    "dates": (np.array(["2020-01-01"], "M8[D]"), "must hold real numbers"),
    "ragged": ([[1, 2], [3]], r"rows of one length, got \(2,\) in row 0 and \(1,\) in row 1"),
    "ragged objects": (np.array([[1, 2], [3]], object), "rows of one length"),
    "ragged arrow": (pa.array([[1.0], [2.0, 3.0]]), "got 1 in row 0 and 2 in row 1"),
    "ragged polars": (pl.Series([[1.0], [2.0, 3.0]]), "rows of one length"),
    "ragged tensor": (tf.ragged.constant([[1.0], [2.0, 3.0]]), "rows of one length"),
    "beyond float32": (np.array([[1, 2], [3, -1e39]]), r"fit float32, .*got -1e\+39 in row 1"),
    "a row missing": ([[1.0], None], "no missing values, got one in row 1"),
    "an arrow row missing": (pa.array([[1.0], None]), "no missing values, got one in row 1"),
    "an arrow number missing": (pa.array([[1.0, 2.0], [3.0, None]]), "one in row 1"),
    "masked": (np.ma.array([[1.0, 2.0]], mask=[[0, 1]]), "no missing values"),
    "objects of none": (np.array([["a", {}]], object), "must hold real numbers, got the str 'a'"),
    "sparse tensor": (torch.eye(3).to_sparse(), r"must be dense, .*give its .to_dense\(\)"),
    "tensor without values": (torch.empty(2, 3, device="meta"), "must hold values, .*device meta"),
    "sparse": (scipy.sparse.eye(3), r"must be dense, .*give its .toarray\(\)"),
    "dict": ({"a": [1.0]}, "must be an array, got a dict"),
    "set": ({1.0}, "must be an array, got a set"),
    "str": ("abc", "must be an array, got a str"),
    "none": (None, "must be an array, got NoneType"),
    "symbolic": (keras.KerasTensor((None, 3)), "symbolic"),
}


@pytest.mark.parametrize(("values", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_embedding_is_refused(values: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"`vectors` .*{message}"):
        as_embeddings(values, "vectors")


def test_arrays_keep_their_type() -> None:
    assert as_array([True, False], "mask").dtype == bool
    assert as_array(pl.Series([True, False]), "mask").tolist() == [True, False]
    assert as_array(pa.array([True, False]), "mask").tolist() == [True, False]
    assert as_array(SOME.astype(np.float16), "x").dtype == np.float16

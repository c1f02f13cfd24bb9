import uuid
from typing import Any

import keras
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import tensorflow as tf
import torch
from hypothesis import given
from hypothesis import strategies as st

from shortlist.ids import are_text, as_id, as_ids, check_kind, first_repeated, parse_id, unknown_id

BIG = 2**63 - 1
SOME = [BIG, -(2**63), -1, 5 * 10**9]

INTEGERS = {
    "list": SOME,
    "tuple": tuple(SOME),
    "generator": (i for i in SOME),
    "int64": np.array(SOME),
    "objects": np.array(SOME, object),
    "big-endian": np.array(SOME, ">i8"),
    "strided": np.repeat(SOME, 2)[::2],
    "pandas": pd.Series(SOME, index=[9, 8, 7, 6]),
    "pandas index": pd.Index(SOME),
    "pandas nullable": pd.Series(SOME, dtype="Int64"),
    "pandas arrow": pd.Series(SOME, dtype="int64[pyarrow]"),
    "pandas category": pd.Series(SOME).astype("category"),
    "polars": pl.Series(SOME),
    "polars of 128 bits": pl.Series(SOME, dtype=pl.Int128),
    "arrow": pa.array(SOME),
    "arrow chunks": pa.chunked_array([SOME[:1], SOME[1:]]),
    "torch": torch.tensor(SOME),
    "tensorflow": tf.constant(SOME, tf.int64),
    "scalars": [np.int64(i) for i in SOME],
    "tensors of one": [torch.tensor(i) for i in SOME],
}
NAMES = ["-1", "", "zażółć", "007"]
TEXT = {
    "list": NAMES,
    "U": np.array(NAMES),
    "T": np.array(NAMES, np.dtypes.StringDType()),
    "S": np.array([name.encode() for name in NAMES]),
    "objects": np.array(NAMES, object),
    "objects of bytes": np.array([name.encode() for name in NAMES], object),
    "bytes": [name.encode() for name in NAMES],
    "bytes and text": [NAMES[0].encode(), *NAMES[1:]],
    "pandas": pd.Series(NAMES, index=[3, 2, 1, 7]),
    "pandas string": pd.Series(NAMES, dtype="string"),
    "pandas category": pd.Series(NAMES, dtype="category"),
    "polars": pl.Series(NAMES),
    "polars category": pl.Series(NAMES, dtype=pl.Categorical),
    "arrow": pa.array(NAMES),
    "arrow dictionary": pa.array(NAMES).dictionary_encode(),
    "tensorflow": tf.constant(NAMES),
}


@pytest.mark.parametrize("values", INTEGERS.values(), ids=INTEGERS)
def test_integers_keep_all_their_bits(values: Any) -> None:
    ids = as_ids(values)
    assert ids.dtype == np.int64
    assert ids.tolist() == SOME


@pytest.mark.parametrize("values", TEXT.values(), ids=TEXT)
def test_text_is_text_and_bytes_are_utf8(values: Any) -> None:
    ids = as_ids(values)
    assert ids.dtype == object
    assert ids.tolist() == NAMES
    assert {type(name) for name in ids} == {str}


def test_uuids_are_their_text() -> None:
    one = uuid.UUID(int=7)
    assert as_ids([one]).tolist() == [str(one)]
    assert as_id(one) == str(one)


def test_a_variable_of_keras_is_its_value() -> None:
    assert as_ids(keras.Variable([1, 2], dtype="int32")).tolist() == [1, 2]


@pytest.mark.parametrize("dtype", ["i1", "u1", "i2", "u2", "i4", "u4", "u8"])
def test_narrow_and_unsigned_integers_widen(dtype: str) -> None:
    assert as_ids(np.array([0, 100], dtype)).tolist() == [0, 100]


@given(st.lists(st.integers(-(2**63), 2**63 - 1)) | st.lists(st.text()))
def test_a_list_of_one_kind_comes_back(values: list[int] | list[str]) -> None:
    assert as_ids(values).tolist() == values


def test_int64_is_not_copied() -> None:
    array = np.arange(3)
    assert np.shares_memory(as_ids(array), array)


def test_the_shape_is_kept_where_any_will_do() -> None:
    assert as_ids([[1, 2], [3, 4]], ndim=None).tolist() == [[1, 2], [3, 4]]
    assert as_ids(np.array([[b"a"], [b"b"]], object), ndim=2).tolist() == [["a"], ["b"]]


@pytest.mark.parametrize(
    "nothing",
    [[], (), np.array([]), np.array([], object), pl.Series([]), pd.Series([], dtype=float)],
)
def test_nothing_is_no_ids(nothing: Any) -> None:
    assert as_ids(nothing).shape == (0,)


REFUSED = {
    "float": ([1, 1.7], "got the float 1.7 at position 1"),
    "whole float": (np.array([1.0]), "got the float 1.0 at position 0"),
    "bool": ([True, False], "got the bool True at position 0"),
    "bool array": (np.array([True]), "got the bool True"),
    "none": ([1, None], "no missing ids, got None at position 1"),
    "nan": (["a", float("nan")], "no missing ids, got nan at position 1"),
    "floats for want of integers": (pd.Series([1, None]), "float 1.0 at position 0 .where some"),
    "pandas NA": (pd.Series([1, None], dtype="Int64"), "no missing ids, got <NA> at position 1"),
    "pandas NA in an array": (pd.array([1, None], dtype="Int64"), "no missing ids, got <NA>"),
    "pandas of two levels": (pd.MultiIndex.from_arrays([[1], [2]]), r"got shape \(1, 2\)"),
    "polars frame": (pl.DataFrame({"id": [1, 2]}), r"one dimension, got shape \(2, 1\)"),
    "polars lazy frame": (pl.LazyFrame({"id": [1]}), "sequence of ids, got the LazyFrame"),
    "polars beyond int64": (pl.Series([2**70], dtype=pl.Int128), "64 bits, got 11805916207174113"),
    "polars null": (pl.Series([2**60, None]), "no missing ids, got None at position 1"),
    "arrow null": (pa.array([2**60, None]), "no missing ids, got None at position 1"),
    "masked": (np.ma.array([1, 2], mask=[0, 1]), "no missing ids, got None at position 1"),
    "mixed": ([1, "2"], "got 1 at position 0 and '2' at position 1"),
    "beyond int64": ([2**63], "64 bits, got 9223372036854775808"),
    "beyond int64, unsigned": (np.array([2**63], np.uint64), "64 bits"),
    "bytes that are no text": ([b"\xff"], "UTF-8"),
    "dates": (np.array(["2020-01-01"], "M8[D]"), "must be integers or text"),
    "one str": ("abc", "sequence of ids, got the str 'abc'"),
    "one int": (7, "sequence of ids, got the int 7"),
    "two dimensions": (np.zeros((2, 2), int), r"one dimension, got shape \(2, 2\)"),
    "ragged": ([[1], [2, 3]], "rows of one length"),
    "symbolic": (keras.KerasTensor((None,)), "symbolic"),
}


@pytest.mark.parametrize(("values", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_id_is_refused(values: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        as_ids(values)


NO_ID = {
    "none": (None, "must be an integer or text, got None"),
    "float": (1.0, "must be an integer or text, got the float 1.0"),
    "bool": (True, "must be an integer or text, got the bool True"),
    "beyond int64": (2**63, "must fit in 64 bits, got 9223372036854775808; give such ids as text"),
    "far beyond": (10**5000, "must fit in 64 bits, got an integer of 16610 bits"),
    "bytes that are no text": (b"\xff", "must be an integer or text, got the bytes"),
    "list": ([1], "must be an integer or text, got the list of 1"),
    "record": ({}, "must be an integer or text, got the dict of 0"),
}


@pytest.mark.parametrize(("value", "message"), NO_ID.values(), ids=NO_ID)
@pytest.mark.parametrize(
    "parse", [as_id, lambda v: parse_id(v, True), lambda v: parse_id(v, False)]
)
def test_one_value_that_is_no_id_is_refused(parse: Any, value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"`id` {message}"):
        parse(value)


@given(st.integers(-(2**63), BIG))
def test_a_number_and_its_digits_name_the_same_id(number: int) -> None:
    assert parse_id(number, text=False) == parse_id(str(number), text=False) == number
    assert parse_id(number, text=True) == parse_id(str(number), text=True) == str(number)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "007",
        "-0",
        "+7",
        " 7",
        "7 ",
        "7.0",
        "1e1",
        "1_0",
        "٤٢",
        "x",
        str(2**63),
        "9" * 5000,
        "--7",
        "0x7",
        "7\n",
    ],
)
def test_other_spellings_name_no_integer_and_stay_as_they_are_among_text(text: str) -> None:
    assert parse_id(text, text=False) is None
    assert parse_id(text, text=True) == text


def test_the_kinds_must_agree() -> None:
    check_kind(as_ids([]), True, "exclude", "this index")
    check_kind(as_ids(["a"]), True, "exclude", "this index")
    assert are_text(as_ids(["a"]))
    with pytest.raises(
        ValueError, match="`exclude` must be text, as the ids of this index are; got the int 7"
    ):
        check_kind(as_ids([7]), True, "exclude", "this index")


@given(st.lists(st.integers(0, 9)))
def test_the_first_repeated_id_is_the_one_python_finds(values: list[int]) -> None:
    expected = next((at for at, value in enumerate(values) if value in values[:at]), None)
    assert first_repeated(as_ids(values)) == expected


def test_an_unknown_id_names_the_nearest_or_what_ids_look_like() -> None:
    assert unknown_id("item", "alein", ["alien"]) == "unknown item 'alein'; did you mean 'alien'?"
    assert unknown_id("item", "zz", ["alien"]) == "unknown item 'zz'; 1 item, ids like 'alien'"
    assert unknown_id("user", 5, []) == "unknown user '5'; there are no users"
    assert unknown_id("item", "alein", ["alien", "x"], compared=1) == (
        "unknown item 'alein'; 2 items, ids like 'alien'…'x'"
    )


def test_a_long_id_is_cut_in_the_sentence() -> None:
    long = "a" * 10_000
    assert len(unknown_id("item", long, [long[1:], long[2:]])) < 400

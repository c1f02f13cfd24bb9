import json

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shortlist.data import DataError, Vocabulary

INTEGERS = st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1)
STRINGS = st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), min_size=1)


@given(INTEGERS | STRINGS)
def test_every_known_id_comes_back(ids: list[int] | list[str]) -> None:
    vocabulary = Vocabulary.from_ids(ids)
    indices = vocabulary.encode(ids)
    assert indices.dtype == np.int64
    assert indices.min() >= 1
    assert vocabulary.decode(indices).tolist() == ids


@given(INTEGERS | STRINGS)
def test_indices_are_contiguous_and_follow_the_sorted_ids(ids: list[int] | list[str]) -> None:
    vocabulary = Vocabulary.from_ids(ids)
    assert vocabulary.ids.tolist() == sorted(set(ids))
    assert vocabulary.encode(vocabulary.ids).tolist() == list(range(1, len(vocabulary) + 1))
    assert vocabulary.size == len(vocabulary) + 1


@given(INTEGERS | STRINGS)
def test_plain_data_gives_the_same_vocabulary(ids: list[int] | list[str]) -> None:
    vocabulary = Vocabulary.from_ids(ids)
    again = Vocabulary.from_dict(json.loads(json.dumps(vocabulary.to_dict())))
    assert again == vocabulary
    assert again.encode(ids).tolist() == vocabulary.encode(ids).tolist()


@given(INTEGERS, INTEGERS)
def test_an_unknown_id_has_index_zero(known: list[int], asked: list[int]) -> None:
    indices = Vocabulary.from_ids(known).encode(asked)
    assert [i == 0 for i in indices] == [id_ not in set(known) for id_ in asked]


def test_few_ids_and_many_are_encoded_alike() -> None:
    vocabulary = Vocabulary([f"u{i}" for i in range(50)])
    ids = [f"u{i}" for i in range(-100, 200)]
    together = vocabulary.encode(ids)
    assert together.tolist() == [vocabulary.encode([i])[0] for i in ids]


def test_the_order_given_is_kept() -> None:
    assert Vocabulary([9, 3, 7]).encode([3, 9, 7]).tolist() == [2, 1, 3]


def test_the_unknown_decodes_to_what_encodes_to_the_unknown() -> None:
    assert Vocabulary(["a"]).decode([0, 1]).tolist() == ["", "a"]
    assert Vocabulary([5]).decode([0, 1]).tolist() == [-1, 5]
    assert Vocabulary(["a"]).encode(["", None, "a"]).tolist() == [0, 0, 1]


def test_shapes_are_kept() -> None:
    vocabulary = Vocabulary([10, 20])
    indices = vocabulary.encode(np.array([[10, 20, 30], [20, 10, 10]]))
    assert indices.tolist() == [[1, 2, 0], [2, 1, 1]]
    assert vocabulary.decode(indices).tolist() == [[10, 20, -1], [20, 10, 10]]
    assert vocabulary.encode([]).tolist() == []
    assert vocabulary.decode([]).tolist() == []


@pytest.mark.parametrize(
    "ids",
    [
        [3, 1, 3],
        (3, 1, 3),
        np.array([3, 1, 3], np.int32),
        pl.Series([3, 1, 3]),
        pd.Series([3, 1, 3]),
        {1: "", 3: ""}.keys(),
    ],
)
def test_ids_may_come_in_any_container(ids: object) -> None:
    assert Vocabulary.from_ids(ids).ids.tolist() == [1, 3]


@pytest.mark.parametrize(
    "ids", [["b", "a"], np.array(["b", "a"]), np.array(["b", "a"], object), pd.Series(["b", "a"])]
)
def test_text_may_come_in_any_container(ids: object) -> None:
    assert Vocabulary.from_ids(ids).ids.tolist() == ["a", "b"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Vocabulary([1, 2, 1]), "1 stands there twice"),
        (lambda: Vocabulary([1, "a"]), "got 1 at position 0 and 'a' at position 1"),
        (lambda: Vocabulary(["a", None]), "must have no missing ids, got None at position 1"),
        (lambda: Vocabulary([1.5]), "must be integers or text, got the float 1.5"),
        (lambda: Vocabulary("abc"), "must be a sequence of ids, got the str 'abc'"),
        (lambda: Vocabulary([2**64]), "64 bits|too large|overflow|integers or strings"),
        (lambda: Vocabulary([1]).encode(["1"]), "must be integers, .* got '1'"),
        (lambda: Vocabulary(["1"]).encode([1]), "must be strings, .* got 1"),
        (lambda: Vocabulary([1]).decode([2]), "from 0 to 1, got 2"),
        (lambda: Vocabulary([1]).decode([-1]), "from 0 to 1, got -1"),
        (lambda: Vocabulary([1]).decode([0.5]), "must be integers, got float64"),
        (lambda: Vocabulary.from_dict({"type": "int", "idz": []}), "did you mean 'ids'"),
        (lambda: Vocabulary.from_dict({"type": "int"}), "needs the key 'ids'"),
        (
            lambda: Vocabulary.from_dict({"type": "float", "ids": [1]}),
            "'int' or 'str', got 'float'",
        ),
        (lambda: Vocabulary.from_dict({"type": "int", "ids": ["a"]}), "not of its type, 'int'"),
        (lambda: Vocabulary.from_dict({"type": "str", "ids": "ab"}), "must be a list, got 'ab'"),
        (lambda: Vocabulary.from_dict(["a"]), "`type` and `ids`, got \\['a'\\]"),
    ],
)
def test_what_is_wrong_is_named(make: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        make()  # type: ignore[operator]

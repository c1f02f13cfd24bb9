import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from shortlist.data import Vocabulary
from shortlist.data.features import Category, FeatureSpec, Number
from shortlist.models.inputs import Histories, feature_columns


@given(
    st.lists(st.lists(st.integers(0, 9), max_size=6), min_size=1, max_size=5),
    st.integers(1, 7),
    st.data(),
)
def test_histories_are_the_last_known_items_padded(
    lists: list[list[int]], most: int, data: st.DataObject
) -> None:
    users = data.draw(st.lists(st.integers(0, len(lists) - 1), max_size=6))
    histories = Histories([np.array(items, np.int64) for items in lists])
    padded = histories.padded(np.array(users, np.int64), most)
    kept = [[item for item in lists[user] if item][-most:] for user in users]
    width = max([1, *map(len, kept)])
    assert padded.tolist() == [items + [0] * (width - len(items)) for items in kept]


def test_features_stand_in_the_order_of_the_vocabulary() -> None:
    people = pl.DataFrame({"user_id": ["c", "a", "x"], "age": [30, 10, 999], "city": list("pqp")})
    spec = FeatureSpec({"city": Category(), "age": Number()})
    adapted, columns = feature_columns(spec, people, Vocabulary(["a", "b", "c"]), "user_id")
    assert columns(np.arange(4))["city"].tolist() == [0, 2, 0, 1]
    # "x" is not in the vocabulary, so its age was not learnt from: the mean is 20.
    np.testing.assert_allclose(columns(np.arange(4))["age"], [0, -1, 0, 1], atol=1e-6)
    assert (adapted.is_adapted, spec.is_adapted) == (True, False)

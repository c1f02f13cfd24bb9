import numpy as np
import pytest

from shortlist.data import DataError, Vocabulary
from shortlist.models.ids import known_indices


def test_known_ids_get_their_indices() -> None:
    np.testing.assert_array_equal(known_indices(Vocabulary([5, 7]), [7, 5, 7], "user"), [2, 1, 2])


def test_the_first_unknown_id_is_named() -> None:
    with pytest.raises(DataError, match="unknown user '6'; 2 users, ids like '5'…'7'"):
        known_indices(Vocabulary([5, 7]), [5, 6, 8], "user")
    with pytest.raises(DataError, match="did you mean 'brazil'"):
        known_indices(Vocabulary(["alien", "brazil"]), ["brasil"], "film")

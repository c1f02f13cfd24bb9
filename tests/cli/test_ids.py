import numpy as np
import pytest

from shortlist.cli.ids import known_id
from shortlist.data import DataError


def test_an_id_gets_the_type_of_the_ids() -> None:
    assert known_id(np.array([7, 42]), "42", "user") == 42
    assert known_id(np.array(["7", "42"], dtype=object), "42", "user") == "42"


def test_the_nearest_name_is_suggested() -> None:
    with pytest.raises(DataError, match="unknown user 'anna'; did you mean 'ann'"):
        known_id(np.array(["ann", "zoe"], dtype=object), "anna", "user")


def test_numbers_are_not_guessed() -> None:
    with pytest.raises(DataError, match="unknown user '9999'; 943 users, ids like '1'…'943'"):
        known_id(np.arange(1, 944), "9999", "user")

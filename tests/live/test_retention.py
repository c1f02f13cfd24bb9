"""How much is remembered."""

from datetime import timedelta

import pytest

from shortlist.live import Retention


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"per_user": 0}, "`per_user` must be at least 1, got 0"),
        ({"per_user": 1.5}, "`per_user` must be an integer, got 1.5"),
        ({"age": timedelta(0)}, "`age` must be a positive timedelta"),
        ({"age": 3600}, "`age` must be a positive timedelta, got 3600"),
        ({"keys": None}, "`keys` must be a positive timedelta, got None"),
    ],
)
def test_a_retention_that_keeps_nothing_is_refused(arguments: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Retention(**arguments)

"""Numbers of settings."""

import numpy as np
import pytest

from shortlist.index.numbers import as_flag, as_integer, as_real


class Tensor:
    """One number as the tensors of frameworks hold it."""

    shape = ()

    def __init__(self, value):
        self.value = value

    def __index__(self):
        return self.value

    def item(self):
        return self.value


@pytest.mark.parametrize("value", [5, np.int64(5), np.uint8(5), np.array(5), Tensor(5)])
def test_integers_of_any_library_are_ints(value):
    assert type(as_integer(value, "k", 1)) is int
    assert as_integer(value, "k", 1) == 5


@pytest.mark.parametrize(
    "value", [True, np.True_, 5.0, np.float32(5), "5", None, np.array([5, 6]), np.array(5.0)]
)
def test_what_is_no_integer_is_refused(value):
    with pytest.raises(ValueError, match="`k` must be an integer, got"):
        as_integer(value, "k", 1)


def test_numbers_out_of_range_are_named():
    with pytest.raises(ValueError, match="`k` must be at least 1, got 0"):
        as_integer(0, "k", 1)
    with pytest.raises(ValueError, match="`k` must be from 1 to 9, got 10"):
        as_integer(np.int64(10), "k", 1, 9)
    with pytest.raises(ValueError, match=r"`spread` must be from 0 to 100, got -0\.5"):
        as_real(-0.5, "spread", 0, 100)


@pytest.mark.parametrize("value", [0.5, np.float32(0.5), np.float16(0.5), Tensor(0.5)])
def test_reals_of_any_library_are_floats(value):
    assert type(as_real(value, "stop")) is float
    assert as_real(value, "stop") == 0.5


@pytest.mark.parametrize("value", [True, np.False_, "0.5", None, 1j, float("inf"), float("nan")])
def test_what_is_no_real_is_refused(value):
    with pytest.raises(ValueError, match="`stop` must be"):
        as_real(value, "stop")


def test_flags_are_bools():
    assert as_flag(np.True_, "exact") is True
    for value in (1, 0, "yes", None):
        with pytest.raises(ValueError, match="`exact` must be True or False, got"):
            as_flag(value, "exact")

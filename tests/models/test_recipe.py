import numpy as np
import pytest

from shortlist.data import Interactions
from shortlist.models import Recipe

VIEWS = Interactions.from_arrays([1, 1, 2, 2], [7, 8, 7, 9], timestamp=[1, 2, 3, 4])


@pytest.mark.parametrize(
    ("recipe", "held_out"),
    [
        (Recipe(split="time", test=0.25), [9]),
        (Recipe(split="last"), [8, 9]),
    ],
)
def test_data_are_split_as_asked(recipe: Recipe, held_out: list[int]) -> None:
    assert recipe.parts(VIEWS).test.item_ids.tolist() == held_out


def test_a_random_split_follows_the_seed() -> None:
    many = Interactions.from_arrays(np.arange(100), np.arange(100))
    first, again, other = (Recipe(seed=seed).parts(many).test.item_ids for seed in (0, 0, 1))
    assert first.tolist() == again.tolist() != other.tolist()

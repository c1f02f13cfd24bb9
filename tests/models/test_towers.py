import numpy as np
import pytest
from keras import ops

from shortlist.models import embedding_tower


def embeddings(**options: object) -> np.ndarray:
    tower = embedding_tower(50, 8, **options)
    return ops.convert_to_numpy(tower(np.arange(50, dtype="int32")))


def test_embeddings_begin_uniform_and_small() -> None:
    values = embeddings()
    assert values.shape == (50, 8)
    assert np.abs(values).max() <= 0.05
    assert values.std() == pytest.approx(0.1 / np.sqrt(12), rel=0.1)


def test_normalised_embeddings_have_length_1() -> None:
    np.testing.assert_allclose(np.linalg.norm(embeddings(normalize=True), axis=1), 1, rtol=1e-5)


def test_the_seed_decides() -> None:
    np.testing.assert_array_equal(embeddings(seed=3), embeddings(seed=3))
    assert not np.array_equal(embeddings(seed=3), embeddings(seed=4))


@pytest.mark.parametrize("sizes", [(0, 8), (5, 0)])
def test_sizes_below_1_are_refused(sizes: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="must be at least 1, got 0"):
        embedding_tower(*sizes)

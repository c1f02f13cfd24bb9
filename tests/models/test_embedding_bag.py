import keras
import numpy as np
import pytest

from shortlist.models import row_tables
from shortlist.models.embedding_bag import EmbeddingBag, count

INDICES = np.array([[1, 3, 3, 0], [0, 2, 0, 0], [0, 0, 0, 0]], np.int32)


def bag(pooling: str) -> EmbeddingBag:
    layer = EmbeddingBag(5, 3, pooling)
    layer.build((None, 4))
    return layer


@pytest.mark.parametrize(("pooling", "divisor"), [("mean", 3), ("sqrt", np.sqrt(3)), ("sum", 1)])
@pytest.mark.parametrize("counted_rows", [0, 100])
def test_embeddings_are_added_up_and_pooled(
    pooling: str, divisor: float, counted_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_tables, "LARGE", counted_rows)
    layer = bag(pooling)
    table = keras.ops.convert_to_numpy(layer.embeddings)
    expected = [(table[1] + 2 * table[3]) / divisor, table[2], np.zeros(3)]
    np.testing.assert_allclose(keras.ops.convert_to_numpy(layer(INDICES)), expected, atol=1e-6)


def test_padding_changes_nothing() -> None:
    layer = bag("sqrt")
    short, long = layer(INDICES), layer(np.pad(INDICES, ((0, 0), (2, 7))))
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(short), keras.ops.convert_to_numpy(long), atol=1e-7
    )


def test_indices_are_counted_with_their_weights() -> None:
    counts = count(INDICES, 5, np.array([[1.0, 2.0, 3.0, 4.0]], np.float32))
    np.testing.assert_array_equal(
        keras.ops.convert_to_numpy(counts), [[0, 1, 0, 5, 0], [0, 0, 2, 0, 0], [0, 0, 0, 0, 0]]
    )


def test_an_unknown_pooling_is_refused() -> None:
    with pytest.raises(ValueError, match=r"`pooling` must be one of .*got 'max'"):
        EmbeddingBag(5, 3, "max")

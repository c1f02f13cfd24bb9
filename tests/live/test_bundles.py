"""Towers that read a history read what users did since training."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from shortlist.bundle import Bundle, UnknownUserError
from shortlist.live import Follower, Interaction, ItemRemoval, ItemUpsert, LiveState

from ..bundle.parts import Parts


def history_tower(table: np.ndarray) -> bytes:
    """Sums the rows of `table` that stand for the items of a history; row 0 is padding."""
    constants = [
        numpy_helper.from_array(table.astype(np.float32), "table"),
        numpy_helper.from_array(np.array([1], np.int64), "axis"),
    ]
    graph = helper.make_graph(
        [
            helper.make_node("Gather", ["table", "history"], ["items"]),
            helper.make_node("ReduceSum", ["items", "axis"], ["embedding"], keepdims=0),
        ],
        "tower",
        [helper.make_tensor_value_info("history", TensorProto.INT64, ["n", "w"])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["n", 4])],
        constants,
    )
    opset = helper.make_opsetid("", 17)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=9)
    return bytes(model.SerializeToString())


TABLE = np.vstack([np.zeros(4), np.random.default_rng(5).normal(size=(8, 4))]).astype(np.float32)


@pytest.fixture
def follower(tmp_path: Path) -> Iterator[Follower]:
    parts = Parts()
    Bundle.save(
        tmp_path / "model",
        query_tower=history_tower(TABLE),
        users=parts.users,
        index=parts.index,
        items=parts.items,
        interactions=parts.interactions,
        user_embeddings=parts.user_embeddings,
    )
    with LiveState.open(tmp_path / "live.sqlite") as state:
        yield Follower(Bundle.load(tmp_path / "model"), state)


def test_a_known_user_is_embedded_by_all_they_have_had(follower: Follower) -> None:
    before = follower.current.embed(["u0", "u1"])
    follower.append([Interaction("u0", "f7")])
    after = follower.current.embed(["u0", "u1"])
    np.testing.assert_allclose(after[0], TABLE[[4, 6, 8]].sum(0), rtol=1e-6)  # f3, f5 and f7
    np.testing.assert_array_equal(after[1], before[1])
    assert follower.current.recommend(["u0"], 8).ids[0, 0] not in ("f3", "f5", "f7")


def test_somebody_new_is_embedded_by_what_they_did(follower: Follower) -> None:
    follower.append([Interaction("guest", "f7"), Interaction("guest", "f0")])
    np.testing.assert_allclose(
        follower.current.embed(["guest"]), TABLE[[8, 1]].sum(0, keepdims=True), rtol=1e-6
    )
    with pytest.raises(UnknownUserError, match="unknown user 'nobody'"):
        follower.current.embed(["guest", "nobody"])


def test_rows_that_moved_do_not_confuse_the_tower(follower: Follower) -> None:
    """The tower counts the items of training, and the index moves its rows."""
    follower.append([ItemRemoval("f0"), ItemUpsert("f3", embedding=[1, 2, 3, 4])])
    follower.append([Interaction("guest", "f7")])
    np.testing.assert_allclose(follower.current.embed(["guest"])[0], TABLE[8], rtol=1e-6)
    np.testing.assert_allclose(follower.current.embed_history(["f7"])[0], TABLE[8], rtol=1e-6)


def test_items_that_the_tower_does_not_know_are_left_out_or_speak_for_themselves(
    follower: Follower,
) -> None:
    follower.append([ItemUpsert("new", embedding=[1, 2, 3, 4])])
    follower.append([Interaction("both", "new"), Interaction("both", "f7")])
    follower.append([Interaction("late", "new")])
    live = follower.current
    np.testing.assert_allclose(live.embed(["both"])[0], TABLE[8], rtol=1e-6)
    np.testing.assert_array_equal(live.embed(["late"])[0], [1, 2, 3, 4])

"""What small bundles are made of."""

from pathlib import Path

import numpy as np
import onnx
import polars as pl
from onnx import TensorProto, helper, numpy_helper

from shortlist.bundle import Bundle, CandidateTower, Manifest
from shortlist.data import Vocabulary
from shortlist.data.features import Category, FeatureSpec
from shortlist.index import Index


def lookup_tower(embeddings: np.ndarray, name: str = "user") -> bytes:
    """An ONNX graph that looks an index up in a table."""
    table = numpy_helper.from_array(embeddings.astype(np.float32), "table")
    graph = helper.make_graph(
        [helper.make_node("Gather", ["table", name], ["embedding"])],
        "tower",
        [helper.make_tensor_value_info(name, TensorProto.INT64, ["n"])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["n", embeddings.shape[1]])],
        [table],
    )
    opset = helper.make_opsetid("", 17)
    return onnx.helper.make_model(graph, opset_imports=[opset], ir_version=9).SerializeToString()


def history_tower(items: int, works: int) -> bytes:
    """An ONNX graph of a feature, `work`, and a history: a row for each work, plus a mean."""
    rng = np.random.default_rng(7)
    tables = {"items": (items + 1, 4), "works": (works, 4)}
    graph = helper.make_graph(
        [
            helper.make_node("Gather", ["items", "history"], ["had"]),
            helper.make_node("ReduceMean", ["had"], ["mean"], axes=[1], keepdims=0),
            helper.make_node("Gather", ["works", "work"], ["own"]),
            helper.make_node("Add", ["mean", "own"], ["embedding"]),
        ],
        "tower",
        [
            helper.make_tensor_value_info("history", TensorProto.INT64, ["n", "w"]),
            helper.make_tensor_value_info("work", TensorProto.INT64, ["n"]),
        ],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["n", 4])],
        [
            numpy_helper.from_array(rng.normal(size=shape).astype(np.float32), name)
            for name, shape in tables.items()
        ],
    )
    opset = helper.make_opsetid("", 17)
    return onnx.helper.make_model(graph, opset_imports=[opset], ir_version=9).SerializeToString()


class Parts:
    """What a bundle is made of: 5 users, 8 films unless said otherwise, 4 dimensions."""

    def __init__(self, seed: int = 0, text_ids: bool = True, items: int = 8) -> None:
        rng = np.random.default_rng(seed)
        self.users = Vocabulary([f"u{n}" for n in range(5)] if text_ids else list(range(10, 15)))
        self.item_ids = (
            [f"f{n}" for n in range(items)] if text_ids else list(range(100, 100 + items))
        )
        self.user_embeddings = rng.normal(size=(6, 4)).astype(np.float32)
        self.item_embeddings = rng.normal(size=(items, 4)).astype(np.float32)
        self.items = pl.DataFrame(
            {
                "id": self.item_ids,
                "title": [f"Film {n}" for n in range(items)],
                "year": range(1990, 1990 + items),
            }
        )
        users = self.users.ids.tolist()
        self.interactions = pl.DataFrame(
            {
                "user_id": [users[0], users[1], users[0], users[2]],
                "item_id": [self.item_ids[n] for n in (3, 1, 5, 0)],
            }
        )

    @property
    def index(self) -> Index:
        return Index.build(self.item_embeddings, self.item_ids)

    def save(self, path: Path) -> Manifest:
        return Bundle.save(
            path,
            query_tower=lookup_tower(self.user_embeddings),
            users=self.users,
            index=self.index,
            items=self.items,
            interactions=self.interactions,
            run={"name": "test", "seed": 0, "metrics": {"hit_rate@10": 0.5}},
        )

    def save_whole(self, path: Path) -> Manifest:
        """Save a bundle that has every file a bundle can have."""
        people = pl.DataFrame({"work": ["baker", "writer", "baker"]})
        genres = FeatureSpec({"genre": Category()}).adapt({"genre": ["war", "love"]})
        return Bundle.save(
            path,
            query_tower=history_tower(len(self.item_ids), 3),
            users=self.users,
            user_embeddings=self.user_embeddings,
            features=FeatureSpec({"work": Category()}).adapt(people),
            candidate_tower=CandidateTower(lookup_tower(self.item_embeddings[:3], "genre"), genres),
            index=self.index,
            items=self.items,
            interactions=self.interactions,
            run={"name": "test", "seed": 0, "metrics": {"hit_rate@10": 0.5}},
        )

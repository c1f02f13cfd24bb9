"""Bundles to follow a live state with."""

from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from shortlist.bundle import Bundle, CandidateTower
from shortlist.data.features import FeatureSpec, Number

from ..bundle.parts import Parts, lookup_tower


def year_tower() -> CandidateTower:
    """Embeds an item as (year, 1, 0, 0); 0 where no year is known."""
    to_row = numpy_helper.from_array(np.array([[1, 0, 0, 0]], np.float32), "to_row")
    one = numpy_helper.from_array(np.array([0, 1, 0, 0], np.float32), "one")
    axis = numpy_helper.from_array(np.array([1], np.int64), "axis")
    graph = helper.make_graph(
        [
            helper.make_node("Unsqueeze", ["year", "axis"], ["column"]),
            helper.make_node("MatMul", ["column", "to_row"], ["spread"]),
            helper.make_node("Add", ["spread", "one"], ["embedding"]),
        ],
        "tower",
        [helper.make_tensor_value_info("year", TensorProto.FLOAT, ["n"])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["n", 4])],
        [to_row, one, axis],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    features = FeatureSpec({"year": Number(scale="none", mean=0.0, offset=0.0, factor=1.0)})
    return CandidateTower(model.SerializeToString(), features)


def saved(path: Path, parts: Parts | None = None, **options: object) -> Bundle:
    parts = parts or Parts()
    Bundle.save(
        path,
        query_tower=lookup_tower(parts.user_embeddings),
        users=parts.users,
        index=parts.index,
        items=parts.items,
        interactions=parts.interactions,
        **options,
    )
    return Bundle.load(path)

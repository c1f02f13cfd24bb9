"""Wrote the files beside it; run once for a format version, never again for the same one.

    python tests/index/golden/make.py v4

A file of a released version is what users have on disk. If a test on it fails, mend the reader.
"""

import json
import sys
from pathlib import Path

import numpy as np

from shortlist.index import Index, IndexConfig, SearchSettings

KINDS = {
    "v1": {
        "exact-dot": ("dot", None, IndexConfig(exact=True)),
        "leaves-dot-int": ("dot", np.arange(300) * 5 - 40, IndexConfig(leaves=12)),
        "leaves-cosine-str": (
            "cosine",
            [f"film {i} é" for i in range(300)],
            IndexConfig(leaves=12, codes="int4"),
        ),
        "leaves-l2": ("l2", None, IndexConfig(leaves=12, codes="pq4")),
    },
    "v2": {
        "bfloat16-dot": ("dot", None, IndexConfig(leaves=12, store="bfloat16")),
        "int8-l2": ("l2", None, IndexConfig(leaves=12, codes="int4", store="int8")),
    },
    "v3": {
        "spread-dot": ("dot", None, IndexConfig(leaves=6, tier=20, spread=2.0)),
        "bfloat16-cosine-str": (
            "cosine",
            [f"film {i} é" for i in range(300)],
            IndexConfig(leaves=4, store="bfloat16"),
        ),
        "pq4-l2": ("l2", None, IndexConfig(leaves=4, codes="pq4")),
    },
    "v4": {
        "wide-dot-int": ("dot", np.arange(300) * 5 - 40, IndexConfig(leaves=12, store="bfloat16")),
        "int4-cosine-str": (
            "cosine",
            [f"film {i} é" for i in range(300)],
            IndexConfig(leaves=4, codes="int4", store="int8"),
        ),
        "int4-l2": ("l2", None, IndexConfig(leaves=4, codes="int4")),
    },
}


def main(version: str) -> None:
    folder = Path(__file__).parent
    rng = np.random.default_rng(1)
    dim = 70 if version == "v4" else 10
    rows = rng.standard_normal((300, dim), dtype=np.float32)
    queries = rng.standard_normal((4, dim), dtype=np.float32)
    for kind, (metric, ids, config) in KINDS[version].items():
        index = Index.build(rows, ids, metric=metric, config=config)
        if not config.exact:
            index.settings = SearchSettings(leaves=4, rerank=30, stop=0.25)
        index.save(folder / f"{version}-{kind}.slx")
        found = index.search(queries, 6, settings=SearchSettings(exact=True))
        told = {
            "metric": metric,
            "leaves": index.config.leaves,
            "store": index.config.store,
            "default": [index.settings.exact, index.settings.leaves, index.settings.rerank],
            "last_id": index.ids.tolist()[-1],
            "queries": queries.tolist(),
            "rows": found.rows.tolist(),
            "ids": found.ids.tolist(),
            "scores": found.scores.tolist(),
        }
        (folder / f"{version}-{kind}.json").write_text(json.dumps(told))


if __name__ == "__main__":
    main(sys.argv[1])

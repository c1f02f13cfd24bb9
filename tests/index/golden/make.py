"""Wrote the files beside it; run once for a format version, never again for the same one.

    python tests/index/golden/make.py v1

A file of a released version is what users have on disk. If a test on it fails, mend the reader.
"""

import json
import sys
from pathlib import Path

import numpy as np

from shortlist.index import Index, IndexConfig, SearchSettings

TEXT = [f"film {i} é" for i in range(300)]
NUMBERS = np.arange(300) * 5 - 40
KINDS = {
    "v1": {
        "exact-dot": ("dot", 10, None, IndexConfig(exact=True)),
        "leaves-dot-int": ("dot", 10, NUMBERS, IndexConfig(leaves=12)),
        "tier-spread-dot": ("dot", 10, None, IndexConfig(leaves=6, tier=20, spread=2.0)),
        "int4-cosine-str": ("cosine", 10, TEXT, IndexConfig(leaves=12, codes="int4")),
        "pq4-l2": ("l2", 10, None, IndexConfig(leaves=12, codes="pq4")),
        "bfloat16-cosine-str": ("cosine", 10, TEXT, IndexConfig(leaves=4, store="bfloat16")),
        "int8-l2": ("l2", 10, NUMBERS, IndexConfig(leaves=12, codes="int4", store="int8")),
        "wide-dot": ("dot", 70, None, IndexConfig(leaves=12, store="bfloat16")),
    },
}


def main(version: str) -> None:
    folder = Path(__file__).parent
    rng = np.random.default_rng(1)
    for kind, (metric, dim, ids, config) in KINDS[version].items():
        rows = rng.standard_normal((300, dim), dtype=np.float32)
        queries = rng.standard_normal((4, dim), dtype=np.float32)
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

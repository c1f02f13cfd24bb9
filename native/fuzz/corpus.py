"""Writes small index files of every kind into a folder: what fuzzing begins with.

python native/fuzz/corpus.py build/fuzz/corpus
"""

import itertools
import sys
from pathlib import Path

import numpy as np

from shortlist import Index, IndexConfig, SearchSettings


def main(folder: Path) -> None:
    """Writes the files into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    kinds = itertools.product(
        ("dot", "cosine", "l2"), ("int8", "int4", "pq4"), ("float32", "bfloat16", "int8")
    )
    for number, (metric, codes, store) in enumerate(kinds):
        dim = 65 if number == 4 else 1 + number % 5  # from 64 on centroids have codes of their own
        rows = rng.standard_normal((24, dim), dtype=np.float32)
        ids = (None, np.arange(24) * 3, [f"é{i}" for i in range(24)])[number % 3]
        config = IndexConfig(leaves=4, codes=codes, store=store, tier=number % 3, spread=number % 2)
        index = Index.build(rows, ids, metric=metric, config=config)
        index.settings = SearchSettings(leaves=2, rerank=6, exact=number % 7 == 0)
        index.save(folder / f"{metric}-{codes}-{store}.slx")
        if number % 9 == 0:
            (folder / f"codebook-{number}.slx").write_bytes(index.codebook.to_bytes())


if __name__ == "__main__":
    main(Path(sys.argv[1]))

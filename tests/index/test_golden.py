"""Files of every released format version load, and answer as they did when they were written."""

import json
from pathlib import Path

import numpy as np
import pytest

from shortlist.index import Index, SearchSettings

GOLDEN = sorted((Path(__file__).parent / "golden").glob("*.slx"))


def test_there_are_files_of_every_version():
    assert {path.name.split("-")[0] for path in GOLDEN} == {"v1"}


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
@pytest.mark.parametrize("mmap", [False, True])
def test_an_old_file_answers_as_it_did(path, mmap):
    told = json.loads(path.with_suffix(".json").read_text())
    index = Index.load(path, mmap=mmap)
    assert index.metric == told["metric"]
    assert index.ids.tolist()[-1] == told["last_id"]
    assert (index.config.leaves, index.config.store) == (told["leaves"], told["store"])
    default = index.settings
    assert [default.exact, default.leaves, default.rerank] == told["default"]
    queries = np.array(told["queries"], np.float32)
    found = index.search(queries, 6, settings=SearchSettings(exact=True))
    assert found.rows.tolist() == told["rows"]
    assert found.ids.tolist() == told["ids"]
    np.testing.assert_allclose(found.scores, told["scores"], rtol=1e-6)
    assert (index.search(queries, 6).rows >= 0).all()

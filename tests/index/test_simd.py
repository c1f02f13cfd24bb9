"""Every instruction set gives the answers that the scalar specification gives."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from shortlist import _native

CPUINFO = Path("/proc/cpuinfo")
SCRIPT = """
import json, sys
import numpy as np
from shortlist import _native
from shortlist.index import Index, IndexConfig, SearchSettings

answers = {}
for dim in (1, 7, 16, 33, 100):
    rng = np.random.default_rng(dim)
    rows = rng.standard_normal((2_000, dim), dtype=np.float32)
    queries = rng.standard_normal((10, dim), dtype=np.float32)
    for metric in ("dot", "cosine", "l2"):
        for codes in ("int8", "int4", "pq4"):
            store = {"int8": "float32", "int4": "bfloat16", "pq4": "int8"}[codes]
            config = IndexConfig(leaves=30, codes=codes, store=store)
            index = Index.build(rows, metric=metric, config=config)
            for settings in (SearchSettings(exact=True), SearchSettings(leaves=8, rerank=40)):
                for batch in (queries, *queries[:2]):
                    found = index.search(batch, 10, settings=settings)
                    name = f"{dim} {metric} {codes} {settings.exact} {batch.shape}"
                    answers[name] = (found.rows.tolist(), found.scores.tolist())
print(json.dumps([_native.simd_level(), answers]))
"""


def answers_at(level):
    environment = {**os.environ, "SHORTLIST_SIMD": level}
    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, timeout=300
    )
    assert ran.returncode == 0, ran.stderr
    chosen, answers = json.loads(ran.stdout)
    assert chosen == level
    return answers


@pytest.fixture(scope="module")
def specification():
    return answers_at("scalar")


@pytest.mark.parametrize("level", [name for name in _native.simd_levels() if name != "scalar"])
def test_a_level_answers_as_scalar_does(level, specification):
    answers = answers_at(level)
    assert answers.keys() == specification.keys()
    for name, (rows, scores) in answers.items():
        assert rows == specification[name][0], name
        np.testing.assert_allclose(
            scores, specification[name][1], rtol=1e-5, atol=1e-5, err_msg=name
        )


def test_an_unknown_level_is_named():
    environment = {**os.environ, "SHORTLIST_SIMD": "mmx"}
    ran = subprocess.run(
        [sys.executable, "-c", "from shortlist import _native; _native.simd_level()"],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert ran.returncode != 0
    assert "SHORTLIST_SIMD must be one of" in ran.stderr


@pytest.mark.skipif(not CPUINFO.is_file(), reason="Linux says there what the processor can do")
def test_the_levels_are_what_the_processor_can_do() -> None:
    listed = re.search(r"^flags\s*:(.*)$", CPUINFO.read_text(), re.MULTILINE)
    if listed is None:
        pytest.skip("not an x86 processor")
    flags = set(listed[1].split())
    needed = {
        "avx512": {f"avx512{part}" for part in ("f", "bw", "dq", "vl", "_vnni")} | {"avx512vbmi"},
        "avx2": {"avx2", "fma"},
    }
    levels = [level for level, wanted in needed.items() if wanted <= flags]
    assert list(_native.simd_levels()) == [*levels, "scalar"]

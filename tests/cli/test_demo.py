import os
from pathlib import Path

import pytest

HIT_RATES = {"hit_rate@10", "hit_rate@100"}
ML100K = Path(os.environ.get("SHORTLIST_ML100K", "../shared/data/ml-100k"))


def test_the_demo_runs_the_whole_job_on_real_ratings(answer) -> None:
    if not (ML100K / "u.data").is_file():
        pytest.skip("MovieLens 100k is not here; name its folder by SHORTLIST_ML100K")
    document = answer("demo", "--dataset", "ml-100k", "--data-dir", str(ML100K))
    assert document["dataset"]["interactions"] == 100_000
    assert document["dataset"]["train"] == 80_000
    for seen in ("exclude_seen", "keep_seen"):
        assert set(document["metrics"][seen]) == HIT_RATES
    ours = document["metrics"]["exclude_seen"]
    popularity = document["baselines"]["Popularity"]["exclude_seen"]
    assert ours["hit_rate@100"] > 0.58 > 0.45 > popularity["hit_rate@100"]
    assert len(document["recommendations"]) == 10
    assert set(document["recommendations"][0]) == {"id", "title", "score"}
    assert document["user"] == 42
    assert document["seconds"] > 0


def test_an_unknown_user_is_told_before_the_training(fail) -> None:
    code, said = fail("demo", "--user", "9999")
    assert code == 3
    assert said.startswith("error: unknown user '9999'; ")

import pytest

from shortlist.bundle import Bundle


def test_the_bundle_says_how_it_came_about(bundle, ratings) -> None:
    run = Bundle.load(bundle).run
    assert run["data"]["name"] == "ratings.csv"
    assert run["arguments"]["embedding_dim"] == 8
    assert run["history"]["best_epoch"] <= 3
    assert 0 < run["metrics"]["hit_rate@10"] <= 1
    assert str(ratings.parent) not in str(run)


def test_what_stands_there_and_is_no_bundle_is_kept(fail, ratings, tmp_path) -> None:
    (tmp_path / "precious.txt").write_text("mine")
    code, _ = fail("train", str(tmp_path), "--dataset", str(ratings), "--epochs", "1")
    assert code == 4
    assert (tmp_path / "precious.txt").read_text() == "mine"


@pytest.mark.parametrize("share", ["0", "1.5", "x"])
def test_a_share_out_of_range_is_wrong_usage(fail, tmp_path, share) -> None:
    assert fail("train", str(tmp_path / "b"), "--test", share)[0] == 2

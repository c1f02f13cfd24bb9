import pytest

from shortlist.bundle import Bundle


def test_the_figures_of_the_training_come_again(answer, bundle, ratings) -> None:
    document = answer("evaluate", str(bundle), "--dataset", str(ratings))
    trained = Bundle.load(bundle).run["metrics"]
    assert document["exclude_seen"] is True
    assert document["metrics"] == pytest.approx(trained, abs=1e-6)
    assert "hit_rate@10" in document["baselines"]["Popularity"]


def test_seen_items_can_be_kept(answer, bundle, ratings) -> None:
    document = answer(
        "evaluate", str(bundle), "--dataset", str(ratings), "--keep-seen", "--ks", "3"
    )
    assert document["exclude_seen"] is False
    assert "hit_rate@3" in document["metrics"]


def test_other_data_are_refused(fail, bundle, tmp_path) -> None:
    other = tmp_path / "other.csv"
    other.write_text("user_id,item_id\n1,2\n2,3\n")
    code, said = fail("evaluate", str(bundle), "--dataset", str(other))
    assert code == 3
    assert "does not hold the interactions this bundle was trained on" in said


def test_a_file_must_be_named(fail, bundle) -> None:
    code, said = fail("evaluate", str(bundle))
    assert code == 3
    assert "name the file it was trained on, 'ratings.csv', with --dataset" in said


@pytest.mark.parametrize("ks", ["0", "a", "1,,2"])
def test_ranks_must_be_numbers(fail, bundle, ks) -> None:
    assert fail("evaluate", str(bundle), "--ks", ks)[0] == 2

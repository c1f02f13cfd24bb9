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


def test_exact_search_stands_beside_the_tuned(answer, bundle, ratings) -> None:
    document = answer("evaluate", str(bundle), "--dataset", str(ratings), "--ks", "1,10")
    retrieval = document["retrieval"]
    assert 0.9 <= retrieval["recall@10"] <= 1.0
    assert retrieval["tuned"]["hit_rate@10"] == document["metrics"]["hit_rate@10"]
    assert retrieval["exact"]["hit_rate@10"] == pytest.approx(
        document["metrics"]["hit_rate@10"], abs=0.05
    )
    assert retrieval["exact"]["queries_per_second"] > 0


def test_baselines_are_measured_on_request(answer, fail, bundle, ratings) -> None:
    asked = ["evaluate", str(bundle), "--dataset", str(ratings), "--ks", "10", "--baselines"]
    document = answer(*asked, "ease,Popularity")
    assert set(document["baselines"]) == {"EASE", "Popularity"}
    code, said = fail(*asked, "magic")
    assert code == 2
    assert "Popularity, ItemKNN, EASE, IALS" in " ".join(said.split())

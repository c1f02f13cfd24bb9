import json
import shutil

import pytest

from shortlist.bundle import Bundle
from shortlist.cli.app import run


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


def test_figures_are_kept_for_the_report_on_request(
    answer, fail, bundle, ratings, tmp_path
) -> None:
    copy = tmp_path / "films"
    shutil.copytree(bundle, copy)
    assert run(["tune", str(copy)]) == 0
    asked = ["evaluate", str(copy), "--dataset", str(ratings), "--ks", "3,10", "--save"]
    document = answer(*asked, "--baselines", "EASE,Popularity")
    kept = Bundle.load(copy).run
    assert kept["metrics"] == document["metrics"]
    assert kept["baselines"] == document["baselines"]
    assert kept["retrieval"] == document["retrieval"]
    assert kept["history"] == Bundle.load(bundle).run["history"]
    answer("report", str(copy))
    page = (tmp_path / "films-report.html").read_text("utf-8")
    assert '<td class="name">EASE</td>' in page
    assert f"hit rate@10 of {document['retrieval']['exact']['hit_rate@10']:.4f} by exact" in page
    assert run(["tune", str(copy)]) == 0  # other settings: what was measured is forgotten
    answer("report", str(copy))
    assert "by exact" not in (tmp_path / "films-report.html").read_text("utf-8")
    code, said = fail(*asked, "--keep-seen")
    assert code == 2
    assert "without --keep-seen" in said


def test_baselines_are_measured_on_request(answer, fail, bundle, ratings) -> None:
    asked = ["evaluate", str(bundle), "--dataset", str(ratings), "--ks", "10", "--baselines"]
    document = answer(*asked, "ease,Popularity")
    assert set(document["baselines"]) == {"EASE", "Popularity"}
    code, said = fail(*asked, "magic")
    assert code == 2
    assert "Popularity, ItemKNN, EASE, IALS" in " ".join(said.split())


def test_a_baseline_that_does_not_fit_in_memory_is_left_out_and_named(
    bundle, ratings, monkeypatch, capsys
) -> None:
    from shortlist.evaluation.baselines import linear

    monkeypatch.setattr(linear, "_memory", lambda: 1)
    asked = ["evaluate", str(bundle), "--dataset", str(ratings), "--baselines", "EASE,Popularity"]
    assert run([*asked, "--json"]) == 0
    printed = capsys.readouterr()
    assert set(json.loads(printed.out)["baselines"]) == {"Popularity"}
    assert "left out: EASE of 60 items needs about 0 GB" in " ".join(printed.err.split())

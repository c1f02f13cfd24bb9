import pytest

from shortlist.bundle import Bundle
from shortlist.cli.tune import MAX_K as MOST
from shortlist.index import MAX_K


def test_k_goes_as_far_as_that_of_an_index() -> None:
    assert MOST == MAX_K


def test_what_was_found_is_saved_in_the_bundle(answer, bundle, tmp_path) -> None:
    import shutil

    copy = tmp_path / "films"
    shutil.copytree(bundle, copy)
    document = answer("tune", str(copy), "--recall", "0.9", "-k", "5")
    saved = Bundle.load(copy)
    assert document["saved"] is True
    assert document["reached"] is True
    assert document["recall"] >= 0.9
    low, high = document["interval"]
    assert low <= document["recall"] <= high
    assert saved.index.settings.rerank == document["settings"]["rerank"]
    assert saved.run["tuning"]["recall"] == document["recall"]
    assert saved.run["metrics"] == Bundle.load(bundle).run["metrics"]


def test_a_dry_run_leaves_the_bundle_as_it_is(answer, bundle) -> None:
    before = {path.name: path.read_bytes() for path in bundle.iterdir()}
    assert answer("tune", str(bundle), "--dry-run")["saved"] is False
    assert {path.name: path.read_bytes() for path in bundle.iterdir()} == before


def test_a_time_that_nothing_meets_is_said(answer, bundle) -> None:
    document = answer("tune", str(bundle), "--dry-run", "--latency-p99", "0.001us")
    assert document["latency_p99_limit"] == 0.001
    assert document["why"].startswith("nothing measured answers within 0.001us at p99")


def test_a_time_without_a_recall_gives_the_best_recall_within_it(answer, bundle) -> None:
    document = answer("tune", str(bundle), "--dry-run", "--latency-p99", "1s")
    assert document["recall"] >= 0.999
    assert document["why"] == "the best recall measured within 1s at p99."
    both = answer("tune", str(bundle), "--dry-run", "--latency-p99", "1s", "--recall", "0.5")
    assert both["target"] == 0.5
    assert "0.5 within 1s at p99" in both["why"]


def test_the_frontier_and_the_choice_are_shown(capsys, bundle) -> None:
    from shortlist.cli.app import run

    assert run(["tune", str(bundle), "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert "Recall@10 against time" in shown
    assert "Chosen:" in shown
    assert "Why: " in shown


@pytest.mark.parametrize("time", ["1", "ms", "0ms", "-1ms", "1 hour"])
def test_a_time_needs_a_number_and_a_unit(fail, bundle, time) -> None:
    code, said = fail("tune", str(bundle), "--latency-p99", time)
    assert code == 2
    assert "200us or 1ms" in " ".join(said.split())

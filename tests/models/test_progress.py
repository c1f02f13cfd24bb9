import time

import pytest

from shortlist.models.progress import TrainingProgress


def test_without_a_terminal_every_epoch_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    with TrainingProgress(epochs=2, batches=10, shown=None) as progress:
        for _ in range(10):
            progress.advance()
        progress.measuring("hit_rate@10")
        progress.epoch(1.5, "hit_rate@10", 0.25)
        for _ in range(10):
            progress.advance()
        progress.epoch(1.25, "hit_rate@10", None)
    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert out == ""
    assert lines[0] == "training: 2 epochs of 10 batches"
    assert lines[1].startswith("training: epoch 1/2, loss 1.5000, hit_rate@10 0.2500; ")
    assert "batches a second" in lines[1]
    assert "left" in lines[1]
    assert lines[2].startswith("training: epoch 2/2, loss 1.2500; ")
    assert lines[2].endswith("at most 0 s left")


def test_a_long_epoch_says_how_far_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    err = ""
    with TrainingProgress(3, 1_000, shown=None, line_seconds=0.01) as progress:
        for _ in range(7):
            progress.advance()
        while "batch 7" not in err:
            time.sleep(0.01)
            err += capsys.readouterr().err
        progress.measuring("recall@5")
        while "measuring recall@5" not in err:
            time.sleep(0.01)
            err += capsys.readouterr().err
    assert "training: epoch 1/3, batch 7 of 1,000, learning; " in err
    assert "batches a second" in err


def test_false_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with TrainingProgress(1, 1, shown=False) as progress:
        assert not progress.shown
        progress.advance()
        progress.epoch(1.0, "recall@5", None)
    assert capsys.readouterr().err == ""

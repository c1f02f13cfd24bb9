import re
import time
from pathlib import Path

import pytest

from shortlist.models.progress import TrainingProgress


def test_without_a_terminal_every_epoch_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    with TrainingProgress(shown=None) as progress:
        progress.start(epochs=2, batches=10, rows=95)
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
    assert lines[0] == "training: 2 epochs of 10 batches, 95 interactions in each"
    assert lines[1].startswith("training: epoch 1/2, loss 1.5000, hit_rate@10 0.2500; ")
    assert "interactions a second" in lines[1]
    assert "left" in lines[1]
    assert lines[2].startswith("training: epoch 2/2, loss 1.2500; ")
    assert lines[2].endswith("at most 0 s left")


def said_until(capsys: pytest.CaptureFixture[str], wanted: str) -> str:
    err = ""
    while wanted not in err:
        time.sleep(0.01)
        err += capsys.readouterr().err
    return err


def test_a_long_epoch_says_how_far_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    with TrainingProgress(shown=None, line_seconds=0.01) as progress:
        assert "training: preparing; " in said_until(capsys, "so far")
        progress.start(3, 1_000, 8_000, "users")
        for _ in range(7):
            progress.advance()
        err = said_until(capsys, "batch 7")
        progress.measuring("recall@5")
        said_until(capsys, "measuring recall@5")
    assert "training: epoch 1/3, batch 7 of 1,000, learning; " in err
    assert "users a second" in err


def test_the_rate_is_that_of_this_run_and_counts_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr("shortlist.models.progress.time.perf_counter", lambda: clock[0])
    with TrainingProgress(shown=False) as progress:
        progress.start(3, 1_000, 8_000, done=1_990)  # an earlier run did 1,990 batches
        for _ in range(10):
            clock[0] += 0.5
            progress.advance()
        # 10 batches of 8 rows in 5 s; 1,000 batches more take 500 s
        assert progress.pace() == ("16 interactions a second, 5 s so far, at most 8 min 20 s left")


def test_on_a_terminal_a_bar_shows_epoch_loss_and_pace(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("FORCE_COLOR", "1")  # Rich then takes stderr for a terminal
    with TrainingProgress(shown=True) as progress:
        progress.start(1, 2, 4)
        progress.advance()
        progress.advance()
        progress.epoch(1.5, "recall@5", 0.25)
    err = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", capsys.readouterr().err)
    assert "2/2 epoch 1/1 loss 1.5000, recall@5 0.2500" in " ".join(err.split())
    assert "interactions a second" in err


def test_false_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with TrainingProgress(shown=False) as progress:
        assert not progress.shown
        progress.start(1, 1, 1)
        progress.advance()
        progress.epoch(1.0, "recall@5", None)
        progress.stopped(Path("kept"), 0, 1)
    assert capsys.readouterr().err == ""

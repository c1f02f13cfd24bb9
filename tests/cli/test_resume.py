"""`shortlist train --resume`: whatever ended a training, the bundle is the one it would have been.

`SHORTLIST_KILLS` says how often the training is killed, 2 times if it says nothing.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from shortlist.cli.app import run

KILLS = int(os.environ.get("SHORTLIST_KILLS", "2"))
EPOCHS = str(10 + 10 * KILLS)
OPTIONS = ["--objective", "retrieval", "--epochs", EPOCHS, "--patience", EPOCHS]
OPTIONS += ["--batch-size", "64", "--embedding-dim", "8"]


def started(out: Path, ratings: Path) -> "subprocess.Popen[str]":
    code = "import sys; from shortlist.cli.app import run; sys.exit(run(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "train", str(out), "--dataset", str(ratings)]
    return subprocess.Popen(
        [*command, *OPTIONS, "--resume"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def learnt(out: Path) -> tuple[dict[str, bytes], dict[str, object]]:
    """What a bundle has from the training, but for how long it took."""
    files = {name: (out / name).read_bytes() for name in ("query_tower.onnx", "index.slx")}
    told = json.loads((out / "run.json").read_text())
    told["history"].pop("seconds")
    return files, {name: told[name] for name in ("history", "metrics", "arguments")}


@pytest.fixture(scope="module")
def whole(ratings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "films"
    assert run(["train", str(out), "--dataset", str(ratings), *OPTIONS, "--json"]) == 0
    return out


def test_sigkill_at_any_moment_costs_nothing_but_time(
    whole: Path, ratings: Path, tmp_path: Path
) -> None:
    out, rng = tmp_path / "films", random.Random(0)
    kills = 0
    while kills < KILLS:
        process = started(out, ratings)
        assert process.stderr is not None
        # Every other time perhaps while it starts, reads, or takes up the checkpoint.
        awaited = ("training: epoch", "shortlist: reading")[kills % 2]
        for line in process.stderr:
            if line.startswith(awaited):
                break
        time.sleep(rng.random() * (1, 6)[kills % 2])
        process.kill()
        process.stderr.close()
        ended = process.wait()
        assert ended in (0, -signal.SIGKILL)
        if ended == 0:  # it was done before
            break
        kills += 1
    assert kills > 0
    command = ["train", str(out), "--dataset", str(ratings), *OPTIONS]
    assert run([*command, "--resume", "--json"]) == 0
    assert learnt(out) == learnt(whole)
    assert [path.name for path in tmp_path.iterdir()] == ["films"]


def test_sigterm_ends_the_command_at_a_step_and_says_how_to_go_on(
    whole: Path, ratings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "films"
    process = started(out, ratings)
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("training: epoch 2/"):
            break
    process.send_signal(signal.SIGTERM)
    said = process.stderr.read()
    process.stderr.close()
    assert process.wait() == 128 + signal.SIGTERM
    assert "training: stopped by SIGTERM in epoch" in said
    assert f"resume goes on from {out}.checkpoint" in said
    command = ["train", str(out), "--dataset", str(ratings), *OPTIONS]
    assert run([*command[:-1], "4", "--resume"]) == 3
    assert "query_tower.embedding_dim was 8 and is 4" in capsys.readouterr().err
    assert run([*command, "--resume"]) == 0
    assert "training: going on from" in capsys.readouterr().err
    assert learnt(out) == learnt(whole)

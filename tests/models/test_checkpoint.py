import resource
import signal
from pathlib import Path

import numpy as np
import pytest

from shortlist.models.checkpoint import Checkpoint, CheckpointError, remove_checkpoint

ARRAYS = {
    "weights": [np.arange(6, dtype=np.float32).reshape(2, 3), np.array(7, np.uint32)],
    "best": [],
}
STATE = {"epoch": 3, "loss": [0.1, 1 / 3]}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "runs" / "films.checkpoint"


def test_what_was_written_last_is_read_bit_by_bit(path: Path) -> None:
    checkpoint = Checkpoint(path, {"epochs": 7})
    assert checkpoint.read() is None
    checkpoint.write({"epoch": 2}, {"weights": [np.zeros(9)]})
    checkpoint.write(STATE, ARRAYS)
    read = Checkpoint(path, {"epochs": 7}).read()
    assert read is not None
    state, arrays = read
    assert state == STATE
    assert arrays["best"] == []
    for array, written in zip(arrays["weights"], ARRAYS["weights"], strict=True):
        np.testing.assert_array_equal(array, written)
        assert array.dtype == written.dtype
    assert [file.name for file in path.parent.iterdir()] == ["films.checkpoint"]


def test_bfloat16_is_kept_as_float32(path: Path) -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    Checkpoint(path, {}).write({}, {"weights": [np.array([1.5], ml_dtypes.bfloat16)]})
    read = Checkpoint(path, {}).read()
    assert read is not None
    assert (read[1]["weights"][0].dtype, read[1]["weights"][0][0]) == (np.float32, 1.5)


def test_another_training_is_refused_and_what_differs_is_named(path: Path) -> None:
    settings = {"epochs": 7, "tower": {"dim": 32}, "train": {"sha256": "a"}, "shapes": [(2, 3)]}
    Checkpoint(path, settings).write(STATE, ARRAYS)
    assert Checkpoint(path, settings).read() is not None
    others = {**settings, "epochs": 9, "tower": {"dim": 16}, "train": {"sha256": "b"}}
    with pytest.raises(CheckpointError) as refused:
        Checkpoint(path, others).read()
    assert str(refused.value) == (
        f"{path} is the checkpoint of another training: epochs was 7 and is 9; tower.dim was 32 "
        "and is 16; train differs. Go on with what was given then, or start anew without resuming."
    )


def test_what_is_no_checkpoint_is_refused_and_kept(path: Path) -> None:
    path.parent.mkdir()
    array = path.with_name("array.npy")
    np.save(array, np.arange(3))
    text = path.with_name("notes.txt")
    text.write_text("mine")
    for file in (array, text):
        with pytest.raises(CheckpointError, match="is no checkpoint, or is damaged"):
            Checkpoint(file, {})
    with pytest.raises(CheckpointError, match="no plain file"):
        Checkpoint(path.parent, {})
    assert text.read_text() == "mine"


def test_damage_is_found(path: Path) -> None:
    Checkpoint(path, {}).write(STATE, ARRAYS)
    whole = path.read_bytes()
    at = whole.index(ARRAYS["weights"][0].tobytes())
    path.write_bytes(whole[:at] + b"\x01" + whole[at + 1 :])
    with pytest.raises(CheckpointError, match="damaged"):
        Checkpoint(path, {}).read()
    path.write_bytes(whole[:-100])
    with pytest.raises(CheckpointError, match="damaged"):
        Checkpoint(path, {})


def test_a_full_disk_keeps_the_last_one_and_leaves_nothing_beside_it(path: Path) -> None:
    checkpoint = Checkpoint(path, {})
    checkpoint.write(STATE, ARRAYS)
    before = path.read_bytes()
    limits, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.getsignal(signal.SIGXFSZ)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4_000, limits[1]))
    try:
        with pytest.raises(OSError, match=r"cannot be written .* the one before it, if any, is as"):
            checkpoint.write(STATE, {"weights": [np.zeros(10_000)]})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == ["films.checkpoint"]


def test_removing_takes_what_a_killed_process_left_too(path: Path) -> None:
    Checkpoint(path, {}).write(STATE, ARRAYS)
    (path.parent / ".films.checkpoint.x1.partial").write_text("half")
    (path.parent / "films").mkdir()
    remove_checkpoint(path)
    remove_checkpoint(path)
    assert [file.name for file in path.parent.iterdir()] == ["films"]

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from shortlist.bundle import Bundle, BundleError
from shortlist.bundle.atomic import replaced_folder

from .parts import Parts

KILLS = int(os.environ.get("SHORTLIST_KILLS", "5"))

SAVER = """
import sys
sys.path.insert(0, sys.argv[1])
from tests.bundle.parts import Parts
old, new = Parts(1), Parts(2)
print("ready", flush=True)
for number in range(1_000_000):
    (old if number % 2 else new).save(sys.argv[2])
"""


def test_a_failed_save_leaves_the_old_bundle_and_no_rubbish(parts: Parts, saved: Path):
    def fail_halfway() -> None:
        with replaced_folder(saved) as folder:
            (folder / "half").write_text("written")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_halfway()
    assert Bundle.load(saved).run["name"] == "test"
    assert [path.name for path in saved.parent.iterdir()] == ["model"]


def test_a_folder_that_is_no_bundle_is_not_replaced(parts: Parts, tmp_path: Path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_bytes(b"")
    with pytest.raises(BundleError, match="holds something other than a bundle"):
        parts.save(tmp_path / "photos")
    with pytest.raises(BundleError, match="is a file"):
        parts.save(tmp_path / "photos" / "cat.jpg")
    (tmp_path / "link").symlink_to(tmp_path / "photos")
    with pytest.raises(BundleError, match="is a link"):
        parts.save(tmp_path / "link")
    assert (tmp_path / "photos" / "cat.jpg").exists()


def test_killed_at_any_moment_there_is_a_whole_bundle_old_or_new(tmp_path: Path):
    """SHORTLIST_KILLS sets how many moments are tried."""
    target = tmp_path / "model"
    Parts(1).save(target)
    moments = random.Random(5)
    root = str(Path(__file__).parents[2])
    for _ in range(KILLS):
        saver = subprocess.Popen(
            [sys.executable, "-c", SAVER, root, str(target)], stdout=subprocess.PIPE
        )
        assert saver.stdout is not None
        assert saver.stdout.readline() == b"ready\n"
        time.sleep(moments.uniform(0, 0.1))
        saver.send_signal(signal.SIGKILL)
        saver.wait()
        saver.stdout.close()
        found = Bundle.load(target)
        old, new = Parts(1), Parts(2)
        embedding = found.tower.embed(["u0"]).tolist()
        which = [old, new][embedding == new.user_embeddings[1:2].tolist()]
        assert embedding == which.user_embeddings[1:2].tolist()
        assert found.index.search(which.user_embeddings[0], 3).ids.tolist() == (
            which.index.search(which.user_embeddings[0], 3).ids.tolist()
        )
    Parts(1).save(target)
    assert [path.name for path in tmp_path.iterdir()] == ["model"], "leftovers are cleaned up"

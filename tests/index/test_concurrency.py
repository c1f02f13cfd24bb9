"""Threads, forks, progress and Ctrl-C."""

import itertools
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from shortlist.index import Index, IndexConfig, SearchSettings


def made(n=20_000, dim=16, **config):
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((n, dim), dtype=np.float32)
    return Index.build(rows, config=IndexConfig(**config)), rows[:64]


def test_many_threads_may_search_one_index():
    index, queries = made(leaves=100)
    kinds = [
        {},
        {"settings": SearchSettings(exact=True)},
        {"exclude": [[i] for i in range(64)]},
        {"allow": np.arange(500)},
    ]
    wanted = [index.search(queries, **kind).rows.tolist() for kind in kinds]

    def search(task):
        return index.search(queries, threads=1 + task % 2, **kinds[task % 4]).rows.tolist()

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(search, range(80)))
    assert all(rows == wanted[task % 4] for task, rows in enumerate(found))


def test_a_search_keeps_the_settings_it_began_with():
    index, queries = made(60_000, leaves=200)
    many = np.tile(queries, (20, 1))
    kinds = [SearchSettings(leaves=1, rerank=10, stop=0), SearchSettings(exact=True)]
    wanted = [index.search(many, 10, settings=kind, threads=1).rows.tolist() for kind in kinds]
    assert wanted[0] != wanted[1]
    with ThreadPoolExecutor(1) as pool:
        for _ in range(5):
            index.settings = kinds[0]
            search = pool.submit(index.search, many, 10, threads=1)
            while not search.done():
                index.settings = kinds[1]
                index.settings = kinds[0]
            assert search.result().rows.tolist() in wanted


def test_searching_releases_the_gil():
    index, queries = made(100_000, exact=True)
    many = np.tile(queries, (40, 1))
    search = threading.Thread(target=index.search, args=(many,), kwargs={"threads": 1})
    search.start()
    turns = sum(1 for _ in itertools.takewhile(lambda _: search.is_alive(), itertools.count()))
    search.join()
    assert turns > 100


def test_progress_rises_to_the_end_of_every_stage():
    told = []
    rows = np.random.default_rng(0).standard_normal((30_000, 16), dtype=np.float32)
    Index.build(rows, config=IndexConfig(leaves=200), progress=lambda *report: told.append(report))
    stages = list(dict.fromkeys(stage for stage, _ in told))
    assert stages
    for stage in stages:
        done = [fraction for name, fraction in told if name == stage]
        assert all(0 <= a <= b <= 1 for a, b in itertools.pairwise(done))
        assert done[-1] == 1


def test_what_progress_raises_stops_the_build():
    class StopBuildingError(Exception):
        pass

    def stop(stage, fraction):
        raise StopBuildingError

    rows = np.random.default_rng(0).standard_normal((30_000, 16), dtype=np.float32)
    with pytest.raises(StopBuildingError):
        Index.build(rows, config=IndexConfig(leaves=200), progress=stop)


LONG_BUILD = """
import time, numpy as np
from shortlist.index import Index, IndexConfig
rows = np.random.default_rng(0).standard_normal((200_000, 64), dtype=np.float32)
config = IndexConfig(leaves=20_000, sample=200_000, iterations=1_000)
print("building", flush=True)
began = time.monotonic()
try:
    Index.build(rows, config=config)
except KeyboardInterrupt:
    print("stopped", flush=True)
"""


def test_ctrl_c_stops_a_build_soon():
    # The build takes minutes; that it stops at all before `timeout` is the point.
    child = subprocess.Popen([sys.executable, "-c", LONG_BUILD], stdout=subprocess.PIPE, text=True)
    with child:
        try:
            assert child.stdout.readline() == "building\n"
            with pytest.raises(subprocess.TimeoutExpired):
                child.wait(1.0)
            child.send_signal(signal.SIGINT)
            rest, _ = child.communicate(timeout=10)
        finally:
            child.kill()
    assert rest == "stopped\n"
    assert child.returncode == 0


FORKED = """
import os, numpy as np
from shortlist.index import Index, IndexConfig
rows = np.random.default_rng(0).standard_normal((5_000, 16), dtype=np.float32)
index = Index.build(rows, config=IndexConfig(leaves=50), threads=2)
wanted = index.search(rows[:50], threads=2).rows.tolist()
child = os.fork()
if child == 0:
    same = index.search(rows[:50], threads=2).rows.tolist() == wanted
    again = Index.build(rows, config=IndexConfig(leaves=50), threads=2)
    same &= again.search(rows[:50], threads=2).rows.tolist() == wanted
    os._exit(0 if same else 3)
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_forked_child_searches_and_builds():
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKED], timeout=60, capture_output=True, text=True
    )
    assert (ran.returncode, ran.stderr) == (0, "")

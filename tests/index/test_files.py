"""Index files: what is saved is what is loaded, and damage is an error, never a crash."""

import errno
import os
import shutil
import struct
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from shortlist.index import Index, IndexConfig, SearchSettings

STORES = ["float32", "bfloat16", "int8"]
GOLDEN = sorted((Path(__file__).parent / "golden").glob("*.slx"))
HEADER, SECTION = struct.Struct("<8sIIQQQQ"), struct.Struct("<HHIQQQ")


def rows_of(n, dim, seed=0):
    return np.random.default_rng(seed).standard_normal((n, dim), dtype=np.float32)


@pytest.mark.parametrize("mmap", [False, True])
@settings(max_examples=25, deadline=None)
@given(
    n=st.integers(1, 400),
    dim=st.integers(1, 40),
    metric=st.sampled_from(["dot", "cosine", "l2"]),
    leaves=st.sampled_from([None, 1, 7]),
    codes=st.sampled_from(["int8", "int4", "pq4"]),
    store=st.sampled_from(STORES),
    ids=st.sampled_from([None, int, str]),
)
def test_save_and_load_change_nothing(
    mmap, tmp_path_factory, n, dim, metric, leaves, codes, store, ids
):
    rows = rows_of(n, dim)
    names = None if ids is None else [ids(i * 3) for i in range(n)]
    leaves = None if leaves is None else min(leaves, n)
    config = IndexConfig(leaves=leaves, codes=codes, store=store)
    index = Index.build(rows, names, metric=metric, config=config)
    index.settings = SearchSettings(leaves=3, rerank=25, stop=0.5)
    path = tmp_path_factory.mktemp("index") / "a.slx"
    index.save(path)
    loaded = Index.load(path, mmap=mmap)
    assert (len(loaded), loaded.dim, loaded.metric) == (n, dim, metric)
    assert (loaded.config, loaded.settings) == (index.config, index.settings)
    assert loaded.ids.tolist() == index.ids.tolist()
    assert loaded.describe() == index.describe()
    for chosen in (None, SearchSettings(exact=True)):
        for queries in (rows[:5], rows[0]):
            before, after = (i.search(queries, 10, settings=chosen) for i in (index, loaded))
            assert [part.tolist() for part in before] == [part.tolist() for part in after]


@pytest.mark.parametrize("store", STORES)
def test_the_same_index_is_the_same_file(store, tmp_path):
    for name in ("a", "b"):
        config = IndexConfig(leaves=20, store=store)
        Index.build(rows_of(2_000, 16), config=config, seed=3).save(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    Index.build(rows_of(2_000, 16), config=config, seed=3, threads=1).save(tmp_path / "one")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "a").read_bytes()
    Index.load(tmp_path / "a", mmap=True).save(tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == (tmp_path / "a").read_bytes()


def test_saving_replaces_a_file_that_is_mapped(tmp_path):
    path = tmp_path / "a.slx"
    first, second = Index.build(rows_of(500, 8)), Index.build(rows_of(600, 8, seed=1))
    first.save(path)
    mapped = Index.load(path, mmap=True)
    second.save(path)
    query = rows_of(1, 8)[0]
    assert mapped.search(query).rows.tolist() == first.search(query).rows.tolist()
    assert len(Index.load(path)) == 600
    assert [file.name for file in tmp_path.iterdir()] == ["a.slx"]


def test_a_file_that_cannot_be_written_or_read_is_an_oserror(tmp_path):
    index = Index.build(rows_of(5, 3))
    with pytest.raises(FileNotFoundError, match="missing"):
        index.save(tmp_path / "missing" / "a.slx")
    with pytest.raises(FileNotFoundError, match=r"b\.slx"):
        Index.load(tmp_path / "b.slx")


def test_what_is_no_file_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe")  # nobody writes to it
    for path in (tmp_path / "pipe", tmp_path):
        for mmap in (False, True):
            with pytest.raises(ValueError, match="it is not a regular file"):
                Index.load(path, mmap=mmap)


def test_a_pipe_is_never_replaced_by_a_file(tmp_path):
    pipe, link = tmp_path / "pipe", tmp_path / "link"
    os.mkfifo(pipe)
    link.symlink_to(pipe)
    index = Index.build(rows_of(5, 3))
    for path in (pipe, link, bytes(pipe), str(pipe)):
        with pytest.raises(ValueError, match="a device, a pipe or a socket; to write into it"):
            index.save(path)
    assert pipe.is_fifo()
    assert link.is_symlink()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["link", "pipe"]


NO_STATUS = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int is_index(int file) {
  char link[64], path[4096] = {0};
  snprintf(link, sizeof link, "/proc/self/fd/%d", file);
  return readlink(link, path, sizeof path - 1) > 0 && strstr(path, ".slx") != NULL;
}

int fstat(int file, struct stat *status) {
  if (is_index(file)) return errno = EIO, -1;
  return ((int (*)(int, struct stat *))dlsym(RTLD_NEXT, "fstat"))(file, status);
}

int __fxstat(int version, int file, struct stat *status) {
  if (is_index(file)) return errno = EIO, -1;
  return ((int (*)(int, int, struct stat *))dlsym(RTLD_NEXT, "__fxstat"))(version, file, status);
}

int close(int file) {
  int index = is_index(file), done = ((int (*)(int))dlsym(RTLD_NEXT, "close"))(file);
  if (index) errno = EBADF;
  return done;
}
"""


@pytest.mark.skipif(sys.platform != "linux" or not shutil.which("cc"), reason="needs Linux and cc")
@pytest.mark.parametrize("mmap", [False, True])
def test_a_file_whose_status_cannot_be_read_is_that_oserror(mmap, tmp_path):
    Index.build(rows_of(5, 3)).save(tmp_path / "a.slx")
    (tmp_path / "no_status.c").write_text(NO_STATUS)
    library = str(tmp_path / "no_status.so")
    build = ["cc", "-shared", "-fPIC", "-o", library, str(tmp_path / "no_status.c"), "-ldl"]
    subprocess.run(build, check=True)
    program = f"""
from shortlist.index import Index
try:
    Index.load({str(tmp_path / "a.slx")!r}, mmap={mmap})
except OSError as error:
    print(error.errno, error.filename)
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "LD_PRELOAD": library},
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.split() == [str(errno.EIO), str(tmp_path / "a.slx")]


def test_threads_that_save_to_one_path_leave_one_whole_file(tmp_path):
    indexes = [Index.build(rows_of(5_000, 8, seed=seed)) for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(5):
            list(pool.map(lambda index: index.save(tmp_path / "a.slx"), indexes))
            assert Index.load(tmp_path / "a.slx").to_bytes() in [i.to_bytes() for i in indexes]
    assert [file.name for file in tmp_path.iterdir()] == ["a.slx"]


@pytest.mark.parametrize("content", [b"", b"SHORTLST", b"x" * 500, b"\0" * 5_000])
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "a.slx"
    path.write_bytes(content)
    for mmap in (False, True):
        with pytest.raises(ValueError, match="is not a sound Shortlist index"):
            Index.load(path, mmap=mmap)


def test_another_format_is_refused_with_a_sentence(tmp_path):
    path = tmp_path / "a.slx"
    Index.build(rows_of(5, 3)).save(path)
    content = bytearray(path.read_bytes())
    for version, layout in ((0, LAYOUT), (2, LAYOUT), (1, 0x00100401), (4, 0x00100401)):
        content[8:16] = struct.pack("<II", version, layout)
        path.write_bytes(repaired(content))
        expected = rf"format version {version}.*, this release reads version 1; build it again\."
        with pytest.raises(ValueError, match=expected):
            Index.load(path)


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_an_index_that_was_loaded_is_written_as_it_was(path, tmp_path):
    Index.load(path).save(tmp_path / "again.slx")
    assert (tmp_path / "again.slx").read_bytes() == path.read_bytes()


def repaired(content):
    """`content` with every checksum made right again, as far as its table of sections goes."""
    content = bytearray(content)
    if len(content) < HEADER.size:
        return bytes(content)
    magic, version, layout, _, count, _, _ = HEADER.unpack_from(content)
    count = min(count, 65_536, (len(content) - HEADER.size) // SECTION.size)
    for at in range(HEADER.size, HEADER.size + count * SECTION.size, SECTION.size):
        *key, offset, size, _ = SECTION.unpack_from(content, at)
        body = bytes(content[offset : offset + size])
        SECTION.pack_into(content, at, *key, offset, size, xxhash.xxh64_intdigest(body))
    table = bytes(content[HEADER.size : HEADER.size + count * SECTION.size])
    fields = (magic, version, layout, len(content), count, xxhash.xxh64_intdigest(table))
    HEADER.pack_into(content, 0, *fields, 0)
    digest = xxhash.xxh64_intdigest(bytes(content[: HEADER.size - 8]))
    HEADER.pack_into(content, 0, *fields, digest)
    return bytes(content)


def patched(content, at, layout, value):
    """`content` with `value` written at `at`, its checksums right."""
    content = bytearray(content)
    struct.pack_into(layout, content, at, value)
    return repaired(content)


def sections_of(content):
    """Where each kind of section is told of in the table, and where it begins."""
    count = HEADER.unpack_from(content)[4]
    places = [HEADER.size + i * SECTION.size for i in range(count)]
    told = ((at, SECTION.unpack_from(content, at)) for at in places)
    return {kind: (at, offset) for at, (kind, _, _, offset, _, _) in told}


LAYOUT = 0x00100402
STORE, COLUMNS, SEGMENTS, TIER_NORM = 12, 16, 52, 16  # offsets in the parameters
PARAMETERS, LEAF_OF_CLUSTER, CELL_SCALES, SEGMENT = 1, 18, 28, 64
RUN_PROJECTIONS, ROW_OF, ROWS, ROW_SCALES, LIVE = 69, 70, 71, 72, 76
DAMAGED_ROWS = [
    ("float32", SEGMENT, STORE, "<I", 1, "a section of the wrong size"),
    ("bfloat16", SEGMENT, STORE, "<I", 0, "a section of the wrong size"),
    ("bfloat16", SEGMENT, STORE, "<I", 2, "a section of the wrong size"),
    ("int8", SEGMENT, STORE, "<I", 1, "a section of the wrong size"),
    ("int8", SEGMENT, STORE, "<I", 3, "rows of an unknown kind"),
    ("int8", ROW_SCALES, 0, "<f", np.nan, "rows of impossible size"),
    ("int8", ROW_SCALES, 4, "<f", np.inf, "rows of impossible size"),
    ("int8", ROW_SCALES, 8, "<f", -1.0, "rows of impossible size"),
    ("float32", RUN_PROJECTIONS, 0, "<f", np.nan, "leaves of impossible size"),
    ("float32", CELL_SCALES, 0, "<f", np.inf, "leaves of impossible size"),
    ("float32", LEAF_OF_CLUSTER, 0, "<I", 1, "clusters without leaves"),
    ("float32", PARAMETERS, TIER_NORM, "<f", np.nan, "impossible parameters"),
    ("float32", PARAMETERS, SEGMENTS, "<I", 0, "a codebook without rows"),
    ("float32", PARAMETERS, SEGMENTS, "<I", 2, "lacks a section"),
    ("float32", SEGMENT, 0, "<Q", 2**32 - 1, "an impossible number of rows"),
    ("float32", SEGMENT, COLUMNS, "<I", 1, "lacks a section"),
    ("float32", SEGMENT, COLUMNS, "<I", 2**20, "too many columns"),
    ("float32", ROW_OF, 0, "<I", 50, "every row once"),
]


@pytest.mark.parametrize("mmap", [False, True])
@pytest.mark.parametrize(("store", "section", "at", "layout", "value", "what"), DAMAGED_ROWS)
def test_rows_that_are_not_what_the_file_says_are_refused(
    mmap, store, section, at, layout, value, what, tmp_path
):
    path = tmp_path / "a.slx"
    Index.build(rows_of(50, 3), config=IndexConfig(store=store)).save(path)
    content = path.read_bytes()
    path.write_bytes(patched(content, sections_of(content)[section][1] + at, layout, value))
    with pytest.raises(ValueError, match=what):
        Index.load(path, mmap=mmap)


def test_int8_rows_without_their_scales_are_refused(tmp_path):
    path = tmp_path / "a.slx"
    Index.build(rows_of(50, 3), config=IndexConfig(store="int8")).save(path)
    content = path.read_bytes()
    path.write_bytes(patched(content, sections_of(content)[ROW_SCALES][0], "<H", 99))
    with pytest.raises(ValueError, match="lacks a section"):
        Index.load(path)


def test_a_section_may_say_which_rows_are_deleted(tmp_path):
    path = tmp_path / "a.slx"
    Index.build(rows_of(50, 3)).save(path)
    content = bytearray(path.read_bytes())
    at = sections_of(content)[LIVE][0]
    content += struct.pack("<4H", 0xFFFF, 0xFFFE, 0xFFFF, 0xFFFF) + bytes(56)
    SECTION.pack_into(content, at, LIVE, 0, 0, len(content) - 64, 8, 0)
    path.write_bytes(repaired(content))
    index = Index.load(path)
    assert len(index) == 49
    for chosen in (None, SearchSettings(exact=True)):
        found = index.search(rows_of(4, 3, seed=1), 50, settings=chosen)
        assert (found.rows[:, 48] >= 0).all()
        assert (found.rows[:, 49] == -1).all()


@pytest.mark.parametrize(
    ("store", "layout", "value"), [("float32", "<f", np.nan), ("bfloat16", "<H", 0x7F80)]
)
def test_rows_that_are_not_finite_are_refused_when_they_are_read(store, layout, value, tmp_path):
    path = tmp_path / "a.slx"
    Index.build(rows_of(50, 3), config=IndexConfig(store=store)).save(path)
    content = path.read_bytes()
    path.write_bytes(patched(content, sections_of(content)[ROWS][1], layout, value))
    with pytest.raises(ValueError, match="rows that are not finite"):
        Index.load(path)
    found = Index.load(path, mmap=True).search(np.ones((3, 3), np.float32), 60)
    assert (found.rows < 50).all()


def test_the_checksums_are_xxh64(tmp_path):
    path = tmp_path / "a.slx"
    Index.build(rows_of(300, 9), [str(i) for i in range(300)]).save(path)
    assert repaired(path.read_bytes()) == path.read_bytes()


def damaged_files(count):
    """Index files with bits flipped, ends cut, and parts of others spliced in; half repaired."""
    rng = np.random.default_rng(5)
    sound = []
    for at, (ids, metric, config) in enumerate(
        [
            (None, "dot", IndexConfig(leaves=8)),
            ([f"id {i}" for i in range(200)], "cosine", IndexConfig(leaves=5, codes="int4")),
            (np.arange(200) * 2, "l2", IndexConfig(leaves=9, codes="pq4")),
            (None, "dot", IndexConfig(exact=True)),
            (None, "cosine", IndexConfig(leaves=6, store="bfloat16")),
            (None, "l2", IndexConfig(leaves=7, store="int8")),
            (None, "dot", IndexConfig(leaves=8)),
        ]
    ):
        dim = 65 if at == 6 else 6 + at  # from 64 on the centroids have codes of their own
        index = Index.build(rows_of(200, dim, seed=at), ids, metric=metric, config=config)
        index.save("sound.slx")
        sound.append(Path("sound.slx").read_bytes())
    for number in range(count):
        content = bytearray(sound[rng.integers(len(sound))])
        where = rng.integers(4)
        # A quarter of the damage goes to the header and the table, a quarter to the small sections.
        span = (HEADER.size, 1_000, 2_500, len(content))[where]
        kind = rng.integers(5)
        if kind == 0:
            at = int(rng.integers(span))
            content[at] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            del content[int(rng.integers(len(content))) :]
        elif kind == 2:
            other = sound[rng.integers(len(sound))]
            at, size = int(rng.integers(span)), int(rng.integers(1, 300))
            content[at : at + size] = other[at : at + size]
        elif kind == 3:
            at = int(rng.integers(span // 8)) * 8
            extremes = [0, 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1, 0x7FC00000]
            content[at : at + 8] = struct.pack("<Q", extremes[rng.integers(len(extremes))])
        else:
            at = int(rng.integers(span // 4)) * 4
            special = rng.choice([np.nan, np.inf, -np.inf, -1.0, 1e38, 0.0])
            content[at : at + 4] = struct.pack("<f", special)
        yield repaired(content) if number % 2 else bytes(content)


def search_damaged_files(count):
    """Run in a child process: loads and searches them all, within bounds of memory."""
    import resource

    path = Path("damaged.slx")
    refused = answered = 0
    Index.build(rows_of(200, 4), config=IndexConfig(leaves=4)).search(np.ones((4, 4)), threads=1)
    in_use = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    if "ASAN_OPTIONS" not in os.environ:  # the sanitizer reserves terabytes
        resource.setrlimit(resource.RLIMIT_AS, (in_use + 32 * 2**20,) * 2)
    for number, content in enumerate(damaged_files(count)):
        path.write_bytes(content)
        try:
            index = Index.load(path, mmap=number % 3 == 0)
        except ValueError:
            refused += 1
            continue
        answered += 1
        queries = np.ones((3, index.dim), np.float32)
        for chosen in (None, SearchSettings(exact=True), SearchSettings(leaves=9, rerank=200)):
            found = index.search(queries, 20, settings=chosen, exclude=[[], [], []], threads=1)
            assert ((found.rows >= -1) & (found.rows < len(index))).all()
        index.search(queries[0], 5, allow=np.zeros(len(index), bool))
        assert len(index.ids) == len(index)
    sys.stdout.write(f"{refused} {answered}")


@pytest.mark.skipif(sys.platform != "linux", reason="limits memory by Linux's means")
def test_damaged_files_are_refused_or_searched_within_bounds(tmp_path):
    """SHORTLIST_DAMAGES sets how many files are tried; `make fuzz` tries them by the million."""
    count = int(os.environ.get("SHORTLIST_DAMAGES", "1000"))
    script = (
        "import runpy\n"
        f"names = runpy.run_path({str(Path(__file__))!r})\n"
        f"names['search_damaged_files']({count})\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert ran.returncode == 0, ran.stderr
    refused, answered = map(int, ran.stdout.split())
    assert refused + answered == count
    assert min(refused, answered) > count / 50


def test_a_flip_of_any_byte_is_noticed(tmp_path):
    path = tmp_path / "a.slx"
    config = IndexConfig(leaves=4, spread=1)
    Index.build(rows_of(60, 5), [f"é{i}" for i in range(60)], config=config).save(path)
    sound = path.read_bytes()
    for at in [*range(0, len(sound), 5), *range(len(sound) - 64, len(sound))]:
        path.write_bytes(sound[:at] + bytes([sound[at] ^ 0x55]) + sound[at + 1 :])
        with pytest.raises(ValueError, match="index"):
            Index.load(path)

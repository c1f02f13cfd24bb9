import json
import os
from pathlib import Path

import pytest

from shortlist.bundle import Bundle, BundleError, read_manifest, verify
from shortlist.bundle.manifest import MANIFEST, REQUIRED


def _edit_manifest(saved: Path, edit) -> None:
    document = json.loads((saved / MANIFEST).read_text())
    edit(document)
    (saved / MANIFEST).write_text(json.dumps(document))


def test_a_whole_bundle_verifies(saved: Path):
    manifest = verify(saved)
    assert set(manifest.files) == {*REQUIRED, "histories.parquet"}
    assert manifest.size == sum((saved / name).stat().st_size for name in manifest.files)
    assert len(manifest.fingerprint) == 12


@pytest.mark.parametrize("name", [*REQUIRED, "histories.parquet"])
def test_one_flipped_bit_is_noticed(saved: Path, name: str):
    content = bytearray((saved / name).read_bytes())
    content[len(content) // 2] ^= 1
    (saved / name).write_bytes(content)
    with pytest.raises(BundleError, match=f"{name} is damaged: its SHA-256 is"):
        Bundle.load(saved)


@pytest.mark.parametrize("name", [*REQUIRED, "histories.parquet"])
def test_a_truncated_or_missing_file_is_named(saved: Path, name: str):
    whole = (saved / name).read_bytes()
    (saved / name).write_bytes(whole[:-1])
    with pytest.raises(BundleError, match=f"{name} has .* it is truncated"):
        Bundle.load(saved)
    (saved / name).unlink()
    with pytest.raises(BundleError, match=f"{name} is missing"):
        Bundle.load(saved)


@pytest.mark.parametrize("length", [0, 1, 100])
def test_a_truncated_manifest_is_damaged(saved: Path, length: int):
    (saved / MANIFEST).write_bytes((saved / MANIFEST).read_bytes()[:length])
    with pytest.raises(BundleError, match="is damaged"):
        read_manifest(saved)


def test_a_newer_format_says_to_upgrade(saved: Path):
    _edit_manifest(saved, lambda d: d.update(format_version=2, signature="new field"))
    with pytest.raises(BundleError, match=r"format 2; this Shortlist reads up to 1\. Install"):
        Bundle.load(saved)


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "/etc/passwd", "a/b", "..", ".hidden", "", "a\\b", "a\n", MANIFEST]
)
def test_a_name_that_leaves_the_folder_is_refused(saved: Path, name: str):
    _edit_manifest(saved, lambda d: d["files"].update({name: {"size": 1, "sha256": "0"}}))
    with pytest.raises(BundleError, match="plain file names inside its own folder"):
        Bundle.load(saved)


def test_links_and_pipes_are_refused(saved: Path, tmp_path: Path):
    (saved / "items.parquet").rename(tmp_path / "elsewhere")
    (saved / "items.parquet").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BundleError, match=r"items.parquet is a link"):
        Bundle.load(saved)
    (saved / "items.parquet").unlink()
    os.mkfifo(saved / "items.parquet")
    with pytest.raises(BundleError, match=r"items.parquet is no plain file"):
        Bundle.load(saved)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda d: d.update(format="zip"), "not the manifest of a Shortlist bundle"),
        (lambda d: d.update(format_version="1"), "format_version is '1'"),
        (lambda d: d.update(more=1), "unknown field `more`"),
        (
            lambda d: d["files"].update({"virus.pkl": {"size": 1, "sha256": "0"}}),
            "no file of a bundle",
        ),
        (lambda d: d["files"].pop("run.json"), "does not name run.json"),
    ],
)
def test_a_manifest_that_is_not_one_is_refused(saved: Path, edit, message: str):
    _edit_manifest(saved, edit)
    with pytest.raises(BundleError, match=message):
        Bundle.load(saved)


def test_a_folder_without_manifest_is_no_bundle(tmp_path: Path):
    with pytest.raises(BundleError, match=r"it has no MANIFEST.json"):
        verify(tmp_path)


def test_an_enormous_or_deep_manifest_is_refused(saved: Path):
    (saved / MANIFEST).write_bytes(b"[" * 500_000)
    with pytest.raises(BundleError, match="is damaged"):
        verify(saved)
    (saved / MANIFEST).write_bytes(b" " * (2 << 20))
    with pytest.raises(BundleError, match="is larger than"):
        verify(saved)

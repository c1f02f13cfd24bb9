"""A directory that is whole or not there: written beside, listed with hashes, then renamed."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

MANIFEST = "MANIFEST.json"
FORMAT = "shortlist-bundle"
VERSION = 0


class BundleError(ValueError):
    """A bundle that cannot be read or written; the message says which and why."""


@contextmanager
def replace_directory(path: str | Path) -> Iterator[Path]:
    """Gives an empty directory to write to, and puts it at `path` with a manifest when all is done.

    The directory is written beside `path`; on any error it is removed and what stood at `path`
    stays. Another bundle at `path` is replaced, anything else is refused.

    Args:
        path: Where the directory shall stand.

    Yields:
        The directory to write to.

    Raises:
        BundleError: If something that is no bundle stands at `path`.
    """
    path = Path(path)
    if path.exists() and not (path / MANIFEST).is_file():
        raise BundleError(f"{path} exists and is no bundle (it has no {MANIFEST}); name another.")
    path.parent.mkdir(parents=True, exist_ok=True)
    mark = uuid.uuid4().hex[:8]
    fresh = path.with_name(f".{path.name}.{mark}.new")
    stale = path.with_name(f".{path.name}.{mark}.old")
    fresh.mkdir()
    try:
        yield fresh
        _write_manifest(fresh)
        if path.exists():
            path.rename(stale)
        fresh.rename(path)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.rmtree(stale, ignore_errors=True)


def verify_directory(path: str | Path) -> Path:
    """Checks a bundle against its manifest: format, version, and every file's size and hash.

    Args:
        path: The bundle.

    Returns:
        The path.

    Raises:
        BundleError: If anything is missing, damaged, or of a format this version cannot read.
    """
    path = Path(path)
    manifest = path / MANIFEST
    if not manifest.is_file():
        raise BundleError(f"{path} is no bundle: it has no {MANIFEST}.")
    try:
        listed: dict[str, Any] = json.loads(manifest.read_text(encoding="utf-8"))
        files: dict[str, dict[str, Any]] = dict(listed["files"])
        found = (listed["format"], listed["version"])
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise BundleError(f"{manifest} is damaged: {error!r}.") from error
    if found != (FORMAT, VERSION):
        raise BundleError(
            f"{path} has format {found[0]!r} version {found[1]!r}; this version of Shortlist reads "
            f"{FORMAT!r} version {VERSION}."
        )
    for name, entry in files.items():
        if Path(name).name != name:
            raise BundleError(f"{manifest} lists {name!r}, which is no plain file name.")
        file = path / name
        if not file.is_file() or file.is_symlink():
            raise BundleError(f"{path} lacks the file {name}.")
        if _describe(file) != entry:
            raise BundleError(f"{file} is damaged: its size or SHA-256 is not the manifest's.")
    return path


def _write_manifest(directory: Path) -> None:
    files = {}
    for file in sorted(directory.iterdir()):
        files[file.name] = _describe(file)
        _sync(file)
    manifest = directory / MANIFEST
    listed = {"format": FORMAT, "version": VERSION, "files": files}
    manifest.write_text(json.dumps(listed, indent=2) + "\n", encoding="utf-8")
    _sync(manifest)
    _sync(directory)


def _describe(file: Path) -> dict[str, Any]:
    with file.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    return {"size": file.stat().st_size, "sha256": digest}


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

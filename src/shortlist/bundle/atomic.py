"""Write a folder so that, whatever happens, its name holds the old content or the new, whole."""

import contextlib
import ctypes
import errno
import fcntl
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from shortlist.bundle.manifest import MANIFEST, BundleError

_PARTIAL = ".partial"
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2  # Linux renameat2
_RENAME_SWAP = 2  # macOS renamex_np


@contextlib.contextmanager
def replaced_folder(target: Path) -> Iterator[Path]:
    """Give an empty folder beside `target`; put it in `target`'s place when the block ends well.

    An older bundle at `target` is exchanged for the new one in one step and then deleted. What a
    killed process left beside `target` is cleaned up by the next call.

    Args:
        target: Where the folder shall be; its parent is made if it is not there.

    Raises:
        BundleError: `target` is something other than a bundle or an empty folder, or the file
            system cannot exchange two folders in one step.
    """
    target = Path(os.path.abspath(target))  # noqa: PTH100  (resolve() would follow links)
    check_replaceable(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(target)
    folder = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=_PARTIAL, dir=target.parent))
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)  # says that its writer lives
        folder.chmod(0o755)
        yield folder
        os.fsync(lock)
        _put_in_place(folder, target)
        _sync_folder(target.parent)
    finally:
        shutil.rmtree(folder, ignore_errors=True)  # the old bundle, or what failed
        os.close(lock)


def check_replaceable(target: Path) -> None:
    """Raise a `BundleError` unless `target` is a bundle, an empty folder, or nothing."""
    if target.is_symlink():
        raise BundleError(f"{target} is a link; give the path of the folder itself.")
    if not target.exists():
        return
    if not target.is_dir():
        raise BundleError(f"{target} is a file; give another path or remove it.")
    if not (target / MANIFEST).exists() and any(target.iterdir()):
        raise BundleError(
            f"{target} is a folder that holds something other than a bundle; give another path."
        )


def _put_in_place(folder: Path, target: Path) -> None:
    try:
        folder.rename(target)  # nothing there, or an empty folder
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        _exchange(folder, target)


def _exchange(first: Path, second: Path) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    names = os.fsencode(first), os.fsencode(second)
    if sys.platform == "darwin" and hasattr(libc, "renamex_np"):
        failed = libc.renamex_np(*names, _RENAME_SWAP)
    elif hasattr(libc, "renameat2"):
        failed = libc.renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE)
    else:
        failed = -1
        ctypes.set_errno(errno.ENOSYS)
    if failed:
        code = ctypes.get_errno()
        raise BundleError(
            f"{second} cannot be replaced in one step here ({os.strerror(code)}); "
            "save to a new path, or remove the old bundle first."
        )


def _remove_leftovers(target: Path) -> None:
    for leftover in target.parent.glob(f".{_escaped(target.name)}.*{_PARTIAL}"):
        try:
            lock = os.open(leftover, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue  # another process is writing it now
        else:
            shutil.rmtree(leftover, ignore_errors=True)
        finally:
            os.close(lock)


def _escaped(name: str) -> str:
    return "".join(f"[{character}]" if character in "*?[" else character for character in name)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

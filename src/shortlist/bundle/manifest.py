"""The manifest of a bundle: what it holds, how large, and the hashes to check it by."""

import contextlib
import hashlib
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

import msgspec

FORMAT = "shortlist-bundle"
FORMAT_VERSION = 1
MANIFEST = "MANIFEST.json"
REQUIRED = ("query.json", "query_tower.onnx", "index.slx", "items.parquet", "run.json", "README.md")
OPTIONAL = (
    "histories.parquet",
    "users.npy",
    "candidate_tower.onnx",
    "candidate.json",
    "weights.npz",
)

_MANIFEST_LIMIT = 1 << 20
_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_CHUNK = 1 << 20


class BundleError(ValueError):
    """A bundle that cannot be read, and why."""


class FileRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Size and hash of one file.

    Args:
        size: Bytes.
        sha256: Hexadecimal SHA-256 of the content.
    """

    size: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a bundle holds.

    Args:
        format: Always "shortlist-bundle".
        format_version: The version of this format.
        created_by: The program that wrote it, with its version.
        files: Every file by name.

    Example:
        >>> digest = hashlib.sha256(b"{}").hexdigest()
        >>> record = FileRecord(size=2, sha256=digest)
        >>> manifest = Manifest(FORMAT, FORMAT_VERSION, "shortlist 0.1.0", {"run.json": record})
        >>> manifest.size, len(manifest.fingerprint)
        (2, 12)
    """

    format: str
    format_version: int
    created_by: str
    files: dict[str, FileRecord]

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(record.size for record in self.files.values())

    @property
    def fingerprint(self) -> str:
        """The first 12 digits of a hash over all files: two bundles with the same one are equal."""
        digest = hashlib.sha256()
        for name, record in sorted(self.files.items()):
            digest.update(f"{name}:{record.sha256};".encode())
        return digest.hexdigest()[:12]


def write_manifest(folder: Path, created_by: str) -> Manifest:
    """Hash what stands in a folder, flush it to the disk, and write the manifest last.

    Args:
        folder: A folder with every file of the bundle except the manifest.
        created_by: The program that writes, with its version.

    Returns:
        The manifest as written.
    """
    files = {}
    for path in sorted(folder.iterdir()):
        with path.open("rb") as file:
            files[path.name] = FileRecord(path.stat().st_size, _sha256(file.fileno()))
            os.fsync(file.fileno())
    manifest = Manifest(FORMAT, FORMAT_VERSION, created_by, files)
    with (folder / MANIFEST).open("wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    return manifest


def read_manifest(folder: Path) -> Manifest:
    """Read a bundle's manifest, without looking at the files it names.

    Args:
        folder: The folder of the bundle.

    Returns:
        The manifest.

    Raises:
        BundleError: There is none, it is damaged, or its format is newer than this program.

    Example:
        >>> read_manifest(Path("nowhere"))
        Traceback (most recent call last):
        shortlist.bundle.manifest.BundleError: nowhere is not a bundle: there is no such folder.
    """
    path = folder / MANIFEST
    if not folder.is_dir():
        raise BundleError(f"{folder} is not a bundle: there is no such folder.")
    try:
        with _open_plain(path) as descriptor:
            raw = os.read(descriptor, _MANIFEST_LIMIT + 1)
    except FileNotFoundError:
        raise BundleError(f"{folder} is not a bundle: it has no {MANIFEST}.") from None
    if len(raw) > _MANIFEST_LIMIT:
        raise BundleError(f"{path} is larger than {_MANIFEST_LIMIT} bytes; no manifest is.")
    _check_format(path, raw)
    try:
        manifest = msgspec.json.decode(raw, type=Manifest)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BundleError(f"{path} is damaged: {error}.") from None
    for name in manifest.files:
        if not _PLAIN_NAME.fullmatch(name) or name == MANIFEST:
            raise BundleError(
                f"{path} names {name!r}; a bundle holds plain file names inside its own folder."
            )
        if name not in REQUIRED + OPTIONAL:
            raise BundleError(f"{path} names {name!r}, which is no file of a bundle.")
    for name in REQUIRED:
        if name not in manifest.files:
            raise BundleError(f"{path} does not name {name}, which every bundle has.")
    return manifest


def verify(path: str | os.PathLike[str]) -> Manifest:
    """Check every file of a bundle against its manifest: plain, of the right size and hash.

    Args:
        path: The folder of the bundle.

    Returns:
        The manifest.

    Raises:
        BundleError: A file is missing, is a link, or is not what was saved; or the manifest is bad.

    Example:
        >>> verify("nowhere")
        Traceback (most recent call last):
        shortlist.bundle.manifest.BundleError: nowhere is not a bundle: there is no such folder.
    """
    folder = Path(path)
    manifest = read_manifest(folder)
    for name, record in manifest.files.items():
        try:
            with _open_plain(folder / name) as descriptor:
                size = os.fstat(descriptor).st_size
                if size != record.size:
                    raise BundleError(
                        f"{folder / name} has {size} bytes, its manifest says {record.size}: "
                        f"it is {'truncated' if size < record.size else 'damaged'}."
                    )
                digest = _sha256(descriptor)
        except FileNotFoundError:
            raise BundleError(f"{folder / name} is missing, but its manifest names it.") from None
        if digest != record.sha256:
            raise BundleError(
                f"{folder / name} is damaged: its SHA-256 is {digest[:12]}…, "
                f"its manifest says {record.sha256[:12]}…."
            )
    return manifest


def _check_format(path: Path, raw: bytes) -> None:
    try:
        head = msgspec.json.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BundleError(f"{path} is damaged: {error}.") from None
    if not isinstance(head, dict) or head.get("format") != FORMAT:
        raise BundleError(f"{path} is not the manifest of a Shortlist bundle.")
    version = head.get("format_version")
    if not isinstance(version, int) or version < 1:
        raise BundleError(f"{path} is damaged: format_version is {version!r}.")
    if version > FORMAT_VERSION:
        raise BundleError(
            f"{path} has bundle format {version}; this Shortlist reads up to {FORMAT_VERSION}. "
            "Install a newer Shortlist to read it."
        )


@contextlib.contextmanager
def _open_plain(path: Path) -> Iterator[int]:
    if path.is_symlink():
        raise BundleError(f"{path} is a link; a bundle holds plain files only.")
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise BundleError(f"{path} is no plain file.")
        yield descriptor
    finally:
        os.close(descriptor)


def _sha256(descriptor: int) -> str:
    digest = hashlib.sha256()
    while chunk := os.read(descriptor, _CHUNK):
        digest.update(chunk)
    return digest.hexdigest()

"""An index as a file, as bytes, and in a pickle."""

from __future__ import annotations

import json
import os
import pickle
import stat
from typing import TYPE_CHECKING, Any, BinaryIO, Self

from shortlist import _native
from shortlist.index.config import IndexConfig

if TYPE_CHECKING:
    from collections.abc import Callable


class Saved:
    """The part of `Index` that writes and reads it."""

    __slots__ = ()
    _engine: _native.Index
    _wrap: Callable[[_native.Index], Self]

    def save(self, path: str | bytes | os.PathLike[str] | BinaryIO) -> None:
        """Writes the index, its ids, config and settings as one file.

        The file is complete or not there: an interrupted save leaves what was at `path`.

        Args:
            path: Where to write; the customary suffix is `.slx`. Or an open binary file, which gets
                the bytes of `to_bytes`.

        Raises:
            OSError: The file cannot be written.
            ValueError: A device, pipe or socket is at `path`: a new file would take its place.
        """
        if isinstance(path, str | bytes | os.PathLike):
            _check_replaceable(path)
            self._engine.save(path)
            return
        _check_file(path, "write")
        rest = memoryview(self.to_bytes())
        while rest:
            rest = rest[path.write(rest) or len(rest) :]

    @classmethod
    def load(cls, path: str | bytes | os.PathLike[str] | BinaryIO, *, mmap: bool = False) -> Self:
        """Reads what `save` wrote.

        Args:
            path: The file, or an open binary file, of which all that is left to read is the index.
            mmap: Map the file instead of reading it: loading is immediate, processes share the
                memory, and rows are read from disk when a search first needs them. The file must
                then stay unchanged while the index lives.

        Raises:
            OSError: The file cannot be read.
            ValueError: It is not an index of a version this release knows, or is damaged.
        """
        if isinstance(path, str | bytes | os.PathLike):
            return cls._loaded(_native.Index.load(path, mmap=mmap))
        _check_file(path, "read")
        if mmap:
            raise ValueError("`mmap` needs the path of a file, got an open file.")
        return cls.from_bytes(path.read())

    def to_bytes(self) -> bytes:
        """Returns what `save` writes.

        Example:
            >>> from shortlist.index import Index
            >>> index = Index.build([[1, 0, 0], [0, 1, 0], [0, 0, 1]])
            >>> Index.from_bytes(index.to_bytes()).search([1, 2, 3], 1).ids
            array([2])
        """
        return self._engine.to_bytes()

    @classmethod
    def from_bytes(cls, data: bytes | bytearray | memoryview) -> Self:
        """Makes an index of what `to_bytes` gave, which is not needed afterwards.

        Args:
            data: The bytes, or any object that holds them in one piece.

        Raises:
            ValueError: It is not an index of a version this release knows, or is damaged.
        """
        try:
            view = memoryview(data)
        except TypeError:
            raise TypeError(f"`data` must be bytes, got {type(data).__name__}.") from None
        return cls._loaded(_native.Index.from_bytes(view))

    @classmethod
    def _loaded(cls, native: _native.Index) -> Self:
        read_config(native.note)  # a damaged note is an error now, not at first use
        return cls._wrap(native)

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        data = self.to_bytes()
        return type(self).from_bytes, (pickle.PickleBuffer(data) if protocol >= 5 else data,)

    def __copy__(self) -> Self:
        return self._wrap(self._engine.__copy__())

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self.__copy__()


def _check_replaceable(path: str | bytes | os.PathLike[str]) -> None:
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116  (of bytes too)
    except OSError:
        return  # nothing is there, or the engine says why it cannot write
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise ValueError(
            f"`path` must be a file, and {os.fsdecode(path)} is a device, a pipe or a socket; to "
            "write into it give it as an open file."
        )


def _check_file(file: object, method: str) -> None:
    if not hasattr(file, method):
        name = type(file).__name__
        raise TypeError(f"`path` must be a path or an open binary file, got {name}.")


def read_config(note: str) -> IndexConfig:
    """The configuration that the engine keeps as text."""
    try:
        return IndexConfig(**json.loads(note))
    except (TypeError, ValueError) as error:
        raise ValueError(f"The index file holds no valid configuration: {error}") from error

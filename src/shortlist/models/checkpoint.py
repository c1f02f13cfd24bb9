"""A training on disk, from which it goes on after it was interrupted."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from glob import escape
from pathlib import Path
from tempfile import mkstemp
from typing import Any

import numpy as np
import numpy.typing as npt

FORMAT = 1
_PARTIAL = ".partial"

Arrays = Sequence[npt.NDArray[Any]]


class CheckpointError(ValueError):
    """A checkpoint from which this training cannot go on, and why."""


class Checkpoint:
    """One file, whole or absent: the arrays of a training as NumPy keeps them, and how far it is.

    Args:
        path: The file; its folder is made when it is first written.
        settings: Plain data that must be the same for a training that goes on from it.

    Raises:
        CheckpointError: `path` is something that no training may replace.
    """

    def __init__(self, path: str | os.PathLike[str], settings: Mapping[str, Any]) -> None:
        self.path = Path(path)
        self._settings = json.loads(json.dumps({"format": FORMAT, **settings}, default=str))
        if self.path.is_symlink() or (self.path.exists() and not self.path.is_file()):
            raise CheckpointError(
                f"{self.path} is no plain file; give the checkpoint another path."
            )
        if self.path.exists():
            with self._opened():
                pass

    def read(self) -> tuple[dict[str, Any], dict[str, list[npt.NDArray[Any]]]] | None:
        """Returns the state and the arrays that `write` was given last, or None.

        Raises:
            CheckpointError: The file is damaged, or of a training with other settings.
        """
        if not self.path.exists():
            return None
        with self._opened() as file:
            head = json.loads(file["head"].tobytes())
            if differing := list(_differences(head["settings"], self._settings)):
                raise CheckpointError(
                    f"{self.path} is the checkpoint of another training: {'; '.join(differing)}. "
                    "Go on with what was given then, or start anew without resuming."
                )
            arrays = {
                name: [file[f"{name}/{at}"] for at in range(count)]
                for name, count in head["counts"].items()
            }
        return head["state"], arrays

    def write(self, state: Mapping[str, Any], arrays: Mapping[str, Arrays]) -> None:
        """Replaces what the file holds, in one step.

        Args:
            state: Plain data.
            arrays: Any number of arrays under each name.

        Raises:
            OSError: It cannot be written; the file is then as it was.
        """
        counts = {name: len(values) for name, values in arrays.items()}
        head = {"settings": self._settings, "state": dict(state), "counts": counts}
        named = {f"{name}/{at}": _plain(a) for name in arrays for at, a in enumerate(arrays[name])}
        named["head"] = np.frombuffer(json.dumps(head).encode(), np.uint8)
        try:
            self._replace(named)
        except OSError as error:
            raise OSError(
                error.errno,
                f"the checkpoint {self.path} cannot be written ({error.strerror}); the one before "
                "it, if any, is as it was. Make room for it, and resume",
            ) from error

    def _replace(self, named: Mapping[str, npt.NDArray[Any]]) -> None:
        folder = self.path.parent
        folder.mkdir(parents=True, exist_ok=True)
        descriptor, name = mkstemp(prefix=f".{self.path.name}.", suffix=_PARTIAL, dir=folder)
        try:
            with os.fdopen(descriptor, "wb") as file:
                np.savez(file, **named)  # type: ignore[arg-type]  # no name is `allow_pickle`
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(self.path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        opened = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)

    @contextmanager
    def _opened(self) -> Iterator[Mapping[str, npt.NDArray[Any]]]:
        try:
            with self.path.open("rb") as file:
                arrays = np.load(file, allow_pickle=False)
                if not isinstance(arrays, np.lib.npyio.NpzFile) or "head" not in arrays:
                    raise ValueError("it is another kind of file")
                yield arrays
        except CheckpointError:
            raise
        except (ValueError, KeyError, EOFError, TypeError, zipfile.BadZipFile) as error:
            raise CheckpointError(
                f"{self.path} is no checkpoint, or is damaged ({error}); remove it, or give "
                "another path."
            ) from None


def remove_checkpoint(path: str | os.PathLike[str]) -> None:
    """Deletes a checkpoint if there is one, and what a killed process left beside it."""
    path = Path(path)
    path.unlink(missing_ok=True)
    for leftover in path.parent.glob(f".{escape(path.name)}.*{_PARTIAL}"):
        leftover.unlink(missing_ok=True)


def _plain(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The array in a type that NumPy's format knows; bfloat16, which it does not, fits float32."""
    return array.astype(np.float32) if array.dtype.kind == "V" else array


def _differences(then: Any, now: Any, name: str = "") -> Iterator[str]:
    """Says in words what differs between two pieces of plain data."""
    if isinstance(then, dict) and isinstance(now, dict):
        for key in {**then, **now}:
            yield from _differences(then.get(key), now.get(key), f"{name}.{key}" if name else key)
    elif then != now:
        differs = name.removesuffix(".sha256")
        yield f"{name} was {then!r} and is {now!r}" if differs == name else f"{differs} differs"

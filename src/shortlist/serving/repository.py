"""The versions of a model on disk, and the one that answers."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from shortlist.bundle import BundleError
from shortlist.bundle.manifest import MANIFEST
from shortlist.live import LiveState, LiveStateError
from shortlist.serving.errors import RequestError
from shortlist.serving.metrics import Metrics
from shortlist.serving.model import ServedModel

logger = logging.getLogger("shortlist.serving")


class Repository:
    """The newest good version in a folder, swapped in by one reference.

    Args:
        path: A bundle (version 1), or a folder of bundles named by their version numbers. A version
            counts once its manifest exists.
        metrics: Where versions are reported.
        state: What changed since the versions were trained, if anything may; each follows it.
    """

    def __init__(self, path: Path, metrics: Metrics, state: LiveState | None = None) -> None:
        self.path = path
        self.current: ServedModel | None = None
        self.refused: dict[int, str] = {}
        self._metrics = metrics
        self._state = state
        self._seen: dict[int, tuple[int, int]] = {}

    def model(self, version: int | None = None) -> ServedModel:
        """Return the model that answers, as it is now.

        Args:
            version: None or 0 means the latest.

        Raises:
            RequestError: None is loaded yet (503), or this version is not (404).
        """
        model = self.current
        if model is None:
            raise RequestError(503, "No version of the model is loaded yet.", retry_after=1)
        if version and version != model.version:
            raise RequestError(404, f"Version {version} is not loaded; version {model.version} is.")
        return model.now()

    def refresh(self) -> bool:
        """Look for a new version; load, check and warm it, and let it answer from now on.

        Returns:
            Whether another version answers now. Requests under way end with the old one, which
            leaves memory with the last of them.
        """
        for version, folder in sorted(self._versions().items(), reverse=True):
            seen = _look(folder)
            if seen is None:
                continue
            if self.current is not None and version < self.current.version:
                return False
            if self._seen.get(version) == seen:
                if version in self.refused:
                    continue
                return False
            self._seen[version] = seen
            try:
                model = ServedModel.load(folder, version, self._state)
            except (BundleError, LiveStateError, OSError) as error:
                self.refused[version] = str(error)
                self._metrics.loads.labels("refused").inc()
                logger.error("version %d refused: %s", version, error)
                continue
            self.refused.pop(version, None)
            former, self.current = self.current, model
            self._follow(model, former)
            self._metrics.loads.labels("loaded").inc()
            self._metrics.version.set(version)
            self._metrics.candidates.set(len(model.bundle.items))
            logger.info("version %d answers: %d candidates", version, len(model.bundle.items))
            return True
        return False

    def close(self) -> None:
        """Follow no longer, and close the live state."""
        if self.current is not None and self.current.follower is not None:
            self.current.follower.close()
        if self._state is not None:
            self._state.close()

    def _follow(self, model: ServedModel, former: ServedModel | None) -> None:
        """Let a version follow the live state in place of the one before it."""
        if former is not None and former.follower is not None:
            former.follower.close()
        if model.follower is None:
            return
        model.follower.start()
        self._metrics.follower = model.follower
        try:
            dropped = model.follower.take_over()
        except LiveStateError as error:  # the log stays longer than it need, which harms nobody
            logger.error("what version %d has learnt stays in the log: %s", model.version, error)
        else:
            logger.info("live: %d changes that the version has learnt are dropped", dropped)

    async def watch(self, seconds: float) -> None:
        """Refresh for ever, in a thread, so that requests are answered meanwhile."""
        while True:
            await asyncio.sleep(seconds)
            await asyncio.to_thread(_logged(self.refresh))

    def _versions(self) -> dict[int, Path]:
        if (self.path / MANIFEST).exists():
            return {1: self.path}
        try:
            folders = list(self.path.iterdir())
        except OSError:
            return {}
        return {
            int(folder.name): folder
            for folder in folders
            if folder.name.isascii() and folder.name.isdigit() and int(folder.name) > 0
        }


def _look(folder: Path) -> tuple[int, int] | None:
    """Return what changes when a version is written anew; None before its manifest is there."""
    try:
        status = (folder / MANIFEST).stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns


def _logged(refresh: Callable[[], bool]) -> Callable[[], None]:
    def run() -> None:
        try:
            refresh()
        except Exception:  # the old version goes on, whatever is wrong with the new one
            logger.exception("looking for a new version failed")

    return run

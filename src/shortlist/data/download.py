"""Files from the network: fetched once, checked, kept in the user's cache."""

import sys
from pathlib import Path
from typing import Any

from shortlist._extras import needs
from shortlist.data.errors import DataError


def download(url: str, *, md5: str | None, folder: str | Path | None = None) -> Path:
    """Return the local path of a file, fetched if it is not there yet or has another content.

    Args:
        url: Where it is; http, https or ftp.
        md5: The hash its publisher gives. Without one, a file that is there is taken as it is.
        folder: Where it is kept; the user's cache folder by default.

    Raises:
        DataError: It cannot be fetched, or what came has another hash.
    """
    with needs("A download", "data"):
        import pooch

    name = url.rpartition("/")[2]
    showing = sys.stderr.isatty()
    try:
        path = pooch.retrieve(
            url,
            known_hash=None if md5 is None else f"md5:{md5}",
            fname=name,
            path=pooch.os_cache("shortlist") if folder is None else Path(folder),
            downloader=pooch.HTTPDownloader(progressbar=_Progress(name) if showing else False),
        )
    except (OSError, ValueError) as error:
        raise DataError(
            f"{name} could not be downloaded from {url}: {error} "
            "Where it is already on this machine, give its path as `data_dir`."
        ) from error
    return Path(path)


class _Progress:
    """A Rich progress bar behind the three methods that pooch calls."""

    def __init__(self, name: str) -> None:
        from rich.console import Console
        from rich.progress import DownloadColumn, Progress, TransferSpeedColumn

        self._bars = Progress(
            *Progress.get_default_columns(),
            DownloadColumn(),
            TransferSpeedColumn(),
            console=Console(stderr=True),
        )
        self._bar = self._bars.add_task(name, total=None)
        self.total: int = 0

    def update(self, size: int) -> None:
        self._bars.start()
        self._bars.update(self._bar, total=self.total or None, advance=size)

    def reset(self) -> None:
        self._bars.update(self._bar, completed=0)

    def close(self, *_: Any) -> None:
        self._bars.stop()

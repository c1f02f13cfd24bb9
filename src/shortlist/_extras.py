"""What each extra of the package installs, and what is said where one is missing."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

# The modules an extra brings, as they are imported; pyproject.toml names the packages.
_DATA = ("polars", "pooch", "rich")
_BUNDLE = (*_DATA, "msgspec", "onnxruntime", "typer")
_KERAS = ("keras", "keras_rs")
_TRAIN = (*_BUNDLE, *_KERAS, "onnx", "scipy")
EXTRAS = {
    "data": _DATA,
    "pandas": (*_DATA, "pandas", "pyarrow"),
    "keras": _KERAS,
    "bundle": _BUNDLE,
    "train": (*_TRAIN, "jax"),
    "tensorflow": (*_TRAIN, "tensorflow"),
    "torch": (*_TRAIN, "torch"),
    "search": ("optuna",),
    "serve": (*_BUNDLE, "litestar", "uvicorn", "uvloop", "httptools", "prometheus_client"),
    "report": (*_BUNDLE, "matplotlib", "jinja2"),
    "postgres": (*_BUNDLE, "psycopg"),
}

# Keras's backends, in the order in which one is chosen, each with the extra that brings it.
BACKENDS = {"jax": "train", "tensorflow": "tensorflow", "torch": "torch"}


class MissingExtraError(ModuleNotFoundError):
    """Something needs packages that are not installed; the message names the extra."""


class MissingBackendError(MissingExtraError):
    """Keras is installed, and the backend it is set to is not."""


def require(what: str, extra: str) -> None:
    """Raise unless all that an extra brings is installed.

    Args:
        what: What needs it, the subject of the sentence.
        extra: One of `EXTRAS`. `"train"` stands for the extra of the backend that is wanted.

    Raises:
        MissingExtraError: Naming what is missing and how to install it.

    Example:
        >>> require("A tour of the data", "data")
    """
    extra = _with_backend(extra)
    if lacking := [module for module in EXTRAS[extra] if not is_installed(module)]:
        names, verb = ", ".join(lacking), "is" if len(lacking) == 1 else "are"
        raise MissingExtraError(
            f"{what} needs {names}, which {verb} not installed. "
            f"Install what is missing with: pip install 'shortlist[{extra}]'",
            name=lacking[0],
        )


@contextmanager
def needs(what: str, extra: str) -> Iterator[None]:
    """Run imports; where a package is missing, say which extra brings it.

    Where such blocks are nested, the outermost names the extra. An import that fails although the
    extra is all there keeps its own error.

    Args:
        what: What needs the packages, the subject of the sentence.
        extra: The extra that brings all of them, as for `require`.

    Raises:
        MissingExtraError: An import failed because a package is not installed.

    Example:
        >>> with needs("A plot", "report"):
        ...     from matplotlib.figure import Figure
    """
    try:
        yield
    except MissingBackendError:
        raise
    except ImportError as error:
        module = error.name or ""
        if module in BACKENDS and is_installed("keras"):
            raise _missing_backend(what, module) from error
        try:
            require(what, extra)
        except MissingExtraError as missing:
            raise missing from error
        raise


def choose_backend() -> str | None:
    """Return what `KERAS_BACKEND` says, or else the first of `BACKENDS` that is installed."""
    return os.environ.get("KERAS_BACKEND") or next(filter(is_installed, BACKENDS), None)


def is_installed(module: str) -> bool:
    """Whether a top-level module can be found, without importing it."""
    return find_spec(module) is not None


def _with_backend(extra: str) -> str:
    backend = choose_backend()
    if extra == "train" or (extra == "keras" and backend is None):
        return BACKENDS.get(backend or "jax", "train")
    return extra


def _missing_backend(what: str, backend: str) -> MissingBackendError:
    remedy = f"pip install 'shortlist[{BACKENDS[backend]}]'"
    if other := next(filter(is_installed, BACKENDS), None):
        remedy = (
            f"Set KERAS_BACKEND={other} in the environment before Keras is imported, or: {remedy}"
        )
    return MissingBackendError(
        f"{what} needs Keras, which is set to use {backend}, and that is not installed. {remedy}",
        name=backend,
    )

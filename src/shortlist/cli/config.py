"""The TOML file of `shortlist train`."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from shortlist.cli.datasets import NAMES, one_separator

# The names of `shortlist.models.objectives.OBJECTIVES`, here without importing Keras.
Objective = Literal[
    "retrieval", "rating", "multitask", "catalogue", "least_squares", "bpr", "cosine_contrastive"
]

# What each table may hold: the name of the setting of `Recipe`, and its type or choices.
_SETTINGS: dict[str, dict[str, tuple[str, Any]]] = {
    "split": {
        "how": ("split", ("random", "time", "last")),
        "test": ("test", float),
    },
    "model": {
        "objective": ("objective", get_args(Objective)),
        "options": ("options", dict),
        "embedding_dim": ("embedding_dim", int),
        "layer_sizes": ("layer_sizes", list),
        "cross_layers": ("cross_layers", int),
        "pooling": ("pooling", ("mean", "sqrt", "sum")),
        "history": ("history", bool),
        "dropout": ("dropout", float),
    },
    "training": {
        "epochs": ("epochs", int),
        "batch_size": ("batch_size", int),
        "optimizer": ("optimizer", ("adam", "adagrad")),
        "learning_rate": ("learning_rate", float),
        "weight_decay": ("weight_decay", float),
        "decay": ("decay", bool),
        "patience": ("patience", int),
        "seed": ("seed", int),
    },
    "features": {
        "user": ("user_features", dict),
        "item": ("item_features", dict),
        "time": ("time_features", dict),
    },
}
_DATA = {
    "dataset": str,
    "users": str,
    "items": str,
    "columns": dict,
    "separator": str,
    "encoding": str,
    "text_ids": bool,
    "time_unit": ("s", "ms", "us", "ns"),
}
_CALLED = {
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    list: "a list of whole numbers",
    dict: "a table",
}


class ConfigError(ValueError):
    """A file that is no configuration; the message names file, key and remedy."""


@dataclass(frozen=True)
class Config:
    """What a TOML file says.

    Attributes:
        dataset: The name of a data set, or the path of a file, a folder, or a pattern.
        users: For files: the table of user features.
        items: For files: the table of item features.
        columns: For files: what the columns are called, by our name.
        separator: For text: what stands between columns.
        encoding: For text: its encoding.
        text_ids: For files: whether all ids are text.
        time_unit: For files: what numbers in `timestamp` count.
        settings: Settings of `Recipe`.
    """

    dataset: str = "sample"
    users: Path | None = None
    items: Path | None = None
    columns: Mapping[str, str] | None = None
    separator: str | None = None
    encoding: str | None = None
    text_ids: bool | None = None
    time_unit: Literal["s", "ms", "us", "ns"] | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Config:
        """Reads a file; paths in it start from its own folder.

        Args:
            path: The TOML file.

        Raises:
            ConfigError: It cannot be read, is not TOML, or has a key or value that is not known.
        """
        try:
            document = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigError(f"{path} cannot be read: {error.strerror}.") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path} is not TOML: {error}.") from None
        try:
            return cls._from(document, path.parent)
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from None

    @classmethod
    def _from(cls, document: Mapping[str, Any], folder: Path) -> Config:
        settings: dict[str, Any] = {}
        data: dict[str, Any] = {}
        for name, table in document.items():
            _known("table", name, ["data", *_SETTINGS])
            _typed(name, table, dict)
            for key, value in table.items():
                at = f"{name}.{key}"
                if name == "data":
                    _known("key", key, _DATA, name)
                    data[key] = _typed(at, value, _DATA[key])
                else:
                    _known("key", key, _SETTINGS[name], name)
                    setting, kind = _SETTINGS[name][key]
                    settings[setting] = _typed(at, value, kind)
        _check_features(settings)
        for key in ("users", "items"):
            if key in data:
                data[key] = folder / data[key]
        for ours, theirs in data.get("columns", {}).items():
            _typed(f"data.columns.{ours}", theirs, str)
        if "separator" in data:
            try:
                data["separator"] = one_separator(data["separator"])
            except ValueError as error:
                raise ConfigError(f"data.separator: {error}") from None
        dataset = data.get("dataset", NAMES[0])
        if (folder / dataset).is_file() or (dataset not in NAMES and _is_path(folder, dataset)):
            data["dataset"] = str(folder / dataset)
        return cls(**data, settings=settings)


def _is_path(folder: Path, dataset: str) -> bool:
    """Whether a data set that no name stands for is a path, even of a file that is not there."""
    from shortlist.data.paths import is_path

    path = Path(dataset)
    return bool(path.suffix) or path.name != dataset or is_path(str(folder / dataset))


def _known(what: str, name: str, names: Any, table: str = "") -> None:
    from shortlist.data.errors import nearest

    if name not in names:
        where = f" in [{table}]" if table else ""
        raise ConfigError(f"unknown {what} {name!r}{where}{nearest(name, names)}")


def _typed(at: str, value: Any, kind: Any) -> Any:
    from shortlist.data.errors import nearest

    if isinstance(kind, tuple):
        if not isinstance(value, str) or value not in kind:
            raise ConfigError(f"{at} cannot be {value!r}{nearest(str(value), kind)}")
        return value
    accepted = (int, float) if kind is float else kind
    fits = isinstance(value, accepted) and (kind is bool or not isinstance(value, bool))
    if kind is list and fits:
        fits = all(isinstance(item, int) and not isinstance(item, bool) for item in value)
    if not fits:
        raise ConfigError(f"{at} must be {_CALLED[kind]}, got {value!r}.")
    return tuple(value) if kind is list else value


def _check_features(settings: Mapping[str, Any]) -> None:
    from shortlist.data import DataError
    from shortlist.data.features import FeatureSpec

    for side in ("user", "item", "time"):
        features = settings.get(f"{side}_features")
        if features:
            try:
                FeatureSpec.from_dict(features)
            except DataError as error:
                raise ConfigError(f"features.{side}: {error}") from None

"""All features of one side of a model, declared once and used wherever examples are encoded."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from shortlist.data.errors import DataError, nearest
from shortlist.data.features.categorical import Category, Cross, Hash
from shortlist.data.features.feature import ColumnFeature, Feature, Output, column_of
from shortlist.data.features.lists import Categories, History, Text
from shortlist.data.features.numeric import Bucket, Number
from shortlist.data.features.temporal import Age, Time

KINDS: Mapping[str, type[Feature]] = {
    kind.kind: kind
    for kind in (Number, Bucket, Category, Hash, Cross, Categories, Text, History, Time, Age)
}


class FeatureSpec(Mapping[str, Feature]):
    """Features by name: what is made of the columns of a table, or of the values of one request.

    A spec never changes: `adapt` returns one that has learnt from data, `transform` and
    `transform_one` encode, and `to_dict` keeps it as plain data.

    Args:
        features: Each feature by its name, in the order of its outputs.

    Raises:
        DataError: No features, or a cross of features that are not there or not an index.

    Example:
        >>> import polars as pl
        >>> spec = FeatureSpec(
        ...     {
        ...         "gender": Category(),
        ...         "age": Bucket(boundaries=(18.0, 65.0)),
        ...         "both": Cross(of=("gender", "age")),
        ...     }
        ... )
        >>> people = pl.DataFrame({"gender": ["F", "M", "F"], "age": [30, 70, 12]})
        >>> spec = spec.adapt(people)
        >>> {name: array.tolist() for name, array in spec.transform(people).items()}
        {'gender': [1, 2, 1], 'age': [2, 3, 1], 'both': [6, 11, 5]}
        >>> spec.transform_one({"gender": "F", "age": 30})["both"]
        array([6], dtype=int32)
    """

    def __init__(self, features: Mapping[str, Feature]) -> None:
        if not features:
            raise DataError("a feature spec needs at least one feature.")
        self._features: dict[str, Feature] = {}
        self._columns: dict[str, ColumnFeature] = {}
        self._crosses: dict[str, Cross] = {}
        for name, feature in features.items():
            if isinstance(feature, ColumnFeature):
                named = feature if feature.column else replace(feature, column=name)
                self._columns[name] = self._features[name] = named
            elif isinstance(feature, Cross):
                self._crosses[name] = self._features[name] = feature
            else:
                raise DataError(f"feature {name!r} must be a feature, got {feature!r}.")
        for name, cross in self._crosses.items():
            for other in cross.of:
                if other not in self._features:
                    hint = nearest(other, self._features)
                    raise DataError(f"feature {name!r} crosses {other!r}, which is not there{hint}")
                if not isinstance(self._features[other], (Category, Hash, Bucket, Time)):
                    kind = self._features[other].kind
                    raise DataError(
                        f"feature {name!r} crosses {other!r}, but a {kind} is not one index."
                    )

    def __getitem__(self, name: str) -> Feature:
        return self._features[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._features)

    def __len__(self) -> int:
        return len(self._features)

    def __hash__(self) -> int:
        return hash(tuple(self._features.items()))

    def __repr__(self) -> str:
        return f"FeatureSpec({self._features!r})"

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns it reads, each once."""
        return tuple(dict.fromkeys(str(feature.column) for feature in self._columns.values()))

    @property
    def is_adapted(self) -> bool:
        """Whether nothing is left to learn."""
        return all(feature.is_adapted for feature in self.values())

    @property
    def outputs(self) -> dict[str, Output]:
        """What each feature becomes: the kind, width and size of its array.

        Raises:
            DataError: The spec is not adapted to data.
        """
        self._check_adapted()
        return {name: feature.output for name, feature in self.items()}

    def adapt(self, table: Any) -> "FeatureSpec":
        """Return the spec with what its features learn from a table; this one stays as it is.

        Give it train alone: what test holds must not be learnt.

        Args:
            table: A Polars, pandas or Arrow table, or a mapping of columns.

        Raises:
            DataError: A missing column, or one that does not fit its feature.
        """
        adapted: dict[str, Feature] = {}
        for name, feature in self._columns.items():
            with _naming(name):
                adapted[name] = feature.adapt(column_of(table, str(feature.column)))
        for name, cross in self._crosses.items():
            with _naming(name):
                adapted[name] = cross.adapt([adapted[other].output.size or 0 for other in cross.of])
        return FeatureSpec({name: adapted[name] for name in self})

    def transform(self, table: Any) -> dict[str, npt.NDArray[Any]]:
        """Encode a table.

        Args:
            table: A Polars, pandas or Arrow table, or a mapping of columns; it may have others.

        Returns:
            An array per feature: float32 (n,), int32 (n,) or int32 (n, width), as `outputs` says.

        Raises:
            DataError: A missing column, one that does not fit its feature, or a spec not adapted.
        """
        self._check_adapted()
        arrays: dict[str, npt.NDArray[Any]] = {}
        for name, feature in self._columns.items():
            with _naming(name):
                arrays[name] = feature.encode(column_of(table, str(feature.column)))
        for name, cross in self._crosses.items():
            arrays[name] = cross.encode([arrays[other] for other in cross.of])
        return {name: arrays[name] for name in self}

    def transform_one(self, values: Mapping[str, Any]) -> dict[str, npt.NDArray[Any]]:
        """Encode one example, fast enough for a request.

        Args:
            values: The value of each column; one that is left out is missing.

        Returns:
            What `transform` gives for a table of this one row.

        Raises:
            DataError: A value no feature reads, one that does not fit, or a spec not adapted.
        """
        dtypes = self._dtypes
        for column in values:
            if column not in self._read:
                raise DataError(f"no feature reads {column!r}{nearest(column, self._read)}")
        encoded: dict[str, Any] = {}
        name = ""
        try:
            for name, column, encode_one in self._encoders:
                encoded[name] = encode_one(values.get(column))
        except DataError as error:
            raise DataError(f"feature {name!r}: {error}") from error
        for name, cross in self._crosses.items():
            encoded[name] = cross.encode_one([encoded[other] for other in cross.of])
        return {name: np.array([encoded[name]], dtype) for name, dtype in dtypes.items()}

    # What `transform_one` looks up, worked out once.

    @cached_property
    def _dtypes(self) -> dict[str, np.dtype[Any]]:
        return {name: np.dtype(output.dtype) for name, output in self.outputs.items()}

    @cached_property
    def _read(self) -> frozenset[str]:
        return frozenset(self.columns)

    @cached_property
    def _encoders(self) -> list[tuple[str, str, Callable[[Any], Any]]]:
        return [(name, str(f.column), f.encode_one) for name, f in self._columns.items()]

    def describe(self) -> str:
        """Say what each feature became, a line each.

        Example:
            >>> print(FeatureSpec({"city": Hash(size=50), "hour": Time("seen")}).describe())
            city: hash of city into 50 → index, int32
            hour: hour of seen → index, int32
        """
        lines = []
        for name, output in self.outputs.items():
            shape = f" x {output.width}" if output.shape else ""
            lines.append(f"{name}: {self[name].describe()} → {output.kind}, {output.dtype}{shape}")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Return the spec as plain data, fit for JSON: each feature by name."""
        return {name: feature.to_dict() for name, feature in self.items()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "FeatureSpec":
        """Return the spec that plain data describes, adapted or only declared.

        Args:
            data: Each feature by name: its `kind`, and the fields of that kind.

        Raises:
            DataError: An unknown kind or key (the nearest is named), or a value that does not fit.

        Example:
            >>> FeatureSpec.from_dict({"age": {"kind": "bucket", "count": 5}})
            FeatureSpec({'age': Bucket(column='age', count=5, boundaries=None)})
        """
        if not isinstance(data, Mapping):
            raise DataError(f"a feature spec is a table of features by name, got {data!r}.")
        features: dict[str, Feature] = {}
        for name, fields in data.items():
            if not isinstance(fields, Mapping) or "kind" not in fields:
                raise DataError(f"feature {name!r} needs a 'kind', got {fields!r}.")
            kind = fields["kind"]
            if kind not in KINDS:
                raise DataError(
                    f"feature {name!r}: unknown kind {kind!r}{nearest(str(kind), KINDS)}"
                )
            with _naming(name):
                features[name] = KINDS[kind].from_dict(fields)
        return cls(features)

    def _check_adapted(self) -> None:
        for name, feature in self.items():
            if not feature.is_adapted:
                raise DataError(f"feature {name!r} has not learnt from data yet; call adapt first.")


@contextmanager
def _naming(name: str) -> Iterator[None]:
    """Let an error say which feature it was."""
    try:
        yield
    except DataError as error:
        raise DataError(f"feature {name!r}: {error}") from error

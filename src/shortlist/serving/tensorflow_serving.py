"""The REST dialect of TensorFlow Serving, as its clients speak it.

Source: https://www.tensorflow.org/tfx/serving/api_rest
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
import numpy as np
from litestar import Router, get, post
from litestar.datastructures import State
from litestar.params import FromPath, JSONBody, PathParameter

from shortlist.serving.answers import Query, Service, found
from shortlist.serving.errors import LOOKUP_ERRORS, QUERY_ERRORS, RequestError
from shortlist.serving.model import ServedModel

DEFAULT_SIGNATURE = "serving_default"
IDS_SIGNATURE = "item_ids"  # one output, whose name is dropped, as TensorFlow Serving does
LOWEST = float(np.finfo(np.float32).min)  # JSON has no -Infinity
LABELS = ("latest", "stable")


class PredictRequest(msgspec.Struct):
    """Rows or columns of user ids, each with or without `k` and `exclude_seen`."""

    signature_name: str = DEFAULT_SIGNATURE
    instances: list[Any] | None = None
    inputs: Any = None


class Row(msgspec.Struct):
    """What was found for one user, best first."""

    item_id: list[int | str]
    score: list[float]
    count: int


class Rows(msgspec.Struct):
    """The answer to rows; the items alone if only they were asked for."""

    predictions: list[Row | list[int | str]]


class Columns(msgspec.Struct):
    """What was found for all users, in rectangles; `count` of each row was found."""

    item_id: list[list[int | str]]
    score: list[list[float]]
    count: list[int]


class Outputs(msgspec.Struct):
    """The answer to columns; the items alone if only they were asked for."""

    outputs: Columns | list[list[int | str]]


class VersionError(msgspec.Struct):
    """That nothing is wrong with a version."""

    error_code: str = "OK"
    error_message: str = ""


class VersionStatus(msgspec.Struct):
    """The state of a version."""

    version: str
    state: str
    status: VersionError


class ModelStatus(msgspec.Struct):
    """The state of the version that answers."""

    model_version_status: list[VersionStatus]


class ModelSpec(msgspec.Struct):
    """Name and version of a model."""

    name: str
    signature_name: str
    version: str


class ModelMetadata(msgspec.Struct):
    """Inputs and outputs, in the words of a SavedModel's signatures."""

    model_spec: ModelSpec
    metadata: dict[str, Any]


@dataclass(frozen=True)
class _Asked:
    users: Sequence[Any]
    k: Sequence[int]
    exclude_seen: Sequence[bool]


_Predicted = Annotated[str, PathParameter(description="The model (or version), then `:predict`.")]


@post("/{name:str}", status_code=200, responses=QUERY_ERRORS, summary="Predict")
async def predict(name: _Predicted, data: JSONBody[PredictRequest], state: State) -> Rows | Outputs:
    """Answer `NAME:predict` with the newest version."""
    return await _predict(state.service, _subject(name), None, data)


@post(
    "/{name:str}/versions/{version:str}",
    status_code=200,
    responses=QUERY_ERRORS,
    summary="Predict with one version",
)
async def predict_version(
    name: FromPath[str], version: _Predicted, data: JSONBody[PredictRequest], state: State
) -> Rows | Outputs:
    """Answer `NAME/versions/N:predict` with one version; 0 is the newest."""
    return await _predict(state.service, name, _subject(version), data)


@post(
    "/{name:str}/labels/{label:str}",
    status_code=200,
    responses=QUERY_ERRORS,
    summary="Predict with a labelled version",
)
async def predict_label(
    name: FromPath[str], label: _Predicted, data: JSONBody[PredictRequest], state: State
) -> Rows | Outputs:
    """Answer `NAME/labels/LABEL:predict` with the version that has a label."""
    _check_label(_subject(label))
    return await _predict(state.service, name, None, data)


@get(
    ["/{name:str}", "/{name:str}/versions/{version:str}", "/{name:str}/labels/{label:str}"],
    responses=LOOKUP_ERRORS,
    summary="State of a model",
)
async def status(
    name: FromPath[str],
    state: State,
    version: FromPath[str | None] = None,
    label: FromPath[str | None] = None,
) -> ModelStatus:
    """The state of the version that answers."""
    if label is not None:
        _check_label(label)
    model = served(state.service, name, version)
    return ModelStatus([VersionStatus(str(model.version), "AVAILABLE", VersionError())])


@get(
    ["/{name:str}/metadata", "/{name:str}/versions/{version:str}/metadata"],
    responses=LOOKUP_ERRORS,
    summary="Signatures of a model",
)
async def metadata(
    name: FromPath[str], state: State, version: FromPath[str | None] = None
) -> ModelMetadata:
    """Inputs and outputs, in the words of a SavedModel's signatures."""
    model = served(state.service, name, version)
    integer_ids = model.bundle.items.id_array.dtype.kind == "i"
    inputs = {
        "user_id": _tensor("user_id", "DT_STRING", [-1]),
        "k": _tensor("k", "DT_INT32", [-1]),
        "exclude_seen": _tensor("exclude_seen", "DT_BOOL", [-1]),
    }
    item_id = _tensor("item_id", "DT_INT64" if integer_ids else "DT_STRING", [-1, -1])
    outputs = {
        "item_id": item_id,
        "score": _tensor("score", "DT_FLOAT", [-1, -1]),
        "count": _tensor("count", "DT_INT32", [-1]),
    }
    signatures = {
        DEFAULT_SIGNATURE: _signature(inputs, outputs),
        IDS_SIGNATURE: _signature(inputs, {"item_id": item_id}),
    }
    return ModelMetadata(
        ModelSpec(name, "", str(model.version)), {"signature_def": {"signature_def": signatures}}
    )


router = Router(
    "/v1/models",
    route_handlers=[predict, predict_version, predict_label, status, metadata],
    tags=["TensorFlow Serving"],
)


def served(service: Service, name: str, version: str | None) -> ServedModel:
    """Return the model by the name and version in a path.

    Raises:
        RequestError: There is no such model or version (404).
    """
    if name != service.settings.name:
        raise RequestError(404, f"unknown model {name!r}; the model is {service.settings.name!r}")
    if version is None:
        return service.repository.model()
    if not (version.isascii() and version.isdigit() and len(version) < 19):
        raise RequestError(404, f"A version is a number, got {version!r}.")
    return service.repository.model(int(version))


async def _predict(
    service: Service, name: str, version: str | None, body: PredictRequest
) -> Rows | Outputs:
    model = served(service, name, version)
    if body.signature_name not in (DEFAULT_SIGNATURE, IDS_SIGNATURE):
        raise RequestError(
            400,
            f"unknown signature_name {body.signature_name!r}; "
            f"there are {DEFAULT_SIGNATURE!r} and {IDS_SIGNATURE!r}",
        )
    if (body.instances is None) == (body.inputs is None):
        raise RequestError(400, "Give either `instances` (rows) or `inputs` (columns).")
    if body.instances is not None:
        asked = _from_instances(body.instances)
    else:
        asked = _from_inputs(body.inputs, service.settings.limits.rows)
    limit = service.settings.limits.k
    if any(not 1 <= k <= limit for k in asked.k):
        raise RequestError(400, f"`k` must be from 1 to {limit}, got {asked.k}."[:200])
    query = Query(k=max(asked.k, default=1), exclude_seen=asked.exclude_seen)
    answer = await service.recommend_users(model, asked.users, query)
    result = answer.result
    counts = [min(k, found(result, row)) for row, k in enumerate(asked.k)]
    ids, scores = result.ids.tolist(), result.scores.tolist()
    only_ids = body.signature_name == IDS_SIGNATURE
    if body.instances is not None:
        rows = [
            ids[row][:count] if only_ids else Row(ids[row][:count], scores[row][:count], count)
            for row, count in enumerate(counts)
        ]
        return Rows(rows)
    blank = -1 if result.ids.dtype.kind == "i" else ""
    item_id = _rectangular(ids, counts, query.k, blank)
    if only_ids:
        return Outputs(item_id)
    return Outputs(Columns(item_id, _rectangular(scores, counts, query.k, LOWEST), counts))


def _subject(target: str) -> str:
    subject, _, method = target.rpartition(":")
    if method != "predict" or not subject:
        raise RequestError(404, f"unknown method {target!r}; POST goes to NAME:predict")
    return subject


def _from_instances(instances: list[Any]) -> _Asked:
    users, ks, seen = [], [], []
    for position, instance in enumerate(instances):
        record = instance if _is_record(instance) else {"user_id": instance}
        unknown = set(record) - {"user_id", "k", "exclude_seen"}
        if unknown or "user_id" not in record:
            raise RequestError(
                400,
                f"instances[{position}] must be a user id or a record of user_id, k and "
                f"exclude_seen, got {str(instance)[:100]}.",
            )
        users.append(_scalar(record["user_id"], "user_id"))
        ks.append(_count(_scalar(record.get("k", 10), "k")))
        seen.append(_flag(_scalar(record.get("exclude_seen", True), "exclude_seen")))
    return _Asked(users, ks, seen)


def _from_inputs(inputs: Any, most: int) -> _Asked:
    columns: Mapping[str, Any] = inputs if _is_record(inputs) else {"user_id": inputs}
    unknown = set(columns) - {"user_id", "k", "exclude_seen"}
    if unknown or "user_id" not in columns:
        raise RequestError(400, "`inputs` must have user_id, and may have k and exclude_seen.")
    users = [_scalar(user, "user_id") for user in _column(columns["user_id"])]
    if len(users) > most:
        raise RequestError(400, f"A request may have 1 to {most} rows, this one has {len(users)}.")
    ks = [_count(_scalar(k, "k")) for k in _column(columns.get("k", 10))]
    seen = [
        _flag(_scalar(value, "exclude_seen"))
        for value in _column(columns.get("exclude_seen", True))
    ]
    return _Asked(users, _spread(ks, len(users), "k"), _spread(seen, len(users), "exclude_seen"))


def _is_record(value: Any) -> bool:
    return isinstance(value, dict) and set(value) != {"b64"}


def _column(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _spread(values: list[Any], count: int, name: str) -> list[Any]:
    if len(values) == 1:
        return values * count
    if len(values) != count:
        raise RequestError(400, f"`{name}` must have 1 or {count} values, got {len(values)}.")
    return values


def _scalar(value: Any, name: str) -> Any:
    while isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, dict) and set(value) == {"b64"}:
        try:
            return base64.b64decode(value["b64"], validate=True).decode()
        except (binascii.Error, UnicodeDecodeError, TypeError, ValueError) as error:
            raise RequestError(400, f"`{name}` has bad base64: {error}.") from None
    if isinstance(value, list | dict) or value is None:
        raise RequestError(400, f"`{name}` must be one value a row, got {str(value)[:100]}.")
    return value


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise RequestError(400, f"`k` must be an integer, got {value!r}.")
    return value


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise RequestError(400, f"`exclude_seen` must be true or false, got {value!r}.")
    return value


def _rectangular(rows: list[list[Any]], counts: list[int], width: int, blank: Any) -> list[Any]:
    return [
        row[:count] + [blank] * (width - count) for row, count in zip(rows, counts, strict=True)
    ]


def _check_label(label: str) -> None:
    if label not in LABELS:
        raise RequestError(404, f"unknown label {label!r}; there are {', '.join(LABELS)}")


def _tensor(name: str, dtype: str, shape: list[int]) -> dict[str, Any]:
    dimensions = [{"size": str(size), "name": ""} for size in shape]
    return {
        "dtype": dtype,
        "name": f"{DEFAULT_SIGNATURE}_{name}:0",
        "tensor_shape": {"dim": dimensions, "unknown_rank": False},
    }


def _signature(inputs: dict[str, Any], outputs: dict[str, Any]) -> dict[str, Any]:
    return {
        "inputs": inputs,
        "outputs": outputs,
        "method_name": "tensorflow/serving/predict",
        "defaults": {},
    }

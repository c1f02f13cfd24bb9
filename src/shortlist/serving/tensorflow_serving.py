"""The REST dialect of TensorFlow Serving, as its clients speak it.

Source: https://www.tensorflow.org/tfx/serving/api_rest
"""

from typing import Annotated, Any

import msgspec
import numpy as np
from litestar import Router, get, post
from litestar.datastructures import State
from litestar.params import FromPath, JSONBody, PathParameter

from shortlist.serving.answers import Query, Service, found
from shortlist.serving.errors import LOOKUP_ERRORS, QUERY_ERRORS, RequestError
from shortlist.serving.model import ServedModel
from shortlist.serving.rows import from_inputs, from_instances

DEFAULT_SIGNATURE = "serving_default"
IDS_SIGNATURE = "item_ids"  # one output, whose name is dropped, as TensorFlow Serving does
LOWEST = float(np.finfo(np.float32).min)  # JSON has no -Infinity
LABELS = ("latest", "stable")


class PredictRequest(msgspec.Struct):
    """Rows or columns of user ids, each with or without `k` and `exclude_seen`."""

    signature_name: str | None = DEFAULT_SIGNATURE  # None and "" stand for the default
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


class PredictedColumns(msgspec.Struct):
    """What was found for all users, in rectangles; `count` of each row was found."""

    item_id: list[list[int | str]]
    score: list[list[float]]
    count: list[int]


class Outputs(msgspec.Struct):
    """The answer to columns; the items alone if only they were asked for."""

    outputs: PredictedColumns | list[list[int | str]]


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


class ModelSignatures(msgspec.Struct):
    """Inputs and outputs, in the words of a SavedModel's signatures."""

    model_spec: ModelSpec
    metadata: dict[str, Any]


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
) -> ModelSignatures:
    """Inputs and outputs, in the words of a SavedModel's signatures."""
    model = served(state.service, name, version)
    integer_ids = not model.bundle.items.text
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
    return ModelSignatures(
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
    signature = body.signature_name or DEFAULT_SIGNATURE
    if signature not in (DEFAULT_SIGNATURE, IDS_SIGNATURE):
        raise RequestError(
            400,
            f"unknown signature_name {signature!r}; "
            f"there are {DEFAULT_SIGNATURE!r} and {IDS_SIGNATURE!r}",
        )
    if (body.instances is None) == (body.inputs is None):
        raise RequestError(400, "Give either `instances` (rows) or `inputs` (columns).")
    limits = service.settings.limits
    if body.instances is not None:
        asked = from_instances(body.instances, limits)
    else:
        asked = from_inputs(body.inputs, limits)
    for k in asked.k:
        limits.check_k(k)
    query = Query(k=max(asked.k, default=1), exclude_seen=asked.exclude_seen)
    answer = await service.recommend_users(model, asked.users, query)
    result = answer.result
    counts = [min(k, found(result, row)) for row, k in enumerate(asked.k)]
    ids, scores = result.ids.tolist(), result.scores.tolist()
    only_ids = signature == IDS_SIGNATURE
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
    return Outputs(PredictedColumns(item_id, _rectangular(scores, counts, query.k, LOWEST), counts))


def _subject(target: str) -> str:
    subject, _, method = target.rpartition(":")
    if method != "predict" or not subject:
        raise RequestError(404, f"unknown method {target!r}; POST goes to NAME:predict")
    return subject


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

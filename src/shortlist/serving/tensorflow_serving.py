"""The REST dialect of TensorFlow Serving, as its clients speak it.

Source: https://www.tensorflow.org/tfx/serving/api_rest
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from litestar import Request, Response, Router, get, post
from litestar.datastructures import State
from litestar.params import FromPath

from shortlist.serving.answers import Query, Service, found
from shortlist.serving.errors import RequestError, decoded
from shortlist.serving.model import ServedModel

DEFAULT_SIGNATURE = "serving_default"
IDS_SIGNATURE = "item_ids"  # one output, whose name is dropped, as TensorFlow Serving does
LOWEST = float(np.finfo(np.float32).min)  # JSON has no -Infinity
LABELS = ("latest", "stable")


class _Body(msgspec.Struct):
    signature_name: str = DEFAULT_SIGNATURE
    instances: list[Any] | None = None
    inputs: Any = None


_BODY = msgspec.json.Decoder(_Body)


@dataclass(frozen=True)
class _Rows:
    users: Sequence[Any]
    k: Sequence[int]
    exclude_seen: Sequence[bool]


@post("/{target:str}", status_code=200)
async def predict(
    target: FromPath[str], request: Request[Any, Any, Any], state: State
) -> Response[bytes]:
    """Answer `NAME:predict` with the newest version."""
    return await _predict(state.service, _predicted(target), None, await request.body())


@post("/{name:str}/versions/{target:str}", status_code=200)
async def predict_version(
    name: FromPath[str], target: FromPath[str], request: Request[Any, Any, Any], state: State
) -> Response[bytes]:
    """Answer `NAME/versions/N:predict` with one version; 0 is the newest."""
    return await _predict(state.service, name, _predicted(target), await request.body())


@post("/{name:str}/labels/{target:str}", status_code=200)
async def predict_label(
    name: FromPath[str], target: FromPath[str], request: Request[Any, Any, Any], state: State
) -> Response[bytes]:
    """Answer `NAME/labels/LABEL:predict` with the version that has a label."""
    _check_label(_predicted(target))
    return await _predict(state.service, name, None, await request.body())


@get(["/{name:str}", "/{name:str}/versions/{version:str}", "/{name:str}/labels/{label:str}"])
async def status(
    name: FromPath[str], request: Request[Any, Any, Any], state: State
) -> dict[str, Any]:
    """The state of the version that answers."""
    if "label" in request.path_params:
        _check_label(request.path_params["label"])
    model = served(state.service, name, request.path_params.get("version"))
    return {
        "model_version_status": [
            {
                "version": str(model.version),
                "state": "AVAILABLE",
                "status": {"error_code": "OK", "error_message": ""},
            }
        ]
    }


@get(["/{name:str}/metadata", "/{name:str}/versions/{version:str}/metadata"])
async def metadata(
    name: FromPath[str], request: Request[Any, Any, Any], state: State
) -> dict[str, Any]:
    """Inputs and outputs, in the words of a SavedModel's signatures."""
    model = served(state.service, name, request.path_params.get("version"))
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
    return {
        "model_spec": {"name": name, "signature_name": "", "version": str(model.version)},
        "metadata": {"signature_def": {"signature_def": signatures}},
    }


router = Router(
    "/v1/models",
    route_handlers=[predict, predict_version, predict_label, status, metadata],
    include_in_schema=False,
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


async def _predict(service: Service, name: str, version: str | None, raw: bytes) -> Response[bytes]:
    model = served(service, name, version)
    body = decoded(_BODY, raw, "predict request")
    if body.signature_name not in (DEFAULT_SIGNATURE, IDS_SIGNATURE):
        raise RequestError(
            400,
            f"unknown signature_name {body.signature_name!r}; "
            f"there are {DEFAULT_SIGNATURE!r} and {IDS_SIGNATURE!r}",
        )
    if (body.instances is None) == (body.inputs is None):
        raise RequestError(400, "Give either `instances` (rows) or `inputs` (columns).")
    if body.instances is not None:
        rows = _from_instances(body.instances)
    else:
        rows = _from_inputs(body.inputs, service.settings.limits.rows)
    limit = service.settings.limits.k
    if any(not 1 <= k <= limit for k in rows.k):
        raise RequestError(400, f"`k` must be from 1 to {limit}, got {rows.k}."[:200])
    query = Query(k=max(rows.k, default=1), exclude_seen=rows.exclude_seen)
    answer = await service.recommend_users(model, rows.users, query)
    result = answer.result
    counts = [min(k, found(result, row)) for row, k in enumerate(rows.k)]
    ids, scores = result.ids.tolist(), result.scores.tolist()
    only_ids = body.signature_name == IDS_SIGNATURE
    document: dict[str, Any]
    if body.instances is not None:
        document = {
            "predictions": [
                ids[row][:count]
                if only_ids
                else {"item_id": ids[row][:count], "score": scores[row][:count], "count": count}
                for row, count in enumerate(counts)
            ]
        }
    else:
        blank = -1 if result.ids.dtype.kind == "i" else ""
        item_id = _rectangular(ids, counts, query.k, blank)
        document = {
            "outputs": item_id
            if only_ids
            else {
                "item_id": item_id,
                "score": _rectangular(scores, counts, query.k, LOWEST),
                "count": counts,
            }
        }
    return Response(msgspec.json.encode(document), media_type="application/json")


def _predicted(target: str) -> str:
    subject, _, method = target.rpartition(":")
    if method != "predict" or not subject:
        raise RequestError(404, f"unknown method {target!r}; POST goes to NAME:predict")
    return subject


def _from_instances(instances: list[Any]) -> _Rows:
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
    return _Rows(users, ks, seen)


def _from_inputs(inputs: Any, most: int) -> _Rows:
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
    return _Rows(users, _spread(ks, len(users), "k"), _spread(seen, len(users), "exclude_seen"))


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

"""The KServe v2 protocol (Open Inference Protocol), with binary tensors as Triton's clients send.

Source: https://kserve.github.io/website/docs/concepts/architecture/data-plane/v2-protocol
"""

import gzip
from importlib import metadata as packages
from typing import Any

import msgspec
import numpy as np
from litestar import Request, Response, Router, get, post
from litestar.datastructures import State
from litestar.params import FromPath

from shortlist.index import SearchResult
from shortlist.serving.answers import Query, Service
from shortlist.serving.errors import RequestError, decoded
from shortlist.serving.model import ServedModel
from shortlist.serving.tensorflow_serving import LOWEST, served
from shortlist.serving.tensors import InputTensor, OutputTensor, raw_bytes, read_input

HEADER_LENGTH = "inference-header-content-length"
OUTPUTS = {"item_id": "BYTES", "score": "FP32", "count": "INT32"}
_INPUTS = {"user_id": "BYTES", "k": "INT32", "exclude_seen": "BOOL"}
_GZIP_FROM = 1024


class _RequestedOutput(msgspec.Struct):
    name: str
    parameters: dict[str, Any] = {}


class _InferRequest(msgspec.Struct):
    inputs: list[InputTensor]
    id: str = ""
    parameters: dict[str, Any] = {}
    outputs: list[_RequestedOutput] | None = None


_INFER = msgspec.json.Decoder(_InferRequest)


class _InferResponse(msgspec.Struct, omit_defaults=True):
    model_name: str
    model_version: str
    outputs: list[OutputTensor]
    id: str = ""


@get("/v2")
async def server_metadata() -> dict[str, Any]:
    """Name, version and extensions of the server."""
    return {
        "name": "shortlist",
        "version": packages.version("shortlist"),
        "extensions": ["binary_tensor_data"],
    }


@get(["/v2/models/{name:str}", "/v2/models/{name:str}/versions/{version:str}"])
async def model_metadata(
    name: FromPath[str], request: Request[Any, Any, Any], state: State
) -> dict[str, Any]:
    """Inputs and outputs of the model."""
    model = served(state.service, name, request.path_params.get("version"))
    return {
        "name": name,
        "versions": [str(model.version)],
        "platform": "shortlist",
        "inputs": [
            {"name": "user_id", "datatype": "BYTES", "shape": [-1]},
            {"name": "k", "datatype": "INT32", "shape": [1]},
            {"name": "exclude_seen", "datatype": "BOOL", "shape": [1]},
        ],
        "outputs": [
            {"name": "item_id", "datatype": "BYTES", "shape": [-1, -1]},
            {"name": "score", "datatype": "FP32", "shape": [-1, -1]},
            {"name": "count", "datatype": "INT32", "shape": [-1]},
        ],
    }


@get(["/v2/models/{name:str}/ready", "/v2/models/{name:str}/versions/{version:str}/ready"])
async def model_ready(
    name: FromPath[str], request: Request[Any, Any, Any], state: State
) -> dict[str, Any]:
    """Whether the model answers."""
    model = served(state.service, name, request.path_params.get("version"))
    return {"name": name, "ready": True, "version": str(model.version)}


@post("/v2/models/{name:str}/infer", status_code=200)
async def infer(
    name: FromPath[str], request: Request[Any, Any, Any], state: State
) -> Response[bytes]:
    """Answer with the newest version."""
    return await _infer(state.service, name, None, request)


@post("/v2/models/{name:str}/versions/{version:str}/infer", status_code=200)
async def infer_version(
    name: FromPath[str], version: FromPath[str], request: Request[Any, Any, Any], state: State
) -> Response[bytes]:
    """Answer with one version."""
    return await _infer(state.service, name, version, request)


router = Router(
    "/",
    route_handlers=[server_metadata, model_metadata, model_ready, infer, infer_version],
    include_in_schema=False,
)


async def _infer(
    service: Service, name: str, version: str | None, request: Request[Any, Any, Any]
) -> Response[bytes]:
    model = served(service, name, version)
    asked, blob = _split(await request.body(), request.headers.get(HEADER_LENGTH))
    users, query = _query(asked, blob, service.settings.limits.rows)
    for output in asked.outputs or ():
        if output.name not in OUTPUTS:
            raise RequestError(
                400, f"unknown output {output.name!r}; there are {', '.join(OUTPUTS)}"
            )
    answer = await service.recommend_users(model, users, query)
    body, header_length = _response(asked, name, model, answer.result)
    headers = {} if header_length is None else {HEADER_LENGTH: str(header_length)}
    if len(body) >= _GZIP_FROM and "gzip" in request.headers.get("accept-encoding", ""):
        body = gzip.compress(body, compresslevel=1, mtime=0)
        headers["content-encoding"] = "gzip"
    media_type = "application/json" if header_length is None else "application/octet-stream"
    return Response(body, media_type=media_type, headers=headers)


def _split(body: bytes, header_length: str | None) -> tuple[_InferRequest, memoryview]:
    if header_length is None:
        length = len(body)
    elif not header_length.isascii() or not header_length.isdigit() or len(header_length) > 9:
        raise RequestError(400, f"{HEADER_LENGTH} must be a number, got {header_length!r}.")
    else:
        length = int(header_length)
    if length > len(body):
        raise RequestError(400, f"{HEADER_LENGTH} is {length}, the body has {len(body)} bytes.")
    view = memoryview(body)
    return decoded(_INFER, view[:length], "inference request"), view[length:]


def _query(asked: _InferRequest, blob: memoryview, most: int) -> tuple[list[Any], Query]:
    values: dict[str, list[Any]] = {}
    for tensor in asked.inputs:
        if tensor.name not in _INPUTS or tensor.name in values:
            raise RequestError(
                400, f"unknown or repeated input {tensor.name!r}; there are {', '.join(_INPUTS)}"
            )
        if tensor.name != "user_id" and tensor.datatype != _INPUTS[tensor.name]:
            raise RequestError(
                400, f"{tensor.name!r} must be {_INPUTS[tensor.name]}, got {tensor.datatype}."
            )
        values[tensor.name], taken = read_input(tensor, blob, most)
        blob = blob[taken:]
    if len(blob):
        raise RequestError(400, f"The body has {len(blob)} bytes that belong to no input.")
    if "user_id" not in values:
        raise RequestError(400, "The input 'user_id' is needed.")
    k = _single(values, "k", 10, int)
    return values["user_id"], Query(k=k, exclude_seen=_single(values, "exclude_seen", True, bool))


def _single(values: dict[str, list[Any]], name: str, default: Any, kind: type) -> Any:
    given = values.get(name, [default])
    if len(given) != 1 or type(given[0]) is not kind:
        raise RequestError(400, f"{name!r} must be one {_INPUTS[name]}, got {str(given)[:100]}.")
    return given[0]


def _response(
    asked: _InferRequest, name: str, model: ServedModel, result: SearchResult
) -> tuple[bytes, int | None]:
    padded = result.rows < 0
    ids = ["" if blank else str(i) for i, blank in zip(result.ids.flat, padded.flat, strict=True)]
    arrays: dict[str, Any] = {
        "item_id": ids,
        "score": result.scores,
        "count": np.count_nonzero(~padded, axis=1).astype(np.int32),
    }
    binary_by_default = asked.parameters.get("binary_data_output") is True
    wanted = asked.outputs or [_RequestedOutput(output) for output in OUTPUTS]
    outputs, blobs = [], []
    for output in wanted:
        datatype, array = OUTPUTS[output.name], arrays[output.name]
        shape = list(result.rows.shape[: 1 if output.name == "count" else 2])
        tensor = OutputTensor(output.name, datatype, shape)
        if output.parameters.get("binary_data", binary_by_default) is True:
            blob = raw_bytes(array, datatype)
            tensor.parameters = {"binary_data_size": len(blob)}
            blobs.append(blob)
        elif datatype == "FP32":
            tensor.data = np.where(padded, LOWEST, array).ravel().tolist()
        else:
            tensor.data = ids if datatype == "BYTES" else array.tolist()
        outputs.append(tensor)
    head = msgspec.json.encode(_InferResponse(name, str(model.version), outputs, asked.id))
    return head + b"".join(blobs), len(head) if blobs else None

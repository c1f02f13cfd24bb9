"""The KServe v2 protocol (Open Inference Protocol), with binary tensors as Triton's clients send.

Source: https://kserve.github.io/website/docs/concepts/architecture/data-plane/v2-protocol
"""

import gzip
from dataclasses import dataclass
from importlib import metadata as packages
from typing import Any

import msgspec
import numpy as np
from litestar import Request, Response, Router, get, post
from litestar.datastructures import State
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import (
    OpenAPIFormat,
    OpenAPIMediaType,
    OpenAPIType,
    Operation,
    Parameter,
    Schema,
)
from litestar.params import FromPath, JSONBody
from litestar.types import ASGIApp, Receive, Scope, Send

from shortlist.index import SearchResult
from shortlist.serving.answers import Query, Service
from shortlist.serving.errors import LOADING_ERRORS, LOOKUP_ERRORS, QUERY_ERRORS, RequestError
from shortlist.serving.gate import replayed
from shortlist.serving.model import ServedModel
from shortlist.serving.settings import Limits
from shortlist.serving.tensorflow_serving import LOWEST, served
from shortlist.serving.tensors import InputTensor, OutputTensor, raw_bytes, read_input

HEADER_LENGTH = "inference-header-content-length"
OUTPUTS = {"item_id": "BYTES", "score": "FP32", "count": "INT32"}
_INPUTS = {"user_id": "BYTES", "k": "INT32", "exclude_seen": "BOOL"}
_GZIP_FROM = 1024


class RequestedOutput(msgspec.Struct):
    """An output that is asked for; with the parameter `binary_data` as bytes."""

    name: str
    parameters: dict[str, Any] = {}


class InferRequest(msgspec.Struct):
    """The inputs, and which outputs are wanted; none means all."""

    inputs: list[InputTensor]
    id: str = ""
    parameters: dict[str, Any] = {}
    outputs: list[RequestedOutput] | None = None


class InferResponse(msgspec.Struct, omit_defaults=True):
    """The outputs, as JSON or with the sizes of the bytes that follow."""

    model_name: str
    model_version: str
    outputs: list[OutputTensor]
    id: str = ""


class ServerMetadata(msgspec.Struct):
    """Name, version and extensions of the server."""

    name: str
    version: str
    extensions: list[str]


class TensorMetadata(msgspec.Struct):
    """An input or an output; -1 is any size."""

    name: str
    datatype: str
    shape: list[int]


class ModelMetadata(msgspec.Struct):
    """Inputs and outputs of the model."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class ModelReady(msgspec.Struct):
    """Whether the model answers."""

    name: str
    ready: bool
    version: str


@dataclass
class _InferOperation(Operation):
    """Says that tensors may also come and go as bytes behind the JSON."""

    def __post_init__(self) -> None:
        raw = OpenAPIMediaType(Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.BINARY))
        length = Parameter(
            HEADER_LENGTH,
            "header",
            Schema(type=OpenAPIType.INTEGER, minimum=0),
            description="Bytes of JSON, where raw tensors follow it.",
        )
        self.parameters = [*(self.parameters or ()), length]
        for described in (self.request_body, (self.responses or {})["200"]):
            described.content["application/octet-stream"] = raw  # type: ignore[union-attr, index]


class _Framing:
    """Hands on the JSON of a body, and what follows it as `shortlist.tensors` of the scope."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        header_length = dict(scope["headers"]).get(HEADER_LENGTH.encode())
        if header_length is not None:
            message: Any = await receive()  # the gate has read all of it
            body, tensors = _split(message["body"], header_length)
            scope["shortlist.tensors"] = tensors  # type: ignore[typeddict-unknown-key]
            receive = replayed(body, receive)
        await self._app(scope, receive, send)


@get("/v2", responses=LOADING_ERRORS, summary="The server")
async def server_metadata() -> ServerMetadata:
    """Name, version and extensions of the server."""
    return ServerMetadata("shortlist", packages.version("shortlist"), ["binary_tensor_data"])


@get(
    ["/v2/models/{name:str}", "/v2/models/{name:str}/versions/{version:str}"],
    responses=LOOKUP_ERRORS,
    summary="Inputs and outputs of a model",
)
async def model_metadata(
    name: FromPath[str], state: State, version: FromPath[str | None] = None
) -> ModelMetadata:
    """Inputs and outputs of the model."""
    model = served(state.service, name, version)
    return ModelMetadata(
        name,
        [str(model.version)],
        "shortlist",
        [
            TensorMetadata("user_id", "BYTES", [-1]),
            TensorMetadata("k", "INT32", [1]),
            TensorMetadata("exclude_seen", "BOOL", [1]),
        ],
        [
            TensorMetadata("item_id", "BYTES", [-1, -1]),
            TensorMetadata("score", "FP32", [-1, -1]),
            TensorMetadata("count", "INT32", [-1]),
        ],
    )


@get(
    ["/v2/models/{name:str}/ready", "/v2/models/{name:str}/versions/{version:str}/ready"],
    responses=LOOKUP_ERRORS,
    summary="Whether a model is ready",
)
async def model_ready(
    name: FromPath[str], state: State, version: FromPath[str | None] = None
) -> ModelReady:
    """Whether the model answers."""
    model = served(state.service, name, version)
    return ModelReady(name, True, str(model.version))


@post(
    ["/v2/models/{name:str}/infer", "/v2/models/{name:str}/versions/{version:str}/infer"],
    status_code=200,
    responses={**QUERY_ERRORS, 200: ResponseSpec(InferResponse, description="What was found.")},
    operation_class=_InferOperation,
    summary="Infer",
    middleware=[_Framing],
)
async def infer(
    name: FromPath[str],
    data: JSONBody[InferRequest],
    request: Request[Any, Any, Any],
    state: State,
    version: FromPath[str | None] = None,
) -> Response[bytes]:
    """Answer with one version, or the newest."""
    service: Service = state.service
    model = served(service, name, version)
    tensors: Any = request.scope.get("shortlist.tensors", memoryview(b""))
    users, query = _query(data, tensors, service.settings.limits)
    for output in data.outputs or ():
        if output.name not in OUTPUTS:
            raise RequestError(
                400, f"unknown output {output.name!r}; there are {', '.join(OUTPUTS)}"
            )
    answer = await service.recommend_users(model, users, query)
    body, header_length = _response(data, name, model, answer.result)
    headers = {} if header_length is None else {HEADER_LENGTH: str(header_length)}
    if len(body) >= _GZIP_FROM and "gzip" in request.headers.get("accept-encoding", ""):
        body = gzip.compress(body, compresslevel=1, mtime=0)
        headers["content-encoding"] = "gzip"
    media_type = "application/json" if header_length is None else "application/octet-stream"
    return Response(body, media_type=media_type, headers=headers)


router = Router(
    "/", route_handlers=[server_metadata, model_metadata, model_ready, infer], tags=["KServe v2"]
)


def _split(body: bytes, header_length: bytes) -> tuple[bytes, memoryview]:
    if not header_length.isdigit() or len(header_length) > 9:
        raise RequestError(400, f"{HEADER_LENGTH} must be a number, got {header_length!r}.")
    length = int(header_length)
    if length > len(body):
        raise RequestError(400, f"{HEADER_LENGTH} is {length}, the body has {len(body)} bytes.")
    return body[:length], memoryview(body)[length:]


def _query(asked: InferRequest, blob: memoryview, limits: Limits) -> tuple[list[Any], Query]:
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
        values[tensor.name], taken = read_input(tensor, blob, limits.rows)
        blob = blob[taken:]
    if len(blob):
        raise RequestError(400, f"The body has {len(blob)} bytes that belong to no input.")
    if "user_id" not in values:
        raise RequestError(400, "The input 'user_id' is needed.")
    k = _single(values, "k", limits.usual_k, int)
    return values["user_id"], Query(k=k, exclude_seen=_single(values, "exclude_seen", True, bool))


def _single(values: dict[str, list[Any]], name: str, default: Any, kind: type) -> Any:
    given = values.get(name, [default])
    if len(given) != 1 or type(given[0]) is not kind:
        raise RequestError(400, f"{name!r} must be one {_INPUTS[name]}, got {str(given)[:100]}.")
    return given[0]


def _response(
    asked: InferRequest, name: str, model: ServedModel, result: SearchResult
) -> tuple[bytes, int | None]:
    padded = result.rows < 0
    ids = ["" if blank else str(i) for i, blank in zip(result.ids.flat, padded.flat, strict=True)]
    arrays: dict[str, Any] = {
        "item_id": ids,
        "score": result.scores,
        "count": np.count_nonzero(~padded, axis=1).astype(np.int32),
    }
    binary_by_default = asked.parameters.get("binary_data_output") is True
    wanted = asked.outputs or [RequestedOutput(output) for output in OUTPUTS]
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
    head = msgspec.json.encode(InferResponse(name, str(model.version), outputs, asked.id))
    return head + b"".join(blobs), len(head) if blobs else None

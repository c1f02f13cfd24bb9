"""Tensors of the KServe v2 protocol, as JSON and as raw bytes.

Source: https://kserve.github.io/website/docs/concepts/architecture/data-plane/v2-protocol and its
binary tensor data extension.
"""

import struct
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from shortlist.serving.errors import RequestError

_DTYPES: dict[str, Any] = {
    "BOOL": np.bool_,
    "INT8": np.int8,
    "INT16": np.int16,
    "INT32": np.int32,
    "INT64": np.int64,
    "UINT8": np.uint8,
    "UINT16": np.uint16,
    "UINT32": np.uint32,
    "UINT64": np.uint64,
    "FP32": np.float32,
}


class InputTensor(msgspec.Struct):
    """An input as it stands in the JSON of a request."""

    name: str
    shape: list[int]
    datatype: str
    parameters: dict[str, Any] = {}
    data: list[Any] | None = None


class OutputTensor(msgspec.Struct, omit_defaults=True):
    """An output as it stands in the JSON of an answer."""

    name: str
    datatype: str
    shape: list[int]
    parameters: dict[str, Any] = {}
    data: list[Any] | None = None


def read_input(tensor: InputTensor, blob: memoryview, most: int) -> tuple[list[Any], int]:
    """Return the values of an input, flat, and how many bytes of `blob` they took.

    Args:
        tensor: The input.
        blob: What is left of the binary part of the body.
        most: The most values it may have.

    Raises:
        RequestError: Shape, datatype and data do not fit each other (400).
    """
    count = 1
    for size in tensor.shape:
        count = count * size if 0 <= size <= most else most + 1
        if count > most:
            raise RequestError(
                400,
                f"Input {tensor.name!r} may have {most} rows (limit `rows`), "
                f"its shape is {str(tensor.shape)[:100]}.",
            )
    length = tensor.parameters.get("binary_data_size")
    if length is None:
        values = _flat(tensor.data)
        if len(values) != count:
            raise _mismatch(tensor, f"{len(values)} values")
        return values, 0
    if isinstance(length, bool) or not isinstance(length, int) or not 0 <= length <= len(blob):
        raise _mismatch(tensor, f"binary_data_size {length!r} with {len(blob)} bytes left")
    raw = blob[:length]
    if tensor.datatype == "BYTES":
        values = _read_bytes(tensor, raw)
    elif tensor.datatype in _DTYPES:
        dtype = np.dtype(_DTYPES[tensor.datatype])
        if length != count * dtype.itemsize:
            raise _mismatch(tensor, f"{length} bytes")
        values = np.frombuffer(raw, dtype.newbyteorder("<")).tolist()
    else:
        raise RequestError(400, f"unknown datatype {tensor.datatype!r} of input {tensor.name!r}")
    if len(values) != count:
        raise _mismatch(tensor, f"{len(values)} values")
    return values, length


def raw_bytes(array: npt.NDArray[Any] | Sequence[str], datatype: str) -> bytes:
    """Return an output in the raw form: little-endian numbers, or strings with their lengths."""
    if datatype != "BYTES":
        dtype = np.dtype(_DTYPES[datatype]).newbyteorder("<")
        return np.ascontiguousarray(array, dtype=dtype).tobytes()
    parts = []
    for text in array:
        encoded = text.encode()
        parts += [struct.pack("<I", len(encoded)), encoded]
    return b"".join(parts)


def _read_bytes(tensor: InputTensor, raw: memoryview) -> list[str]:
    values, position = [], 0
    while position < len(raw):
        if position + 4 > len(raw):
            raise _mismatch(tensor, "a length that is cut short")
        (length,) = struct.unpack_from("<I", raw, position)
        position += 4
        if position + length > len(raw):
            raise _mismatch(tensor, f"a string of {length} bytes beyond its end")
        try:
            values.append(bytes(raw[position : position + length]).decode())
        except UnicodeDecodeError as error:
            raise _mismatch(tensor, f"a string that is not UTF-8 ({error.reason})") from None
        position += length
    return values


def _flat(data: list[Any] | None) -> list[Any]:
    values = data or []
    while values and isinstance(values[0], list):
        if not all(isinstance(value, list) for value in values):
            return []
        values = [value for row in values for value in row]
    return values


def _mismatch(tensor: InputTensor, what: str) -> RequestError:
    return RequestError(
        400,
        f"Input {tensor.name!r} of datatype {tensor.datatype[:20]} and shape "
        f"{str(tensor.shape)[:100]} has {what}.",
    )

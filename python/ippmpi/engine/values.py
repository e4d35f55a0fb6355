# SPDX-License-Identifier: BSD-3-Clause
"""How values travel by name: arrays as their bytes, plain values as JSON, the rest as pickles."""

from __future__ import annotations

import keyword
import math
import sys
from typing import Any, Iterator, Sequence

from . import functions

Kind = dict[str, Any]  # {"array": {...}}, {"json": value} or {"pickle": {...}}

_RAW_KINDS = "biufcSUVmM"
_JSON_INT = 2**63
_described: dict[Any, Any] = {}  # numpy dtypes and how .npy files write them; None: not as bytes
_DESCRIBED_AT_MOST = 256
_scalars: set[int] = set()


def check_name(name: Any) -> str:
    """`name`, if it is one that code can use; else ValueError."""
    if not isinstance(name, str) or not name.isidentifier() or keyword.iskeyword(name):
        raise ValueError(f"{name!r} is no name of a variable")
    return name


def is_plain(value: Any) -> bool:
    """True for what JSON holds as it is, in every language."""
    kind = type(value)
    if kind is str:
        return _is_unicode(value)
    if kind is float:
        return math.isfinite(value)
    return value is None or kind is bool or (kind is int and -_JSON_INT <= value < _JSON_INT)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # lone surrogates
        return False
    return True


def encode(value: Any, observer: bool = False) -> tuple[Kind, list[Any]]:
    """How `value` travels, and its frames, which show its own memory where it is an array.

    For an observer nothing of the value's own code runs: PermissionError for what is no array and
    no plain value.
    """
    if is_plain(value):
        return {"json": value}, [b""]
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        if type(value) is numpy.ndarray and describe(value.dtype) is not None:
            return _encode_array(numpy, value, {})
        if id(type(value)) in _scalar_types(numpy) and describe(value.dtype) is not None:
            return _encode_array(numpy, numpy.asarray(value), {"scalar": True})
    if observer:
        raise PermissionError(
            "observers get arrays and plain values, and this is of type"
            f" {type.__getattribute__(type(value), '__name__')}"
        )
    frames = functions.dump(value)
    return {"pickle": {"python": functions._MINOR, "buffers": len(frames) - 1}}, frames


def _scalar_types(numpy: Any) -> set[int]:
    """By address: a type of the user's may have code even for being compared."""
    if not _scalars:
        _scalars.update(id(kind) for kind in numpy.sctypeDict.values())
    return _scalars


def _encode_array(numpy: Any, array: Any, more: Kind) -> tuple[Kind, list[Any]]:
    kind = {"array": {"dtype": describe(array.dtype), "shape": list(array.shape), **more}}
    if array.nbytes == 0:
        return kind, [b""]
    flat = numpy.ascontiguousarray(array).reshape(-1)
    return kind, [flat.view(numpy.uint8)]  # dates and others have no buffers of their own


def describe(dtype: Any) -> Any:
    """The dtype as .npy files write it; None when its bytes alone do not say the values."""
    try:
        return _described[dtype]
    except KeyError:
        pass
    import numpy

    told = None
    if dtype.kind in _RAW_KINDS and not dtype.hasobject and dtype.metadata is None:
        told = numpy.lib.format.dtype_to_descr(dtype)
        if numpy.lib.format.descr_to_dtype(told) != dtype:
            told = None
    if len(_described) >= _DESCRIBED_AT_MOST:
        _described.clear()
    _described[dtype] = told
    return told


def decode(kind: Kind, frames: Iterator[Any], namespace: dict[str, Any]) -> Any:
    """The value that the next of the frames hold; arrays are in their memory, without a copy.

    Raises ValueError for what is not as it has to be, PythonVersionError, or what unpickling
    raises.
    """
    try:
        first = next(frames)
        if "json" in kind:
            return kind["json"]
        if "array" in kind:
            return _decode_array(kind["array"], first)
        if "pickle" in kind:
            functions.check_version(kind["pickle"].get("python"))
            buffers = [next(frames) for _ in range(kind["pickle"]["buffers"])]
            return functions.load(first, buffers, namespace)
    except StopIteration:
        raise ValueError("there are fewer buffers than the content says") from None
    raise ValueError(f"a value travels as array, json or pickle, not as {', '.join(kind)}")


def _decode_array(told: Kind, frame: Any) -> Any:
    import numpy

    dtype = numpy.lib.format.descr_to_dtype(_npy_descr(told["dtype"]))
    shape = tuple(told["shape"])
    if dtype.hasobject:
        raise ValueError(f"an array of dtype {dtype} cannot travel as its bytes")
    if any(type(n) is not int or n < 0 for n in shape):
        raise ValueError(f"{shape} is no shape of an array")
    size = math.prod(shape) * dtype.itemsize
    if size != memoryview(frame).nbytes:
        raise ValueError(
            f"an array of {dtype} with shape {shape} takes {size} bytes,"
            f" and {memoryview(frame).nbytes} have come"
        )
    array = numpy.ndarray(shape, dtype, buffer=frame)
    if not array.flags.aligned:
        array = array.copy()
    return array[()] if told.get("scalar") else array


def _npy_descr(told: Any) -> Any:
    """JSON has no tuples, and numpy wants them for fields and shapes."""
    if isinstance(told, str):
        return told
    fields = []
    for name, descr, *shape in told:
        title = tuple(name) if isinstance(name, list) else name
        fields.append((title, _npy_descr(descr), *(tuple(n) for n in shape)))
    return fields


def encode_named(
    names: Sequence[str], namespace: dict[str, Any], observer: bool = False
) -> tuple[list[Kind], list[Any]]:
    """The `names` of an answer's content, and its buffers; NameError for one that is not there."""
    entries, frames = [], []
    for name in names:
        check_name(name)
        if name not in namespace:
            raise NameError(f"name {name!r} is not defined", name=name)
        kind, more = encode(namespace[name], observer)
        entries.append({"name": name, **kind})
        frames += more
    return entries, frames

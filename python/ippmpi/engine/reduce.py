# SPDX-License-Identifier: BSD-3-Clause
"""reduce_request: the engines' values of one name, combined on their way up a binomial tree.

An engine's children are the runs of engines behind it, nearest first; so what it combines from left
to right is in the order of the engines, and a function need not be commutative. Whatever goes wrong
travels up in the value's place: nobody waits for what will not come. If this engine's own request
ends before it has told its parent, C tells it of an error.
"""

from __future__ import annotations

import json
import operator
import sys
from typing import Any, Callable, Sequence

import _ippmpi_engine as engine

from . import functions, interrupt, values
from .errors import engine_info, error_content
from .messages import to_json

_OK = b'{"status": "ok"}'
_UFUNCS = {
    "sum": "add",
    "prod": "multiply",
    "min": "minimum",
    "max": "maximum",
    "and": "logical_and",
    "or": "logical_or",
}
_PLAIN: dict[str, Callable[[Any, Any], Any]] = {
    "sum": operator.add,
    "prod": operator.mul,
    "min": lambda a, b: b if b < a else a,
    "max": lambda a, b: b if b > a else a,
    "and": lambda a, b: bool(a) and bool(b),
    "or": lambda a, b: bool(a) or bool(b),
}


class EngineError(RuntimeError):
    """Another engine's part is missing."""


class _Below(Exception):
    """What failed below in the tree: the content of an error reply, as it came."""

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self.content = content


def reduce(request: Any, namespace: dict[str, Any]) -> tuple[str, bytes, Sequence[Any]]:
    """Combine; the first engine answers with the value, the others tell their parents."""
    parent, children = request.reduction_tree()
    try:
        content = json.loads(request.content)
        show = parent is None and content.get("show") is True
        entries, frames, shown = interrupt.call_user(
            _combine, request, content, children, namespace, show
        )
    except _Below as below:
        if parent is None:
            return "error", _named(below.content), []
        request.send_partial("error", below.content, [])
        return "ok", _OK, []
    except BaseException as error:
        if parent is not None:
            told = {**error_content(error, "reduce", plain=True), "status": "error"}
            request.send_partial("error", to_json(told), [])
        raise
    answer = {"status": "ok", "names": entries}
    if parent is None:
        return "ok", to_json({**answer, **shown}), frames
    request.send_partial("ok", to_json(answer), frames)
    return "ok", _OK, []


def _combine(
    request: Any,
    content: dict[str, Any],
    children: Sequence[int],
    namespace: dict[str, Any],
    show: bool,
) -> tuple[list[values.Kind], list[Any], dict[str, Any]]:
    """Names and buffers as in a pull, and what the answer says besides: `shown`, if that is asked."""
    name = values.check_name(content.get("name"))
    pair = _operation(request, content, namespace)
    if name not in namespace:
        raise NameError(f"name {name!r} is not defined", name=name)
    value = namespace[name]
    if content["op"] in ("and", "or", "sum", "prod"):
        value = _counted(content["op"], value)
    ours = False  # the user's own array stays as it is
    for child in children:
        value = pair(value, _await(request, child, name, namespace), ours, child)
        ours = True
    kind, frames = values.encode(value)
    return [{"name": name, **kind}], frames, _shown(value, kind) if show else {}


def _shown(value: Any, kind: values.Kind) -> dict[str, Any]:
    """How a value looks that a client without Python cannot tell from its bytes."""
    from . import terminal

    if "pickle" in kind:
        return {"shown": terminal.Shown(value)._repr_mimebundle_()}
    if "array" in kind and not isinstance(kind["array"]["dtype"], str):
        return {"shown": {"text/plain": repr(value)}}
    return {}


def _await(request: Any, child: int, name: str, namespace: dict[str, Any]) -> Any:
    said = request.await_partial(child)
    if said is None:
        raise EngineError(f"engine {child} died before its part of the reduction had come")
    status, content, buffers = said
    if status != "ok":
        raise _Below(content)
    kind = dict(json.loads(content)["names"][0])
    del kind["name"]
    return values.decode(kind, iter(buffers), namespace)


def _operation(
    request: Any, content: dict[str, Any], namespace: dict[str, Any]
) -> Callable[[Any, Any, bool, int], Any]:
    """A function of left, right, whether the left array may be written to, and whose right is."""
    op = content.get("op")
    if op == "function":
        functions.check_version(content.get("python"))
        frames = request.take_buffers()
        if len(frames) < 1:
            raise ValueError("op `function` wants a pickle of it")
        function = functions.load(frames[0], frames[1:], namespace)
        return lambda left, right, ours, child: function(left, right)
    if op == "source":
        from . import terminal

        source = content.get("source")
        if not isinstance(source, str):
            raise ValueError("op `source` wants a string `source`")
        called = terminal.find(source, namespace)
        return lambda left, right, ours, child: called(left, right)
    if op not in _PLAIN:
        raise ValueError(f"op {op!r} is none of {', '.join([*_PLAIN, 'function', 'source'])}")
    return lambda left, right, ours, child: _built_in(op, left, right, ours, child)


def _built_in(op: str, left: Any, right: Any, ours: bool, child: int) -> Any:
    numpy = sys.modules.get("numpy")
    if numpy is None or not (_is_numpy(numpy, left) or _is_numpy(numpy, right)):
        return _PLAIN[op](left, right)
    if _shape(numpy, left) != _shape(numpy, right):
        raise ValueError(
            f"from engine {engine.engine_id} on it is {_shape(numpy, left)},"
            f" from engine {child} on {_shape(numpy, right)}"
        )
    ufunc = getattr(numpy, _UFUNCS[op])
    out = None
    if type(left) is type(right) is numpy.ndarray and op not in ("and", "or"):
        out = left if ours else right  # what came is ours
    result = ufunc(left, right) if out is None or not out.flags.writeable else ufunc(left, right, out)
    return result


def _counted(op: str, value: Any) -> Any:
    """As numpy's sum, prod, all and any take them: truth values are counted, others have truth."""
    numpy = sys.modules.get("numpy")
    if numpy is None or not _is_numpy(numpy, value):
        return bool(value) if op in ("and", "or") else value
    if op in ("and", "or"):
        return value.astype(bool)
    return value.astype(int) if value.dtype == bool else value


def _is_numpy(numpy: Any, value: Any) -> bool:
    return isinstance(value, (numpy.ndarray, numpy.generic))


def _shape(numpy: Any, value: Any) -> str:
    """What two values must have in common, in words."""
    if not _is_numpy(numpy, value):
        return f"of type {type(value).__name__}"
    return f"of shape {value.shape} and dtype {value.dtype}"


def _named(content: bytes) -> bytes:
    """The error of an engine below, its engine named."""
    told = json.loads(content)
    where = told.get("engine_info") or engine_info("reduce")
    told["evalue"] = f"engine {where.get('engine_id')}: {told.get('evalue', '')}"
    return to_json(told)

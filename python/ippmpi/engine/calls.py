# SPDX-License-Identifier: BSD-3-Clause
"""call_request and map_request: functions of a client's, as the steering socket packs them."""

from __future__ import annotations

import json
from typing import Any, Callable, Sequence

from . import functions, interrupt
from .errors import error_content

_OK = b'{"status": "ok"}'
_last: tuple[bytes, dict[str, Any]] = (b"", {})


def call(request: Any, namespace: dict[str, Any]) -> tuple[str, bytes, Sequence[Any]]:
    """Call a function and pack what it returns."""
    apart = _read(request.content).get("apart")
    return "ok", _OK, interrupt.call_user(_call, request.take_buffers(), apart, namespace)


def map_(request: Any, namespace: dict[str, Any]) -> tuple[str, bytes, Sequence[Any]]:
    """Call a function for each of a list of argument tuples; each has a result or an error."""
    told = _read(request.content)
    return "ok", _OK, interrupt.call_user(_map, request.take_buffers(), told, namespace)


def _read(content: bytes) -> dict[str, Any]:
    """The content of a request, its version checked; one like the last is not looked at again."""
    global _last
    if content == _last[0]:
        return _last[1]
    told = json.loads(content)
    functions.check_version(told.get("python"))
    _last = (content, told)
    return told  # type: ignore[no-any-return]


def _call(frames: Sequence[Any], apart: Any, namespace: dict[str, Any]) -> list[Any]:
    if apart:
        _need(frames, 2)
        function = functions.load_function(frames[0], namespace)
        args, kwargs = functions.load(frames[1], frames[2:], namespace)
    else:
        _need(frames, 1)
        function, args, kwargs = functions.load(frames[0], frames[1:], namespace)
    return functions.dump(function(*args, **kwargs))


def _map(frames: Sequence[Any], told: dict[str, Any], namespace: dict[str, Any]) -> list[Any]:
    _need(frames, 1 if told.get("known") else 2)
    function, frames = functions.load_sent(frames, told, namespace)
    arguments = functions.load(frames[0], frames[1:], namespace)
    if not isinstance(arguments, list) or len(arguments) != told.get("items"):
        raise ValueError(f"the content says {told.get('items')} items, and others have come")
    results = [_one(function, args) for args in arguments]
    try:
        return functions.dump(results)
    except Exception:
        return functions.dump([_sendable(result) for result in results])


def _one(function: Callable[..., Any], args: Sequence[Any]) -> tuple[bool, Any]:
    try:
        return True, function(*args)
    except Exception as error:
        return False, error_content(error, "map", plain=True)


def _sendable(result: tuple[bool, Any]) -> tuple[bool, Any]:
    """One result that does not pickle must not spoil the others."""
    try:
        functions.dump(result)
    except Exception as error:
        return False, error_content(error, "map", plain=True)
    return result


def _need(frames: Sequence[Any], count: int) -> None:
    if len(frames) < count:
        raise ValueError(f"{count} pickles belong to this request, and {len(frames)} have come")

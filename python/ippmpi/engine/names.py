# SPDX-License-Identifier: BSD-3-Clause
"""push_request, pull_request and barrier_request: values by name."""

from __future__ import annotations

import json
from typing import Any, Sequence

from . import interrupt, values
from .messages import to_json

_OK = b'{"status": "ok"}'


def push(request: Any, namespace: dict[str, Any]) -> tuple[str, bytes, Sequence[Any]]:
    """Bind names to values, to all of them or to none."""
    entries = _list(json.loads(request.content), "names")
    interrupt.call_user(_push, entries, request.take_buffers(), namespace)
    return "ok", _OK, []


def pull(request: Any, namespace: dict[str, Any]) -> tuple[str, bytes, Sequence[Any]]:
    """Values by name; an observer's request runs no code of the user's."""
    names = _list(json.loads(request.content), "names")
    observer = json.loads(request.metadata or b"{}").get("role") == "observer"
    entries, frames = interrupt.call_user(values.encode_named, names, namespace, observer)
    return "ok", to_json({"status": "ok", "names": entries}), frames


def barrier(request: Any, namespace: dict[str, Any]) -> tuple[str, bytes, Sequence[Any]]:
    """What was sent before it has run."""
    return "ok", _OK, []


def _push(entries: list[Any], buffers: Sequence[Any], namespace: dict[str, Any]) -> None:
    frames = iter(buffers)
    bound = {}
    for entry in entries:
        kind = dict(entry)
        name = values.check_name(kind.pop("name", None))
        bound[name] = values.decode(kind, frames, namespace)
    if next(frames, None) is not None:
        raise ValueError("there are more buffers than the content says")
    namespace.update(bound)


def _list(content: dict[str, Any], key: str) -> list[Any]:
    listed = content.get(key)
    if not isinstance(listed, list):
        raise ValueError(f"content has no list `{key}`")
    return listed

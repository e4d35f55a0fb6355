# SPDX-License-Identifier: BSD-3-Clause
"""JSON as it goes to C: always valid UTF-8, whatever user code put into it."""

from __future__ import annotations

import json
from typing import Any, Callable


def to_json(obj: Any, default: Callable[[Any], Any] = str) -> bytes:
    """`obj` as JSON; lone surrogates become question marks, NaN and infinities strings."""
    try:
        text = json.dumps(obj, default=default, ensure_ascii=False, allow_nan=False)
    except ValueError:
        text = json.dumps(_finite(obj), default=default, ensure_ascii=False)
    return text.encode("utf-8", "replace")


def _finite(obj: Any) -> Any:
    if isinstance(obj, float) and (obj != obj or obj in (float("inf"), float("-inf"))):
        return repr(obj)
    if isinstance(obj, dict):
        return {key: _finite(value) for key, value in obj.items()}
    if isinstance(obj, (list, tuple)):
        return [_finite(value) for value in obj]
    return obj

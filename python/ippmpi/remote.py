# SPDX-License-Identifier: BSD-3-Clause
"""What tasks need on engines, found there by name. Imports nothing."""

from __future__ import annotations

from typing import Any, Callable


def call(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Tasks of different functions, or with keywords, as items of one map."""
    return function(*args, **kwargs)

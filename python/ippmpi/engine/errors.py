# SPDX-License-Identifier: BSD-3-Clause
"""Errors as messages tell them."""

from __future__ import annotations

from types import TracebackType
from typing import Any

import _ippmpi_engine as engine

from . import interrupt, shell

_HERE = __file__.rpartition("/")[0]


def engine_info(method: str) -> dict[str, Any]:
    """Which engine an error comes from; clients show it above the traceback."""
    return {"engine_uuid": engine.uuid, "engine_id": engine.engine_id, "method": method}


def error_content(error: BaseException, method: str, plain: bool = False) -> dict[str, Any]:
    """The content of an `error` message; with `status` added also that of an error reply.

    `plain`: a traceback without IPython's colours and context, for errors that come by thousands.
    """
    try:
        said = str(error)
    except BaseException as failure:
        said = f"Failed to cast exception to string: {failure!r}"
    interrupt.forget_handler(error)
    cut = error.with_traceback(_user_part(error.__traceback__))
    return {
        "traceback": _format_plain(cut) if plain else _format(cut),
        "ename": type(error).__name__,
        "evalue": said,
        "engine_info": engine_info(method),
    }


def _user_part(traceback: TracebackType | None) -> TracebackType | None:
    """The traceback below the engine's own frames."""
    while traceback and traceback.tb_frame.f_code.co_filename.startswith(_HERE):
        traceback = traceback.tb_next
    return traceback


def _format(error: BaseException) -> list[str]:
    """The lines that IPython would print, or plain Python's where there is no IPython."""
    try:
        return shell.get().format_exception(error)
    except BaseException:
        return _format_plain(error)


def _format_plain(error: BaseException) -> list[str]:
    import traceback

    return [line.rstrip("\n") for line in traceback.format_exception(error)]

# SPDX-License-Identifier: BSD-3-Clause
"""Errors as messages tell them."""

from __future__ import annotations

from types import TracebackType
from typing import Any

import _ippmpi_engine as engine

from . import shell

_HERE = __package__
# What stands between the engine and the user's code when values and functions travel.
_CARRIERS = ("cloudpickle", "importlib._bootstrap", "ipyparallel.serialize", "pickle")
_CHAIN_AT_MOST = 20


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
    tidy(error)
    return {
        "traceback": _format_plain(error) if plain else _format(error),
        "ename": type(error).__name__,
        "evalue": said,
        "engine_info": engine_info(method),
    }


def tidy(error: BaseException | None) -> None:
    """Leave the user's code alone in the tracebacks of an error and of what led to it."""
    for _ in range(_CHAIN_AT_MOST):
        if error is None:
            break
        error.__traceback__ = _user_part(error.__traceback__)
        error = error.__cause__ or error.__context__


def _user_part(traceback: TracebackType | None) -> TracebackType | None:
    if traceback is not None and _is_in(traceback, _HERE):
        while traceback is not None and _is_in(traceback, _HERE, *_CARRIERS):
            traceback = traceback.tb_next
    users, here = [], traceback
    while here is not None:
        if not _is_in(here, _HERE):
            users.append(here)
        here = here.tb_next
    for each, following in zip(users, [*users[1:], None]):
        each.tb_next = following
    return users[0] if users else traceback


def beyond(traceback: TracebackType | None, module: str) -> tuple[bool, TracebackType | None]:
    """Whether a frame is of that module, and what follows the last such frame."""
    found, rest = False, traceback
    while traceback is not None:
        if _is_in(traceback, module):
            found, rest = True, traceback.tb_next
        traceback = traceback.tb_next
    return found, rest


def _is_in(traceback: TracebackType, *packages: str) -> bool:
    """Whether a frame is of code in one of the packages."""
    module = str(traceback.tb_frame.f_globals.get("__name__", ""))
    return any(module == package or module.startswith(package + ".") for package in packages)


def _format(error: BaseException) -> list[str]:
    """The lines that IPython would print, or plain Python's where there is no IPython."""
    try:
        return shell.get().format_exception(error)
    except BaseException:
        return _format_plain(error)


def _format_plain(error: BaseException) -> list[str]:
    import traceback

    return [line.rstrip("\n") for line in traceback.format_exception(error)]

# SPDX-License-Identifier: BSD-3-Clause
"""SIGINT: a KeyboardInterrupt inside user code, and nothing anywhere else.

Whether user code runs is read off the interrupted stack, not off a flag: no window is left before
or after the user's function in which an interrupt could strike the engine or the next request.
"""

from __future__ import annotations

import _signal  # signal's own functions make enumerations of what they return, at every request
import signal
import threading
from types import CodeType, FrameType, FunctionType
from typing import Any, Callable, TypeVar

T = TypeVar("T")
_CHAIN_AT_MOST = 20


def call_user(function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """Call `function`; what runs inside may be interrupted."""
    return function(*args, **kwargs)


_USER_CODE = call_user.__code__
_shielded: set[CodeType] = set()


def shield(function: FunctionType) -> None:
    """Interrupts that come while `function` runs are lost."""
    _shielded.add(function.__code__)


def _on_sigint(_signum: int, frame: FrameType | None) -> None:
    while frame is not None:
        if frame.f_code in _shielded:
            return
        if frame.f_code is _USER_CODE:
            raise KeyboardInterrupt
        frame = frame.f_back


def forget_handler(error: BaseException | None) -> None:
    """Let the tracebacks of an error end in the user's code, where the interrupt struck."""
    for _ in range(_CHAIN_AT_MOST):
        if error is None:
            break
        traceback = error.__traceback__
        while traceback is not None and traceback.tb_next is not None:
            if traceback.tb_next.tb_frame.f_code is _on_sigint.__code__:
                traceback.tb_next = None
            traceback = traceback.tb_next
        error = error.__cause__ or error.__context__


def arm() -> None:
    """Be the handler of SIGINT, again if user code has put another in its place."""
    if _signal.getsignal(_signal.SIGINT) is not _on_sigint:
        signal.signal(signal.SIGINT, _on_sigint)


def in_main_thread() -> bool:
    """True in the thread that runs requests and receives signals."""
    return threading.current_thread() is threading.main_thread()

# SPDX-License-Identifier: BSD-3-Clause
"""SIGINT: a KeyboardInterrupt inside user code, and nothing anywhere else.

Whether user code runs is read off the interrupted stack, not off a flag: no window is left before
or after the user's function in which an interrupt could strike the engine or the next request. One
that comes too early, while the engine makes ready for user code, is raised where that code begins.
"""

from __future__ import annotations

import _signal  # signal's own functions make enumerations of what they return, at every request
import signal
import sys
import threading
from types import CodeType, FrameType, FunctionType
from typing import Any, Callable, TypeVar

import _ippmpi_engine as engine

T = TypeVar("T")

_shielded: set[CodeType] = set()
_early = False  # an interrupt of this request that has not been raised


def call_user(function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """Call `function`; what runs inside may be interrupted."""
    if _early:
        raise_early()
    return function(*args, **kwargs)


_USER_CODE = call_user.__code__


def shield(function: FunctionType) -> None:
    """Interrupts that come while `function` runs wait until somebody calls raise_early()."""
    _shielded.add(function.__code__)


def _strikes(frame: FrameType | None) -> bool:
    """Whether user code runs there, and nothing that must not be left half done."""
    while frame is not None:
        if frame.f_code in _shielded:
            return False
        if frame.f_code is _USER_CODE:
            return True
        frame = frame.f_back
    return False


def _on_sigint(_signum: int, frame: FrameType | None) -> None:
    global _early
    if _strikes(frame):
        raise KeyboardInterrupt
    _early = engine.was_interrupted()  # else it was meant for none, or for one that has ended


def raise_early() -> None:
    """Raise the interrupt that came before it could be, if user code runs now."""
    global _early
    if _early and in_main_thread() and _strikes(sys._getframe()):
        _early = False
        raise KeyboardInterrupt


def raise_struck() -> None:
    """Raise the interrupt of this request, whatever has become of it: no user code has run yet."""
    if engine.was_interrupted():
        raise KeyboardInterrupt


def arm() -> None:
    """Be the handler of SIGINT, again if user code has put another in its place."""
    if _signal.getsignal(_signal.SIGINT) is not _on_sigint:
        signal.signal(signal.SIGINT, _on_sigint)


def begin() -> None:
    """The next request may come: what was meant for the one before is void."""
    global _early
    _early = False
    arm()


def in_main_thread() -> bool:
    """True in the thread that runs requests and receives signals."""
    return threading.current_thread() is threading.main_thread()

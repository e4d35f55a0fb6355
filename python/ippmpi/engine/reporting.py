# SPDX-License-Identifier: BSD-3-Clause
"""What user code may tell its client while it runs."""

from __future__ import annotations

import threading
import time

import _ippmpi_engine as engine

from .messages import to_json

_INTERVAL_S = 0.1

_lock = threading.Lock()
_next_s = 0.0
_last: tuple[float, float, str] | None = None  # said, and not sent


def progress(done: float, total: float, text: str = "") -> None:
    """Tell the client of the running request how far it is: `done` of `total`, in any unit.

    To be called as often as one likes: at most 10 messages a second are sent, and the last one.
    """
    global _next_s, _last
    with _lock:
        _last = (done, total, text)
        now = time.monotonic()
        if now < _next_s and done < total:
            return
        _next_s = now + _INTERVAL_S
    send_last()


def send_last() -> None:
    """Send what was said last, if it has not been sent; before the request's answer."""
    global _last
    with _lock:
        said, _last = _last, None
    if said is not None:
        done, total, text = said
        content = {"done": done, "total": total, "text": str(text)}
        engine.publish("progress", to_json(content, float), b"{}", [])


def end() -> None:
    """The request is about to be answered: what was said last goes before it."""
    global _next_s
    if _next_s:
        send_last()
        _next_s = 0.0

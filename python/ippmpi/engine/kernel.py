# SPDX-License-Identifier: BSD-3-Clause
"""The loop of an engine: one request after the other, each with exactly one reply."""

from __future__ import annotations

import json
import sys
from types import TracebackType
from typing import Any, Callable, Sequence

import _ippmpi_engine as engine

from . import interrupt, pickles, shell
from .messages import to_json

Answer = tuple[str, bytes, Sequence[Any]]  # status, content, buffers

_OK = b'{"status": "ok"}'
_HERE = __file__.rpartition("/")[0]


class Kernel:
    """Answers requests in the namespace of `__main__`."""

    def __init__(self) -> None:
        self.user_ns: dict[str, Any] = sys.modules["__main__"].__dict__
        self.handlers: dict[str, Callable[[Any], Answer]] = {
            "apply_request": self.apply,
            "execute_request": self.execute,
            "clear_request": self.clear,
        }

    def serve(self) -> None:
        """Answer requests until there are no more."""
        while self._serve_one():
            pass

    def _serve_one(self) -> bool:
        # A function of its own: while the next request is awaited, no local name may keep the
        # last one's buffers alive.
        request = engine.next_request()
        if request is None:
            return False
        try:
            engine.reply(request, *self.answer(request))
        except BaseException as error:  # an answer that cannot be sent is still answered
            content = {
                "status": "error",
                "ename": type(error).__name__,
                "evalue": f"the answer cannot be sent: {error}",
                "traceback": [f"{type(error).__name__}: the answer cannot be sent: {error}"],
                "engine_info": engine_info(request.msg_type.partition("_")[0]),
            }
            engine.reply(request, "error", to_json(content), [])
        return True

    def answer(self, request: Any) -> Answer:
        """Status, content and buffers of the reply; whatever goes wrong is an error reply."""
        kind = request.msg_type
        method = kind.partition("_")[0]
        interrupt.arm()
        try:
            if kind not in self.handlers:
                raise NotImplementedError(f"engines do not know the message type {kind!r}")
            return self.handlers[kind](request)
        except BaseException as error:  # SystemExit too: user code must not end an engine
            content = error_content(error, method)
            engine.publish("error", to_json(content), b"{}", [])
            return "error", to_json({**content, "status": "error"}), []

    def apply(self, request: Any) -> Answer:
        """Call a function that the client packed, and pack what it returns."""
        return "ok", _OK, interrupt.call_user(_call, request.buffers, self.user_ns)

    def execute(self, request: Any) -> Answer:
        """Run a cell in IPython."""
        content = json.loads(request.content)
        parent = {
            "header": json.loads(request.header),
            "metadata": json.loads(request.metadata or b"{}"),
            "content": content,
        }
        reply = shell.get().answer(parent)
        if reply["status"] == "error":
            reply["engine_info"] = engine_info("execute")
        return reply["status"], to_json(reply), []

    def clear(self, request: Any) -> Answer:
        """Forget the user's names."""
        if shell.exists():
            interrupt.call_user(shell.get().reset, False)
        else:
            for name in [n for n in self.user_ns if not n.startswith("__")]:
                self.user_ns.pop(name, None)
        return "ok", _OK, []


def _call(buffers: Sequence[Any], namespace: dict[str, Any]) -> list[Any]:
    function, args, kwargs = pickles.unpack(buffers, namespace)
    return pickles.pack(function(*args, **kwargs))


def engine_info(method: str) -> dict[str, Any]:
    """Which engine an error comes from; clients show it above the traceback."""
    return {"engine_uuid": engine.uuid, "engine_id": engine.engine_id, "method": method}


def error_content(error: BaseException, method: str) -> dict[str, Any]:
    """The content of an `error` message; with `status` added also that of an error reply."""
    try:
        said = str(error)
    except BaseException as failure:
        said = f"Failed to cast exception to string: {failure!r}"
    interrupt.forget_handler(error)
    return {
        "traceback": _format(error.with_traceback(_user_part(error.__traceback__))),
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
        import traceback

        return [line.rstrip("\n") for line in traceback.format_exception(error)]

# SPDX-License-Identifier: BSD-3-Clause
"""The loop of an engine: one request after the other, each with exactly one reply."""

from __future__ import annotations

import json
import sys
from typing import Any, Callable, Sequence

import _ippmpi_engine as engine

from . import calls, completion, functions, interrupt, names, pickles, reduce, reporting, shell
from .errors import engine_info, error_content
from .messages import to_json

Answer = tuple[str, bytes, Sequence[Any]]  # status, content, buffers

_OK = b'{"status": "ok"}'
_STEERING: dict[str, Callable[[Any, dict[str, Any]], Answer]] = {
    "call_request": calls.call,
    "map_request": calls.map_,
    "push_request": names.push,
    "pull_request": names.pull,
    "reduce_request": reduce.reduce,
    "barrier_request": names.barrier,
    "complete_request": completion.complete,
    "is_complete_request": completion.is_complete,
}


class Kernel:
    """Answers requests in the namespace of `__main__`."""

    def __init__(self) -> None:
        self.user_ns: dict[str, Any] = sys.modules["__main__"].__dict__
        self.handlers: dict[str, Callable[[Any], Answer]] = {
            "apply_request": self.apply,
            "execute_request": self.execute,
            "clear_request": self.clear,
            **{kind: self._steering(handler) for kind, handler in _STEERING.items()},
        }

    def _steering(self, handler: Callable[[Any, dict[str, Any]], Answer]) -> Any:
        return lambda request: handler(request, self.user_ns)

    def serve(self) -> None:
        """Answer requests until there are no more."""
        while self._serve_one():
            pass

    def _serve_one(self) -> bool:
        # A function of its own: while the next request is awaited, no local name may keep the
        # last one's buffers alive.
        interrupt.begin()
        request = engine.next_request()
        if request is None:
            return False
        try:
            answer = self.answer(request)
            reporting.end()
            engine.reply(request, *answer)
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
        try:
            if kind not in self.handlers:
                raise NotImplementedError(f"engines do not know the message type {kind!r}")
            return self.handlers[kind](request)
        except BaseException as error:  # SystemExit too: user code must not end an engine
            content = error_content(error, kind.partition("_")[0])
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
        functions.forget()
        if shell.exists():
            interrupt.call_user(shell.get().reset, False)
        else:
            for name in [n for n in self.user_ns if not n.startswith("__")]:
                self.user_ns.pop(name, None)
        return "ok", _OK, []


def _call(buffers: Sequence[Any], namespace: dict[str, Any]) -> list[Any]:
    function, args, kwargs = pickles.unpack(buffers, namespace)
    return pickles.pack(function(*args, **kwargs))

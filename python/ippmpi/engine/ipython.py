# SPDX-License-Identifier: BSD-3-Clause
"""The IPython shell of an engine: ipykernel's, with its messages going to C. See shell.py."""

from __future__ import annotations

import asyncio
import sys
import types
from typing import Any, Coroutine, Generator

import _ippmpi_engine as engine
from ipykernel.compiler import XCachingCompiler
from ipykernel.zmqshell import ZMQInteractiveShell
from IPython.core.error import UsageError
from traitlets.config import Config

from . import errors, interrupt, pickles, terminal
from .messages import to_json
from .session import EngineSession


class DataPublisher:
    """What `ipyparallel.datapub.publish_data` calls."""

    @staticmethod
    def publish_data(data: dict[str, Any]) -> None:
        """Publish a dict as a data_message; its values travel as an apply's result does."""
        content = {"keys": [str(key) for key in data]}
        engine.publish("data_message", to_json(content), b"{}", pickles.pack(data))

    def set_parent(self, parent: dict[str, Any]) -> None:
        """Nothing: C knows the current request."""


class EngineShell(ZMQInteractiveShell):
    """Runs cells as ipykernel does."""

    _quiet = False
    _begun = False  # user code of this request

    def answer(self, parent: dict[str, Any]) -> dict[str, Any]:
        """Run the cell of an execute_request, a message as a dict; the content of its reply."""
        content = parent["content"]
        silent = bool(content.get("silent", False))
        self.set_parent(parent)
        self._begun = False
        if not silent:
            shown = {"code": content["code"], "execution_count": self.execution_count}
            engine.publish("execute_input", to_json(shown), b"{}", [])
        result = interrupt.call_user(
            self.run_cell,
            content["code"],
            store_history=content.get("store_history", not silent),
            silent=silent,
        )
        reply: dict[str, Any] = {"status": "ok", "user_expressions": {}}
        error = result.error_before_exec or result.error_in_exec
        if result.success:
            asked = content.get("user_expressions") or {}
            reply["user_expressions"] = interrupt.call_user(self.user_expressions, asked)
        else:
            reply.update(
                status="error",
                traceback=self._last_traceback or [],
                ename=type(error).__name__,
                evalue=_text(error),
            )
        reply["execution_count"] = self.execution_count - 1
        reply["payload"] = self.payload_manager.read_payload()
        self.payload_manager.clear_payload()
        return reply

    async def run_code(self, *args: Any, **kwargs: Any) -> Any:
        """Run a statement. IPython has swallowed the interrupts that came in its callbacks before
        the first one."""
        if not self._begun:
            self._begun = True
            interrupt.raise_struck()
        return await super().run_code(*args, **kwargs)

    def format_exception(self, error: BaseException) -> list[str]:
        """The traceback as this shell would show it, one string per part."""
        self._last_traceback = None
        self._quiet = True
        try:
            self.showtraceback((type(error), error, error.__traceback__), tb_offset=0)
        finally:
            self._quiet = False
        return list(self._last_traceback or [])

    def _get_exc_info(self, exc_tuple: Any = None) -> Any:
        etype, value, traceback = super()._get_exc_info(exc_tuple)
        called, users = errors.beyond(traceback, terminal.__name__)
        errors.tidy(value)
        if called:  # what ipp-steer typed for the user, who did not
            traceback.tb_next = users
        return etype, value, traceback

    def _showtraceback(self, etype: Any, evalue: Any, stb: list[str]) -> None:
        if self._quiet:
            self._last_traceback = stb
        else:
            super()._showtraceback(etype, _text(evalue), stb)

    def enable_gui(self, gui: str | None = None) -> None:
        """Engines have no screen: only the inline backend."""
        if gui not in (None, "inline"):
            raise UsageError(f"engines have no {gui} event loop; figures come inline")

    def ask_exit(self) -> None:
        """`exit` and `quit` in a cell."""
        print(
            "exit does not end an engine: `ipp-steer kill --on ID` or ipyparallel's"
            " Client.shutdown(ID) ends one, `ipp-steer shutdown` or `ipp-cluster stop` all of them",
            file=sys.stderr,
        )


def _text(error: Any) -> str:
    try:
        return str(error)
    except Exception as failure:
        return f"Failed to cast exception to string: {failure!r}"


def create() -> EngineShell:
    """Make the one shell of this process, around the namespace of `__main__`."""
    config = Config()
    config.HistoryManager.hist_file = ":memory:"  # hundreds of engines share one home
    config.InteractiveShell.display_page = True  # `len?`: nobody sits at an engine's pager
    main = sys.modules["__main__"]
    shell = EngineShell.instance(
        config=config,
        user_module=main,
        user_ns=main.__dict__,
        compiler_class=XCachingCompiler,
        loop_runner=run_coroutine,
    )
    session = EngineSession()
    shell.displayhook.session = shell.display_pub.session = session
    shell.displayhook.topic = b"execute_result"
    shell.data_pub = DataPublisher()
    return shell


def current_loop() -> asyncio.AbstractEventLoop:
    """The event loop of the main thread, a new one if user code has closed or removed it."""
    try:
        loop = asyncio.get_event_loop()
    except RuntimeError:
        loop = None
    if loop is None or loop.is_closed():
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
    return loop


def run_coroutine(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a cell with `await` in it; an interrupt is raised where the cell waits."""
    interrupted: list[bool] = []
    loop = current_loop()
    task = loop.create_task(_relay(coroutine, interrupted))
    try:
        return loop.run_until_complete(task)
    except KeyboardInterrupt:
        if task.done():
            raise
        interrupted.append(True)
        task.cancel()
        return loop.run_until_complete(task)


async def _relay(coroutine: Coroutine[Any, Any, Any], interrupted: list[bool]) -> Any:
    return await _interruptible(coroutine, interrupted)


@types.coroutine
def _interruptible(
    coroutine: Coroutine[Any, Any, Any], interrupted: list[bool]
) -> Generator[Any, Any, Any]:
    """`yield from coroutine`, where being cancelled by an interrupt is a KeyboardInterrupt."""
    error: BaseException | None = None
    while True:
        try:
            awaited = coroutine.throw(error) if error else coroutine.send(None)
        except StopIteration as stop:
            return stop.value
        try:
            error = None
            yield awaited
        except asyncio.CancelledError as cancelled:
            error = KeyboardInterrupt() if interrupted else cancelled
            interrupted.clear()
        except GeneratorExit:
            coroutine.close()
            raise
        except BaseException as other:
            error = other

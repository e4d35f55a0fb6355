# SPDX-License-Identifier: BSD-3-Clause
"""Futures: concurrent.futures.Future, which can also be awaited."""

from __future__ import annotations

import asyncio
import concurrent.futures
import time
from _thread import allocate_lock
from concurrent.futures._base import PENDING
from threading import RLock
from typing import TYPE_CHECKING, Any, Generator, Sequence, TypeVar

if TYPE_CHECKING:
    from .native import Request
    from .session import Background

T = TypeVar("T")


class _Condition:
    """What concurrent.futures uses of threading.Condition, at a fifth of its size: a million tasks
    may wait, each with one of these, and next to nobody waits for any."""

    __slots__ = ("_lock", "_sleepers")

    def __init__(self) -> None:
        self._lock = RLock()
        self._sleepers: list[Any] | None = None

    def acquire(self) -> bool:
        return self._lock.acquire()

    def release(self) -> None:
        self._lock.release()

    def __enter__(self) -> bool:
        return self._lock.__enter__()

    def __exit__(self, *error: Any) -> None:
        self._lock.__exit__(*error)

    def wait(self, timeout: float | None = None) -> bool:
        """Let the lock go until notify_all; false after `timeout` seconds without it."""
        sleeper = allocate_lock()
        sleeper.acquire()
        self._sleepers = [*(self._sleepers or ()), sleeper]
        notified = False
        state = self._lock._release_save()  # type: ignore[attr-defined]
        try:
            notified = sleeper.acquire(True, -1 if timeout is None else max(0.0, timeout))
        finally:
            self._lock._acquire_restore(state)  # type: ignore[attr-defined]
            if not notified and self._sleepers is not None:
                self._sleepers = [each for each in self._sleepers if each is not sleeper]
        return notified

    def notify_all(self) -> None:
        """Wake whoever waits."""
        sleepers, self._sleepers = self._sleepers, None
        for sleeper in sleepers or ():
            sleeper.release()


class Future(concurrent.futures.Future[T]):
    """What an `..._async` verb or an executor returns; also `await future` in asyncio.

    Callbacks run in ippmpi's background thread. A callback may wait for another future, and may
    use views as any code does; it holds up other futures meanwhile.
    """

    _requests: Sequence[Request] = ()
    _owner: object = None
    _interrupts = False  # cancelling reaches what runs, too

    def __init__(self, background: Background | None = None) -> None:
        # The base class's attributes, which are the same in every Python from 3.2 on.
        self._condition = _Condition()
        self._state = PENDING
        self._result: Any = None
        self._exception: BaseException | None = None
        self._waiters: list[Any] = []
        self._done_callbacks: list[Any] = []
        self._background = background

    def __await__(self) -> Generator[Any, None, T]:
        return asyncio.wrap_future(self).__await__()

    def cancel(self) -> bool:
        """Give up waiting, and take the request off the queues of engines that have not begun.

        False when it is done (or, of an executor's, runs): then nothing changes. What runs on an
        engine goes on; `view.interrupt()` ends that."""
        requests = self._requests
        if not super().cancel():
            return False
        for request in requests:
            try:
                request.interrupt() if self._interrupts else request.cancel()
            except OSError:
                pass  # nothing runs any more, or nobody can be told
        return True

    def result(self, timeout: float | None = None) -> T:
        """The value; raises what went wrong, CancelledError, or TimeoutError after `timeout` s."""
        self._help(timeout)
        return super().result(timeout)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """What went wrong, or None; CancelledError, or TimeoutError after `timeout` s."""
        self._help(timeout)
        return super().exception(timeout)

    def _help(self, timeout: float | None) -> None:
        """In the background thread somebody else's waiting would never end."""
        if self._background is None or self.done():
            return
        self._background.check_process()
        if not self._background.is_current():
            return
        end = None if timeout is None else time.monotonic() + timeout
        while not self.done():
            left = None if end is None else end - time.monotonic()
            if left is not None and left <= 0:
                return
            self._background.step(left)

    def _succeed(self, result: T) -> None:
        try:
            self.set_result(result)
        except concurrent.futures.InvalidStateError:
            pass  # cancelled

    def _fail(self, error: BaseException) -> None:
        try:
            self.set_exception(error)
        except concurrent.futures.InvalidStateError:
            pass  # cancelled

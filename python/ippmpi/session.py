# SPDX-License-Identifier: BSD-3-Clause
"""One connection, and the two ways to use it: wait for the answers here, or get a future.

A blocking call drives the connection itself, in its own thread, on a queue of its own. Futures are
completed by one daemon thread and nobody else: it starts with the first future, sleeps while none
is outstanding, and drives only while no blocking call does. So no KeyboardInterrupt can strike
between an answer's arrival and its future, and callbacks of futures run in that thread.
(src/steer/python/steer_python.h says how threads share a connection.)
"""

from __future__ import annotations

import collections
import contextlib
import errno
import json
import os
import platform
import signal
import sys
import threading
import time
from typing import Any, Callable, Generic, Iterable, NamedTuple, Protocol, Sequence, TypeVar

from . import errors
from .futures import Future
from .native import ABORTED, OK, Connection, Queue, Request

T = TypeVar("T")
_PROGRESS_S = 0.1


class Message(NamedTuple):
    """A request before it is sent: content is JSON, buffers are lent until it is answered."""

    type: str
    channel: str
    targets: str | None
    content: str = "{}"
    buffers: Sequence[Any] = ()
    metadata: str | None = None


class Answer(NamedTuple):
    """One engine's answer; `buffers` are writable views of the received bytes."""

    engine: int
    status: int
    content: str
    buffers: list[memoryview]


class Operation(NamedTuple, Generic[T]):
    """What to ask, and what to make of the answers to all of it, in the order of `messages`."""

    messages: Sequence[Message]
    finish: Callable[[list[list[Answer]]], T]


class Outlet(Protocol):
    """Takes the output of requests while they run, and its end."""

    def take(self, outputs: Iterable[tuple[int, str, str, str, list[bytes], int]]) -> None:
        ...

    def end(self) -> None:
        ...


class Session:
    """A connection to a cluster with its background thread."""

    def __init__(self, where: str | None, profile: str | None, timeout: float) -> None:
        client = f"ippmpi (Python {platform.python_version()})"
        self.connection = _connect(where, profile, client, max(1, int(timeout * 1000)))
        self.background = Background(self.connection)
        self._python = str(self.about().get("python") or "")
        minor = self._python.split(".")[:2]
        self._differs = minor not in ([""], list(platform.python_version_tuple()[:2]))

    def about(self) -> dict[str, Any]:
        """The cluster as the bridge tells it (docs/protocol.md, attach_reply), now."""
        return json.loads(self.connection.about())  # type: ignore[no-any-return]

    def close(self) -> None:
        """End the session; what is not answered fails with ConnectionError."""
        self.background.stop(self.connection.close)

    def check_open(self) -> None:
        """OSError after close()."""
        if self.connection.closed:
            raise OSError(errno.ENOTCONN, "this connection was closed")

    def check_python(self) -> None:
        """Raise PythonVersionError before anything is sent that only one Python understands."""
        if self._differs:
            ours = platform.python_version_tuple()[:2]
            raise errors.PythonVersionError(
                f"the engines run Python {self._python} and this is {platform.python_version()}:"
                " functions and pickled values travel only between equal minor versions. execute()"
                " and run() send source code, and arrays and plain values travel too; for the rest"
                f" use Python {'.'.join(ours)} on both ends"
            )

    def send(self, queue: Queue, message: Message, output: bool, tag: object = None) -> Request:
        """Put one message on its way."""
        return queue.send(
            message.type,
            message.channel,
            message.targets,
            message.content,
            message.metadata,
            message.buffers,
            output,
            tag,
        )

    def run(
        self,
        operation: Operation[T],
        outlet: Outlet | None = None,
        timeout: float | None = None,
        watch: Callable[[int], None] | None = None,
        interruptible: bool = False,
    ) -> T:
        """Send, wait in this thread, and return what `finish` makes of the answers.

        `watch` is told now and then how many engines have answered. The first KeyboardInterrupt
        interrupts the requests, if they are `interruptible`, and waits on. TimeoutError after
        `timeout` seconds: the requests go on.
        """
        queue = Queue(self.connection)
        deadline = None if timeout is None else time.monotonic() + timeout
        requests: list[Request] = []
        while True:
            try:
                if not requests:
                    with _KeyboardInterruptLater() if interruptible else contextlib.nullcontext():
                        for message in operation.messages:
                            requests.append(self.send(queue, message, outlet is not None))
                if not _wait(queue, requests, outlet, deadline, watch):
                    raise TimeoutError(f"no answer in {timeout} s; the request goes on")
                break
            except KeyboardInterrupt:
                if not interruptible or not requests:
                    raise
                interruptible = False
                for each in requests:
                    each.interrupt()
        if outlet is not None:
            outlet.end()
        return operation.finish([answers(request) for request in requests])

    def start(self, operation: Operation[T], outlet: Outlet | None = None) -> Future[T]:
        """Send, and return a future of what `finish` makes of the answers."""
        future: Future[T] = Future(self.background)
        pending = _Pending(operation, outlet, future)
        pending.send(self)
        return future


class _KeyboardInterruptLater:
    """A context whose end is the first moment for a KeyboardInterrupt: what is sent there is known
    to the sender. In the main thread; elsewhere there are none."""

    def __enter__(self) -> None:
        self._came = False
        self._before: Any = None
        main = threading.current_thread() is threading.main_thread()
        if main and callable(signal.getsignal(signal.SIGINT)):
            self._before = signal.signal(signal.SIGINT, self._note)

    def _note(self, _signum: int, _frame: Any) -> None:
        self._came = True

    def __exit__(self, kind: object, *_: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)
        if self._came and kind is None:
            raise KeyboardInterrupt


def _wait(
    queue: Queue,
    requests: Sequence[Request],
    outlet: Outlet | None,
    deadline: float | None,
    watch: Callable[[int], None] | None,
) -> bool:
    """Whether all are done before the deadline. May be interrupted anywhere, and called again."""
    waiting = {each for each in requests if not each.done}
    while waiting:
        request = queue.get(_wait_s(deadline, watch))
        if request is not None:
            done = request.done  # before its output is taken: none comes after it
            if outlet is not None:
                outlet.take(request.take_outputs())
            if done:
                waiting.discard(request)
        elif deadline is not None and time.monotonic() >= deadline:
            return False
        elif watch is not None:
            watch(sum(each.count() for each in requests))
    if outlet is not None:
        for each in requests:
            outlet.take(each.take_outputs())
    return True


def _connect(*args: Any) -> Connection:
    """In a thread of its own, so that Ctrl-C ends the waiting; a connection that comes too late
    closes itself."""
    made: list[Connection | BaseException] = []

    def work() -> None:
        try:
            made.append(Connection(*args))
        except BaseException as error:
            made.append(error)

    thread = threading.Thread(target=work, name="ippmpi connect", daemon=True)
    thread.start()
    while thread.is_alive():  # a signal just before join() waits would not end its waiting
        thread.join(1.0)
    result = made.pop()
    if isinstance(result, BaseException):
        raise result
    return result


def _wait_s(deadline: float | None, watch: object) -> float | None:
    left = None if deadline is None else max(0.0, deadline - time.monotonic())
    if watch is None:
        return left
    return _PROGRESS_S if left is None else min(left, _PROGRESS_S)


def answers(request: Request) -> list[Answer]:
    """The answers of a request that is done; ConnectionError when there will be none."""
    failure = request.failure
    if failure is not None:
        raise ConnectionError(failure)
    return [Answer(*each) for each in request.answers()]


def problem(answer: Answer) -> Exception | None:
    """The exception that an answer stands for; None for a good one."""
    if answer.status == OK:
        return None
    if answer.status == ABORTED:
        return errors.aborted(answer.engine)
    return errors.from_content(json.loads(answer.content), answer.engine)


def good(given: list[Answer]) -> list[Answer]:
    """The answers, when all engines succeeded; else RemoteError or CompositeError."""
    for answer in given:
        if answer.status != OK:
            problems = [problem(each) for each in given if each.status != OK]
            errors.raise_all([each for each in problems if each is not None])
    return given


class _Pending(Generic[T]):
    """The requests of one future, seen from the background thread."""

    def __init__(self, operation: Operation[T], outlet: Outlet | None, future: Future[T]) -> None:
        self.operation = operation
        self.outlet = outlet
        self.future = future
        self.answers: list[Any] = [None] * len(operation.messages)
        self.left = len(operation.messages)

    def send(self, session: Session) -> None:
        queue = session.background.queue_in_use()
        requests = []
        for index, message in enumerate(self.operation.messages):
            tag = _Part(self, index)
            requests.append(session.send(queue, message, self.outlet is not None, tag))
        self.future._requests = requests
        if self.future.done():
            self.future._requests = ()

    def done(self, index: int, request: Request) -> None:
        """All in the background thread."""
        try:
            self.answers[index] = answers(request)
        except Exception as error:
            self.answers[index] = error
        self.left -= 1
        if self.left:
            return
        given, self.answers = self.answers, []  # they hold their requests, whose tags hold this
        try:
            if self.outlet is not None:
                self.outlet.end()
            for each in given:
                if isinstance(each, Exception):
                    raise each
            result = self.operation.finish(given)
        except BaseException as error:
            self.future._fail(error)
        else:
            self.future._succeed(result)
        self.future._requests = ()


class _Part(NamedTuple):
    """A tag: one request of a pending operation."""

    pending: _Pending[Any]
    which: int

    def ready(self, request: Request) -> None:
        done = request.done
        if self.pending.outlet is not None:
            self.pending.outlet.take(request.take_outputs())
        if done:
            self.pending.done(self.which, request)


class Background:
    """The thread that completes futures, and its queue. Tags of requests there have `ready`."""

    def __init__(self, connection: Connection) -> None:
        self.queue = Queue(connection, True)
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._wishes: collections.deque[Callable[[], None]] = collections.deque()
        self._ended = False
        self._pid = os.getpid()

    def queue_in_use(self) -> Queue:
        """The queue, with somebody who looks into it."""
        if self._thread is None:
            self.check_process()
            with self._lock:
                if self._thread is None:
                    thread = threading.Thread(target=self._serve, name="ippmpi", daemon=True)
                    thread.start()
                    self._thread = thread
        return self.queue

    def soon(self, wish: Callable[[], None]) -> None:
        """Have something done in the thread: no KeyboardInterrupt strikes there."""
        self.queue_in_use()
        with self._lock:
            ended = self._ended
            if not ended:
                self._wishes.append(wish)
        if ended:
            wish()
        else:
            self.queue.nudge()

    def check_process(self) -> None:
        """RuntimeError in a forked child, where nobody will complete a future."""
        if os.getpid() != self._pid:
            raise RuntimeError("this future is the parent process's: it is completed there alone")

    def is_current(self) -> bool:
        """True in the thread itself, which must not wait for what it has to do."""
        return self._thread is threading.current_thread()

    def step(self, timeout: float | None) -> None:
        """Do what is there next; also for a callback that waits for another future. OSError when
        the connection was closed and all of it is done."""
        request = self.queue.get(timeout)
        if request is None:
            self._grant()
        else:
            _handle(request)

    def stop(self, close: Callable[[], None]) -> None:
        """Close the connection, which fails what is outstanding, see that through and end."""
        close()
        with self._lock:
            thread = self._thread
        self.queue.nudge()
        if thread is not None and not self.is_current():
            thread.join()

    def _serve(self) -> None:
        try:
            while True:
                self.step(None)
        except OSError:
            pass  # closed, and what that failed has been seen to
        with self._lock:
            self._ended = True
        self._grant()

    def _grant(self) -> None:
        while self._wishes:
            try:
                self._wishes.popleft()()
            except BaseException:
                sys.excepthook(*sys.exc_info())


def _handle(request: Request) -> None:
    try:
        request.tag.ready(request)
    except BaseException:
        sys.excepthook(*sys.exc_info())

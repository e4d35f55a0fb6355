# SPDX-License-Identifier: BSD-3-Clause
"""Jobs of an executor: tasks with one function, from which batches are taken."""

from __future__ import annotations

import collections
import concurrent.futures
import hashlib
import platform
import sys
import threading
import time
from typing import Any, Callable, NamedTuple, Sequence

from . import errors
from .engine import functions
from .futures import Future
from .packing import dump, pack_function
from .session import Answer, Background


MINOR = ".".join(platform.python_version_tuple()[:2])
_DIGEST_BYTES = 4096  # a smaller function costs less to send than to look after
Outcome = tuple[bool, Any]  # (True, value) or (False, exception)


class Items(NamedTuple):
    """Tasks that travel together: where they begin in their job, arguments, and futures if any."""

    start: int
    args: Sequence[tuple[Any, ...]]
    futures: Sequence[Future[Any]] = ()

    def halves(self) -> list[Items]:
        """In two; nothing for a single task."""
        middle = len(self.args) // 2
        if not middle:
            return []
        return [
            Items(self.start, self.args[:middle], self.futures[:middle]),
            Items(self.start + middle, self.args[middle:], self.futures[middle:]),
        ]


class Job:
    """Tasks that wait, with one function."""

    waiting = 0

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def take(self, count: int) -> Items | None:
        """Up to `count` tasks that wait no more; None when all of those were cancelled."""
        raise NotImplementedError

    def deliver(self, items: Items, outcomes: Sequence[Outcome]) -> None:
        """What became of items."""
        raise NotImplementedError

    def cancel_rest(self) -> None:
        """What waits is not wanted any more."""
        raise NotImplementedError

    def belongs_to(self, job: Job) -> bool:
        """Whether its tasks are that job's."""
        return self is job

    def packed_function(self) -> Any:
        """The frame that holds it."""
        return pack_function(self.function)


class SubmitJob(Job):
    """Tasks that were submitted one by one, one after the other with the same function."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        self._queue: collections.deque[tuple[Future[Any], tuple[Any, ...]]] = collections.deque()

    @property
    def waiting(self) -> int:  # type: ignore[override]
        return len(self._queue)

    def add(self, future: Future[Any], args: tuple[Any, ...]) -> None:
        self._queue.append((future, args))

    def take(self, count: int) -> Items | None:
        futures: list[Future[Any]] = []
        args: list[tuple[Any, ...]] = []
        while self._queue and len(futures) < count:
            future, arguments = self._queue.popleft()
            if future.set_running_or_notify_cancel():
                futures.append(future)
                args.append(arguments)
        return Items(0, args, futures) if futures else None

    def deliver(self, items: Items, outcomes: Sequence[Outcome]) -> None:
        for future, (fine, value) in zip(items.futures, outcomes):
            if fine:
                future.set_result(value)
            else:
                future.set_exception(value)

    def cancel_rest(self) -> None:
        while self._queue:
            future, _ = self._queue.popleft()
            future.cancel()
            future.set_running_or_notify_cancel()


class MapJob(Job):
    """The items of one map, and what has come back of them by where batches begin."""

    def __init__(
        self, function: Callable[..., Any], items: list[tuple[Any, ...]], chunk: int | None
    ) -> None:
        super().__init__(function)
        self.count = self.waiting = len(items)
        self._items: Sequence[tuple[Any, ...]] = items
        self._chunk = chunk
        self._packed: Any = None
        self._changed = threading.Condition()
        self._outcomes: dict[int, Sequence[Outcome]] = {}

    def take(self, count: int) -> Items | None:
        start = self.count - self.waiting
        count = min(self._chunk or count, self.waiting)
        if not count:
            return None
        items = Items(start, self._items[start : start + count])
        self.waiting -= count
        if not self.waiting:
            self._items = ()
        return items

    def packed_function(self) -> Any:
        if self._packed is None:
            self._packed = pack_function(self.function)
        return self._packed

    def deliver(self, items: Items, outcomes: Sequence[Outcome]) -> None:
        with self._changed:
            self._outcomes[items.start] = outcomes
            self._changed.notify_all()

    def cancel_rest(self) -> None:
        start, self.waiting, self._items = self.count - self.waiting, 0, ()
        if start < self.count:
            left = [(False, concurrent.futures.CancelledError())] * (self.count - start)
            self.deliver(Items(start, ()), left)

    def wait(self, start: int, deadline: float | None, background: Background) -> Sequence[Outcome]:
        """The outcomes of the batch that begins there, once; TimeoutError."""
        with self._changed:
            while start not in self._outcomes:
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    raise TimeoutError("a result of map is not there in time")
                background.check_process()
                if background.is_current():
                    self._changed.release()
                    try:
                        background.step(left)
                    finally:
                        self._changed.acquire()
                else:
                    self._changed.wait(left)
            return self._outcomes.pop(start)


class Part(Job):
    """Tasks of another job that are sent once more, fewer at a time."""

    def __init__(self, job: Job, items: Items) -> None:
        super().__init__(job.function)
        self._job = job
        self._items: Items | None = items
        self.waiting = len(items.args)

    def take(self, count: int) -> Items | None:
        items, self._items, self.waiting = self._items, None, 0
        return items

    def belongs_to(self, job: Job) -> bool:
        return self._job is job

    def packed_function(self) -> Any:
        return self._job.packed_function()

    def deliver(self, items: Items, outcomes: Sequence[Outcome]) -> None:
        self._job.deliver(items, outcomes)

    def cancel_rest(self) -> None:
        items = self.take(0)
        if items is not None:
            self.deliver(items, [(False, concurrent.futures.CancelledError())] * len(items.args))


class Packed(NamedTuple):
    """A request on its way out."""

    kind: str
    content: dict[str, Any]
    frames: list[Any]
    digest: str = ""  # of its function, where that is worth one


def pack_map(job: Job, items: Items, is_known: Callable[[str], bool]) -> Packed:
    """A map_request. A large function does not travel again where its digest is known."""
    function = job.packed_function()
    content: dict[str, Any] = {"python": MINOR, "items": len(items.args)}
    arguments = dump(list(items.args))
    if len(function) < _DIGEST_BYTES:
        return Packed("map_request", content, [function, *arguments])
    digest = hashlib.sha256(function).hexdigest()
    content["function"] = digest
    if is_known(digest):
        return Packed("map_request", {**content, "known": True}, arguments, digest)
    return Packed("map_request", content, [function, *arguments], digest)


def pack_call(job: Job, items: Items) -> Packed:
    """A call_request, of one task: it fails as a whole where one of its engines does."""
    (args,) = items.args
    content = {"python": MINOR, "apart": True}
    return Packed("call_request", content, [job.packed_function(), *dump((args, {}))])


def unpack_call(answer: Answer) -> list[Outcome]:
    """The outcome in the answer to a call_request that has not failed."""
    main = sys.modules["__main__"].__dict__
    return [(True, functions.load(answer.buffers[0], answer.buffers[1:], main))]


def unpack_map(answer: Answer) -> list[Outcome]:
    """The outcomes in the answer to a map_request."""
    main = sys.modules["__main__"].__dict__
    outcomes = functions.load(answer.buffers[0], answer.buffers[1:], main)
    return [
        each if each[0] else (False, errors.from_content(each[1], answer.engine))
        for each in outcomes
    ]

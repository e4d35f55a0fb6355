# SPDX-License-Identifier: BSD-3-Clause
"""The executor: tasks travel in batches, and each has a result, an exception and a cancel of its
own.

What is submitted waits here, where cancelling it costs nothing. A bounded number of batches is on
its way (see pace.py); when one comes back, the background thread sends the next and then hands out
results. It alone sends: an idle executor has it send a single task at once, a busy one gathers what
comes in meanwhile, and a KeyboardInterrupt finds no batch half sent.
"""

from __future__ import annotations

import collections
import concurrent.futures
import json
import threading
import time
from typing import Any, Callable, Iterable, Iterator, Sequence, TypeVar

from . import errors, jobs, remote
from .futures import Future
from .native import ABORTED, OK, Request
from .pace import Pace
from .session import Answer, Message, Session, answers, problem

T = TypeVar("T")
_COUNT_S = 1.0  # how long a count of engines is believed
_DIGESTS_AT_MOST = 256
_ROOM_S = 0.1  # after a full queue has refused a batch


class _Batch:
    """Tasks on their way: items [start, end) of a job. The tag of their request."""

    def __init__(self, executor: Executor, job: jobs.Job, items: jobs.Items) -> None:
        self.executor = executor
        self.job = job
        self.items = items
        self.sent = 0.0
        self.bytes = 0
        self.digest = ""  # of the function

    def ready(self, request: Request) -> None:
        if request.done:
            self.executor._returned(self, request)


class Executor(concurrent.futures.Executor):
    """Runs tasks on whichever engine is free; `client.executor()` makes one.

    Functions and arguments travel as with `view.apply`. A task's exception is a RemoteError; with
    an engine that dies go the tasks that it had (EngineError), unless they may be retried.
    """

    def __init__(
        self,
        session: Session,
        engines: Callable[[], tuple[int, list[str]]],
        wants: dict[str, Any],
    ) -> None:
        """`engines` says how many there are, and their uuids where not all are meant; `wants` is
        what the tasks ask of the balancer, as metadata."""
        self._session = session
        self._engines = engines
        self._wants = wants
        self._wide = wants["width"] > 1
        self._lock = threading.Lock()
        self._idle = threading.Condition(self._lock)
        self._jobs: collections.deque[jobs.Job] = collections.deque()
        self._in_flight = 0
        self._pace = Pace()
        self._shut_down = False
        self._asked = False
        self._waits_for_room = False
        self._counted = -_COUNT_S
        self._metadata = ""
        self._holders: dict[str, set[int]] = {}  # by a function's digest, engines that have it
        self._count()

    # ---- concurrent.futures ----

    def submit(self, function: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Have `function(*args, **kwargs)` called by a free engine; a Future of its value."""
        future: Future[T] = Future(self._session.background)
        with self._lock:
            self._check_open()
            if kwargs:
                job, args = self._job_for(remote.call), (function, args, kwargs)
            else:
                job = self._job_for(function)
            job.add(future, args)
            full = self._asked or self._in_flight >= self._limit
        if not full:
            self._ask()
        return future

    def map(
        self,
        function: Callable[..., T],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int | None = None,
        progress: bool = False,
    ) -> Iterator[T]:
        """`map(function, *iterables)` on the engines, in order; all of it starts at once.

        How many items travel together is chosen from how long they take; `chunksize` fixes it
        (ValueError when it is less than 1).
        TimeoutError when a result is not there `timeout` seconds after this call. The first
        exception ends the iteration, and what has not started is cancelled. progress: a bar, with
        tqdm.
        """
        if chunksize is not None and chunksize < 1:
            raise ValueError(f"chunksize is {chunksize}, and must be 1 or more")
        deadline = None if timeout is None else time.monotonic() + timeout
        items = list(zip(*iterables))
        job = jobs.MapJob(function, items, chunksize)
        with self._lock:
            self._check_open()
            if items:
                self._jobs.append(job)
        self._ask()
        results = self._results(job, deadline)
        if not progress:
            return results
        from .view import progress_bar

        return iter(progress_bar(results, len(items), "task"))

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more tasks; cancel those that were not sent; wait for the others."""
        with self._lock:
            self._shut_down = True
            dropped = list(self._jobs) if cancel_futures else []
            if cancel_futures:
                self._jobs.clear()
        for job in dropped:
            job.cancel_rest()
        if not wait:
            return
        self._ask()
        with self._idle:
            while self._in_flight or self._jobs:
                self._wait_idle()

    # ---- inside ----

    def _check_open(self) -> None:
        if self._shut_down:
            raise RuntimeError("cannot schedule new futures after shutdown")
        self._session.check_python()
        self._session.check_open()

    def _job_for(self, function: Callable[..., Any]) -> jobs.SubmitJob:
        """The last job, if it calls the same function; under the lock."""
        last = self._jobs[-1] if self._jobs else None
        if isinstance(last, jobs.SubmitJob) and last.function is function:
            return last
        job = jobs.SubmitJob(function)
        self._jobs.append(job)
        return job

    def _count(self) -> None:
        """How many engines there are, now and then; not under the lock."""
        now = time.monotonic()
        if now - self._counted < _COUNT_S:
            return
        self._counted = now
        try:
            count, uuids = self._engines()
        except IndexError:  # none is left: whoever sends them something is told so
            if not self._metadata:
                raise
            return
        self._engine_count = max(1, count // self._wants["width"])
        self._limit = self._pace.in_flight(self._engine_count)
        self._metadata = json.dumps({"targets": uuids, **self._wants})

    def _ask(self) -> None:
        """Have the background thread feed the engines."""
        self._asked = True
        self._session.background.soon(self._feed)

    def _feed(self) -> None:
        """Send batches while there is room for them on the way. In the background thread."""
        self._asked = False
        while True:
            with self._lock:
                batch = self._next()
            if batch is None:
                return
            self._send(batch)

    def _next(self) -> _Batch | None:
        """Under the lock."""
        while self._jobs and self._in_flight < self._limit and not self._waits_for_room:
            job = self._jobs[0]
            waiting = job.waiting if len(self._jobs) == 1 else sum(j.waiting for j in self._jobs)
            items = job.take(1 if self._wide else self._pace.size(waiting, self._engine_count))
            if not job.waiting:
                self._jobs.popleft()
            if items is not None:
                self._in_flight += 1
                return _Batch(self, job, items)
        self._tell_idle()
        return None

    def _send(self, batch: _Batch) -> None:
        try:
            packed = self._packed(batch)
            content = json.dumps(packed.content)
            message = Message(packed.kind, "task", None, content, packed.frames, self._metadata)
            batch.digest = packed.digest
            batch.bytes = sum(memoryview(frame).nbytes for frame in packed.frames)
            batch.sent = time.monotonic()
            self._session.send(self._session.background.queue_in_use(), message, False, batch)
        except Exception as error:
            self._unsent(batch, error)

    def _packed(self, batch: _Batch) -> jobs.Packed:
        if self._wide:
            return jobs.pack_call(batch.job, batch.items)
        return jobs.pack_map(batch.job, batch.items, self._all_know)

    def _all_know(self, digest: str) -> bool:
        """Whether each engine that may get a task has the function. One that has not says so, which
        would cost a task one of its retries."""
        holders = self._holders.get(digest, ())
        return not self._wants["retries"] and len(holders) >= self._engine_count > 0

    def _note_holder(self, digest: str, engine: int) -> None:
        if digest not in self._holders and len(self._holders) >= _DIGESTS_AT_MOST:
            del self._holders[next(iter(self._holders))]
        self._holders.setdefault(digest, set()).add(engine)

    def _unsent(self, batch: _Batch, error: BaseException) -> None:
        """What cannot be pickled must not spoil its neighbours."""
        halves = [] if isinstance(error, OSError) else batch.items.halves()
        with self._lock:
            self._in_flight -= 1
            for half in reversed(halves):
                self._jobs.appendleft(jobs.Part(batch.job, half))
        if not halves:
            batch.job.deliver(batch.items, [(False, error)] * len(batch.items.args))
        with self._lock:
            self._tell_idle()

    def _returned(self, batch: _Batch, request: Request) -> None:
        """In the background thread: first the engines get more to do."""
        now = time.monotonic()
        given: list[Answer] | Exception
        try:
            given = answers(request)
        except Exception as error:
            given = error
        outcomes, again = self._outcomes(batch, given)
        if not isinstance(given, Exception) and outcomes is not None and given:
            nbytes = max(batch.bytes, sum(buffer.nbytes for buffer in given[0].buffers))
            items = len(batch.items.args)
            self._pace.done(given[0].engine, items, nbytes, batch.sent, now)
            if batch.digest:
                self._note_holder(batch.digest, given[0].engine)
        with self._lock:
            self._in_flight -= 1
            for half in reversed(again):
                self._jobs.appendleft(jobs.Part(batch.job, half))
            self._limit = self._pace.in_flight(self._engine_count)
        if not isinstance(given, Exception) and not self._session.connection.closed:
            self._count()
        self._feed()
        if outcomes is not None:
            batch.job.deliver(batch.items, outcomes)
        with self._lock:
            self._tell_idle()

    def _outcomes(
        self, batch: _Batch, given: list[Answer] | Exception
    ) -> tuple[list[jobs.Outcome] | None, Sequence[jobs.Items]]:
        """What became of each item; or None and what is to be sent again, in parts."""
        count = len(batch.items.args)
        if isinstance(given, Exception):
            return [(False, given)] * count, ()
        answer = given[0]
        if answer.status == OK:
            try:
                return (jobs.unpack_call if self._wide else jobs.unpack_map)(answer), ()
            except Exception as error:
                return [(False, error)] * count, ()
        failed = problem(answer)
        assert failed is not None
        if getattr(failed, "ename", "") == "TaskRejectError":
            self._wait_for_room()
            return None, [batch.items]
        if getattr(failed, "ename", "") == "UnknownFunction":
            self._holders.pop(batch.digest, None)
            return None, [batch.items]
        if answer.status == ABORTED:
            return [(False, concurrent.futures.CancelledError())] * count, ()
        # It failed as a whole, so none of it ran: what an engine cannot unpickle must not spoil the
        # rest. Who else refuses it would refuse its parts.
        refused = answer.engine < 0 or isinstance(failed, errors.EngineError)
        halves = [] if refused else batch.items.halves()
        return ([(False, failed)] * count, ()) if not halves else (None, halves)

    def _wait_for_room(self) -> None:
        """Too many tasks wait at the balancer, whoever's: nothing is sent for a while."""
        with self._lock:
            if self._waits_for_room:
                return
            self._waits_for_room = True
        timer = threading.Timer(_ROOM_S, self._go_on)
        timer.daemon = True
        timer.start()

    def _go_on(self) -> None:
        with self._lock:
            self._waits_for_room = False
        self._ask()

    def _tell_idle(self) -> None:
        """Under the lock."""
        if self._shut_down and not self._in_flight and not self._jobs:
            self._idle.notify_all()

    def _wait_idle(self) -> None:
        """Under the lock, which it lets go; a callback may shut an executor down, too."""
        background = self._session.background
        background.check_process()
        if not background.is_current():
            self._idle.wait()
            return
        self._lock.release()
        try:
            background.step(None)
        finally:
            self._lock.acquire()

    def _results(self, job: jobs.MapJob, deadline: float | None) -> Iterator[Any]:
        try:
            start = 0
            while start < job.count:
                outcomes = job.wait(start, deadline, self._session.background)
                start += len(outcomes)
                for fine, value in outcomes:
                    if not fine:
                        raise value
                    yield value
        finally:
            self._drop(job)

    def _drop(self, job: jobs.Job) -> None:
        """Nobody wants the rest of a job."""
        with self._lock:
            dropped = [each for each in self._jobs if each.belongs_to(job)]
            if dropped:
                left = [each for each in self._jobs if not each.belongs_to(job)]
                self._jobs = collections.deque(left)
                self._tell_idle()
        for each in dropped:
            each.cancel_rest()

# SPDX-License-Identifier: BSD-3-Clause
"""Clients: connected to one cluster, and giving out views and executors."""

from __future__ import annotations

import weakref
from types import TracebackType
from typing import Any, Iterable, Iterator, Sequence

from . import operations
from .executor import Executor
from .futures import Future
from .session import Session
from .targets import Key, Targets, bounds, select
from .view import View

_TIMEOUT_S = 10.0
_NAMED_BY = ("group", "host")  # what a name in a list of engines is, the first that there is


def connect(
    where: str | None = None,
    *,
    profile: str | None = None,
    cluster_id: str | None = None,
    ssh: str | None = None,
    timeout: float = _TIMEOUT_S,
) -> Client:
    """Connect to a cluster: with no argument to the one that `ipp-cluster start` started here.

    where: a cluster id, the path of a connection file, or "ssh://[USER@]HOST[:PORT][/ID]".
    profile, cluster_id: as of ipyparallel.Client. ssh: "[USER@]HOST[:PORT]", the login node where
    the cluster's connection file is; ssh may ask for a password. timeout: seconds, ssh included.

    Raises FileNotFoundError (no connection file), PermissionError (the key is refused: revoked,
    expired or of another cluster), TimeoutError (nobody answers: the cluster is gone) and OSError
    for the rest (no file of ours, another protocol, ssh failed), each with a text in words.
    """
    if cluster_id is not None and where is not None:
        raise ValueError("either `where` or `cluster_id` says which cluster, not both")
    if ssh is not None:
        where = f"ssh://{ssh.removeprefix('ssh://')}/{cluster_id or where or ''}".rstrip("/")
    where = where or cluster_id
    try:
        return Client(Session(where, profile, timeout))
    except FileNotFoundError as error:
        failure: OSError = FileNotFoundError(error.strerror)
        failure.errno = error.errno  # given to the constructor, it would stand in the text too
    except OSError as error:
        failure = error
    raise failure.with_traceback(None)


class Engines(Sequence[int]):
    """Ids of the living engines in ascending order; `about` tells of each."""

    def __init__(self, ids: Sequence[int], about: dict[int, dict[str, Any]]) -> None:
        self._ids = list(ids)
        self.about = about

    def __getitem__(self, index: Any) -> Any:
        return self._ids[index]

    def __len__(self) -> int:
        return len(self._ids)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Iterable) and self._ids == list(other)

    def __repr__(self) -> str:
        return repr(self._ids)


class Client:
    """A connection to a cluster; `connect` makes one. A context manager, which closes it.

    Any thread may use it. A forked child has to connect itself.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._finalizer = weakref.finalize(self, session.close)  # also when the interpreter ends
        self.echo: bool | None = None  # whether output of engines is printed; None: at a prompt

    def __repr__(self) -> str:
        if self.closed:
            return "<ippmpi.Client, closed>"
        about = self._session.about()
        name = about.get("cluster_id") or "default"
        return f"<ippmpi.Client of {name!r} with {len(self)} engines, as {about.get('role')}>"

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self._session.connection.engines())

    def __iter__(self) -> Iterator[View]:
        return (self[id] for id in self._session.connection.engines())

    def __contains__(self, id: object) -> bool:
        """Whether an engine of that id lives: `2 in client`."""
        return not isinstance(id, bool) and id in self._session.connection.engines()

    def __getitem__(self, key: Key) -> View:
        """A view: of one engine by its id, of several by a slice, a list of ids, or a string with
        ids, ranges and names of groups or hosts; `[:]` is every engine alive when a request arrives.

        IndexError for an engine, group or host that is not there, ValueError for a string that is no
        list of them."""
        return View(self, self._select(key))

    @property
    def engines(self) -> Engines:
        """Ids of the living engines; `.about[id]` is a dict: host, pid, python, topology, ..."""
        about = self._session.about().get("engines", {})
        ids = self._session.connection.engines()
        return Engines(ids, {id: about.get(str(id), {}) for id in ids})

    @property
    def about(self) -> dict[str, Any]:
        """What the bridge tells of the cluster: version, python, role, cluster_id, engines, ..."""
        return self._session.about()

    @property
    def closed(self) -> bool:
        """True after close()."""
        return self._session.connection.closed

    def executor(
        self,
        targets: Key | None = None,
        *,
        prefer: Key | None = None,
        retries: int = 0,
        priority: int = 0,
        width: int = 1,
        scheme: str | None = None,
        timeout: float | None = None,
    ) -> Executor:
        """A concurrent.futures.Executor: each task runs on whichever engine is free.

        targets: the engines that may run them, as in `client[targets]`; all without. prefer:
        engines where they had better run: they do if one of these is free. retries: how often a
        task may be run again, elsewhere, when an engine dies that had it. Quick tasks travel
        together, and those that had not run yet are lost with their engine as well: each takes one
        of its own retries, or has an EngineError. priority: -1000 to 1000; tasks with a greater one
        go first, whoever's they are. width: engines that run each task at once; its function finds
        them in `ippmpi.engine.task_comm()`, and what the first of them returns is its value.
        scheme: how they choose among free engines, as `ipp-engine --scheme`, which is the default;
        an unknown one is said by the tasks (ValueError). timeout: seconds that a task may wait in
        the balancer's queue; then it fails (RemoteError with `ename` "TaskTimeout").
        """
        wants = self._wants(prefer, retries, priority, width, scheme, timeout)
        chosen = None if targets is None else self._select(targets)
        return Executor(self._session, lambda: self._eligible(chosen), wants)

    def task(
        self,
        name: str,
        payload: Any = b"",
        *,
        targets: Key | None = None,
        prefer: Key | None = None,
        retries: int = 0,
        priority: int = 0,
        width: int = 1,
        scheme: str | None = None,
        timeout: float | None = None,
    ) -> Future[bytes]:
        """Have the application run its C task `name` (ippmpi(3)); a Future of the result's bytes.

        payload: anything with a buffer, in C order. The rest: as of `executor`. RemoteError with
        `ename` "TaskFailed" when its function has not returned 0, "KeyError" when no task is called
        so. Where it runs, ipp_task_cancelled tells it of `cancel`.
        """
        wants = self._wants(prefer, retries, priority, width, scheme, timeout)
        uuids = [] if targets is None else self._eligible(self._select(targets))[1]
        operation = operations.task(name, payload, {"targets": uuids, **wants})
        future = self._session.start(operation)
        future._interrupts = True
        return future

    def close(self) -> None:
        """End the session. What runs on engines goes on, and futures that are not done fail."""
        self._finalizer()

    def _wants(
        self,
        prefer: Key | None,
        retries: int,
        priority: int,
        width: int,
        scheme: str | None,
        timeout: float | None,
    ) -> dict[str, Any]:
        """What tasks ask of the balancer, as metadata."""
        if retries < 0:
            raise ValueError(f"retries is {retries}, and must not be negative")
        if not -1000 <= priority <= 1000:
            raise ValueError(f"priority is {priority}, and must be from -1000 to 1000")
        if width < 1:
            raise ValueError(f"width is {width}, and must be 1 or more")
        if timeout is not None and timeout < 0:
            raise ValueError(f"timeout is {timeout}, and must not be negative")
        wants: dict[str, Any] = {"retries": retries, "priority": priority, "width": width}
        if prefer is not None:
            wants["preferred"] = self._eligible(self._select(prefer))[1]
        return {**wants, "scheme": scheme, "timeout": timeout}

    def _select(self, key: Key) -> Targets:
        names: set[str] = set()
        if isinstance(key, str):
            about = self._session.about().get("engines", {}).values()
            names = {engine.get(what) for engine in about for what in _NAMED_BY} - {"", None}
        return select(key, self._session.connection.engines(), names)

    def _resolve(self, targets: Targets) -> list[int]:
        if targets.spec == "all":
            return self._session.connection.engines()
        about = self._session.about().get("engines", {})
        ids: set[int] = set()
        for part in map(str.strip, targets.spec.split(",")):
            members = [
                [int(id) for id in about if about[id].get(what) == part] for what in _NAMED_BY
            ]
            ids.update(next(filter(None, members), None) or _range(part))
        return sorted(ids)

    def _eligible(self, targets: Targets | None) -> tuple[int, list[str]]:
        """How many engines, and their uuids where not all are meant."""
        if targets is None or targets.spec == "all":
            return len(self), []
        about = self._session.about().get("engines", {})
        ids = [id for id in self._resolve(targets) if str(id) in about]
        if not ids:
            raise IndexError(f"no engine of {targets.spec} is alive")
        return len(ids), [about[str(id)]["uuid"] for id in ids]


def _range(part: str) -> range:
    try:
        first, last = bounds(part)
        return range(first, last + 1)
    except ValueError:
        raise IndexError(f"no engine of {part!r} is left") from None

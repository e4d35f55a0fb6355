# SPDX-License-Identifier: BSD-3-Clause
"""Views: some engines, and the verbs for them."""

from __future__ import annotations

import copy
import json
import os
import tokenize
from typing import TYPE_CHECKING, Any, Callable, Iterable, Sequence, TypeVar

from . import operations
from .errors import RemoteError
from .futures import Future
from .outputs import Collector, Result, Results, interactive
from .session import Operation
from .targets import Targets

if TYPE_CHECKING:
    from .client import Client

T = TypeVar("T")


class View:
    """Some engines of a client: `c[0]`, `c[:]`, `c[0:4]`, `c[[0, 2]]`, `c["ocean"]`.

    A verb returns one engine's value where the view is of one (`c[0]`), else a list in the order
    of engines; each has a sibling `..._async` that returns a Future of it. Requests of one client
    run on an engine in the order in which they were sent.

    Errors: RemoteError for an exception on one engine, CompositeError for several, EngineError
    where an engine died, AbortedError, ConnectionError, PythonVersionError before anything is
    sent, TimeoutError (see `options`), and IndexError, PermissionError or ValueError where the
    cluster refuses a request.
    """

    def __init__(self, client: Client, targets: Targets) -> None:
        self._client = client
        self._session = client._session
        self._targets = targets
        self._echo: bool | None = None
        self._progress = False
        self._timeout: float | None = None

    def __repr__(self) -> str:
        return f"<View of {self._targets.spec}>"

    @property
    def targets(self) -> str:
        """The engines as the bridge is told: "all", "0-3,7", "ocean"."""
        return self._targets.spec

    @property
    def ids(self) -> list[int]:
        """Ids of the engines that this view means now, in ascending order."""
        return self._client._resolve(self._targets)

    def options(
        self,
        *,
        echo: bool | None = None,
        progress: bool | None = None,
        timeout: float | None = None,
    ) -> View:
        """A view of the same engines with other habits.

        echo: what engines print is printed here while it comes, each line with `[id]` before it;
        without it only where somebody sits at a prompt. progress: a bar of the engines that have
        answered, by tqdm. timeout: seconds after which a blocking verb raises TimeoutError.
        """
        other = copy.copy(self)
        other._echo = self._echo if echo is None else echo
        other._progress = self._progress if progress is None else progress
        other._timeout = self._timeout if timeout is None else timeout
        return other

    # ---- running things ----

    def apply(self, function: Callable[..., T], /, *args: Any, **kwargs: Any) -> Any:
        """Call `function(*args, **kwargs)` on each engine; its value.

        Functions of `__main__`, lambdas and closures travel by value, with the values that their
        global names have here; where the engine has a value by that name, its own counts. Other
        functions are imported on the engine.
        """
        operation = operations.call(self._session, self._targets, function, args, kwargs)
        return self._run(operation, self._collector())

    def apply_async(self, function: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """`apply`, as a future."""
        operation = operations.call(self._session, self._targets, function, args, kwargs)
        return self._start(operation, self._collector())

    def execute(self, code: str, *, echo: bool | None = None) -> Any:
        """Run source code as IPython does; a Result (Results for several engines) with `stdout`,
        `stderr`, `value_text` and `outputs`. Also where Python versions differ."""
        collector = Collector(self._echoes(echo))
        return self._run(operations.execute(self._targets, code, collector), collector)

    def execute_async(self, code: str, *, echo: bool | None = None) -> Future[Any]:
        """`execute`, as a future."""
        collector = Collector(self._echoes(echo))
        operation: Operation[Result | Results]
        operation = operations.execute(self._targets, code, collector)
        return self._start(operation, collector)

    def run(self, file: str | os.PathLike[str], *args: str, echo: bool | None = None) -> Any:
        """Run a file of this computer's, `args` being its sys.argv[1:]; what it put out, as of
        `execute`."""
        return self.execute(_script(file, args), echo=echo)

    def run_async(
        self, file: str | os.PathLike[str], *args: str, echo: bool | None = None
    ) -> Future[Any]:
        """`run`, as a future."""
        return self.execute_async(_script(file, args), echo=echo)

    def map(
        self,
        function: Callable[..., T],
        *iterables: Iterable[Any],
        progress: bool | None = None,
        retries: int = 0,
    ) -> list[T]:
        """`list(map(function, *iterables))`, each item on whichever of these engines is free.

        retries: see `Client.executor`."""
        shown = self._progress if progress is None else progress
        with self._client.executor(self.targets, retries=retries) as executor:
            return list(executor.map(function, *iterables, progress=shown))

    def interrupt(self) -> None:
        """Raise KeyboardInterrupt in what these engines run now."""
        self._run(operations.interrupt(self._targets))

    def interrupt_async(self) -> Future[None]:
        """`interrupt`, as a future."""
        return self._start(operations.interrupt(self._targets))

    def barrier(self) -> None:
        """Wait until all that was sent to these engines before has run."""
        self._run(operations.barrier(self._targets))

    def barrier_async(self) -> Future[None]:
        """`barrier`, as a future."""
        return self._start(operations.barrier(self._targets))

    # ---- values ----

    def push(self, **names: Any) -> None:
        """Bind names to values on each engine: `push(a=array, n=3)`.

        Numeric arrays travel as their bytes, numbers and strings as they are, the rest as pickles.
        """
        self._run(operations.push(self._session, self._targets, names))

    def push_async(self, **names: Any) -> Future[None]:
        """`push`, as a future. Arrays are not copied: leave them as they are until it is done."""
        return self._start(operations.push(self._session, self._targets, names))

    def pull(self, name: str, *more: str) -> Any:
        """The value called `name`; a tuple where several are asked for.

        An array comes on the bytes as they were received: it is writable, and nobody else's.
        """
        return self._run(operations.pull(self._targets, [name, *more], not more))

    def pull_async(self, name: str, *more: str) -> Future[Any]:
        """`pull`, as a future."""
        return self._start(operations.pull(self._targets, [name, *more], not more))

    def scatter(self, name: str, whole: Any) -> None:
        """Bind `name` on each engine to its part of an array (axis 0) or a list.

        Parts are contiguous and as np.array_split counts them. TypeError for arrays of objects.
        """
        self._run(operations.scatter(self._session, self.ids, name, whole))

    def scatter_async(self, name: str, whole: Any) -> Future[None]:
        """`scatter`, as a future. Leave the array as it is until it is done."""
        return self._start(operations.scatter(self._session, self.ids, name, whole))

    def gather(self, name: str) -> Any:
        """The parts called `name` joined along axis 0, in the order of engines; of lists a list.

        Numbers count as arrays of one element. ValueError, which names engines and shapes, where
        parts do not fit together; TypeError for what is no numeric array.
        """
        return self._run(operations.gather(self._targets, name))

    def gather_async(self, name: str) -> Future[Any]:
        """`gather`, as a future."""
        return self._start(operations.gather(self._targets, name))

    def reduce(self, name: str, op: str | Callable[[Any, Any], Any] = "sum") -> Any:
        """The values called `name` combined into one, on the engines, element by element.

        `op`: "sum", "prod", "min", "max", "and", "or", or a function of two values. Arrays have to
        have one shape and dtype.
        """
        return self._run(operations.reduce(self._session, self._targets, name, op))

    def reduce_async(self, name: str, op: str | Callable[[Any, Any], Any] = "sum") -> Future[Any]:
        """`reduce`, as a future."""
        return self._start(operations.reduce(self._session, self._targets, name, op))

    # ---- below the verbs ----

    def _echoes(self, echo: bool | None = None) -> bool:
        for wish in (echo, self._echo, self._client.echo):
            if wish is not None:
                return wish
        return interactive()

    def _collector(self) -> Collector | None:
        """What a call prints is shown or not wanted: its value is what it was called for."""
        return Collector(True) if self._echoes() else None

    def _start(self, operation: Operation[T], collector: Collector | None = None) -> Future[T]:
        future = self._session.start(operation, collector)
        future._owner = self._client  # which would end the session if nobody kept it
        return future

    def _run(self, operation: Operation[T], collector: Collector | None = None) -> T:
        try:
            if not self._progress or self._targets.one:
                return self._session.run(operation, collector, self._timeout)
            with _bar(len(self.ids)) as tell:
                return self._session.run(operation, collector, self._timeout, tell)
        except RemoteError as error:
            raise error.with_traceback(None)  # how its answer was read is nobody's concern


class _bar:
    """A bar of tqdm's for a number of engines; nothing where tqdm is missing."""

    def __init__(self, total: int) -> None:
        self.bar = progress_bar(None, total, "engine")

    def __enter__(self) -> Callable[[int], None] | None:
        if self.bar is None:
            return None
        bar = self.bar

        def tell(done: int) -> None:
            bar.update(done - bar.n)

        return tell

    def __exit__(self, kind: Any, *_: Any) -> None:
        if self.bar is not None:
            self.bar.update(self.bar.total - self.bar.n if kind is None else 0)
            self.bar.close()


def progress_bar(iterable: Iterable[Any] | None, total: int, unit: str) -> Any:
    """tqdm's for terminal or notebook; `iterable` itself where tqdm is not installed."""
    try:
        from tqdm.auto import tqdm
    except ImportError:
        return iterable
    return tqdm(iterable, total=total, unit=unit)


def _script(file: str | os.PathLike[str], args: Sequence[str]) -> str:
    """The code that runs a file of this computer's."""
    with tokenize.open(file) as opened:
        request = json.dumps([os.fspath(file), opened.read(), list(args)])
    module = "__import__('ippmpi.engine.terminal', fromlist=['script'])"
    return f"{module}.script({request!r})"

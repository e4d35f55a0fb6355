# SPDX-License-Identifier: BSD-3-Clause
"""The verbs as requests, and what their answers mean (docs/protocol.md, "Operations of the
steering socket")."""

from __future__ import annotations

import json
import platform
import sys
from typing import Any, Callable, Mapping, Sequence, TypeVar

from .engine import functions, values
from .packing import dump, pack_function
from .outputs import Collector, Result, Results
from .session import Answer, Message, Operation, Session, good
from .targets import Targets

T = TypeVar("T")
_MINOR = ".".join(platform.python_version_tuple()[:2])
_CALL = json.dumps({"python": _MINOR, "apart": True})
_OPS = ("sum", "prod", "min", "max", "and", "or")


def _main() -> dict[str, Any]:
    return sys.modules["__main__"].__dict__


def _each(targets: Targets, read: Callable[[Answer], T]) -> Callable[[list[list[Answer]]], Any]:
    """One engine's value, or a list of them in the order of engines."""
    if targets.one:
        return lambda given: read(good(given[0])[0])
    return lambda given: [read(answer) for answer in good(given[0])]


def _nothing(given: list[list[Answer]]) -> None:
    for answers in given:
        good(answers)


def call(
    session: Session,
    targets: Targets,
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Operation[Any]:
    """Call a function; its value."""
    session.check_python()
    frames = [pack_function(function), *dump((args, kwargs))]
    message = Message("call_request", "engines", targets.spec, _CALL, frames)
    return Operation([message], _each(targets, _value))


def _value(answer: Answer) -> Any:
    return functions.load(answer.buffers[0], answer.buffers[1:], _main())


def task(name: str, payload: Any, wants: Mapping[str, Any]) -> Operation[bytes]:
    """Run a C task of an application; the bytes that it put."""
    content = json.dumps({"name": name})
    message = Message("task_request", "task", None, content, [payload], json.dumps(wants))
    return Operation([message], lambda given: bytes(good(given[0])[0].buffers[0]))


def execute(targets: Targets, code: str, collector: Collector) -> Operation[Result | Results]:
    """Run source code; what it put out."""
    content = {
        "code": code,
        "silent": False,
        "store_history": True,
        "user_expressions": {},
        "allow_stdin": False,
    }
    message = Message("execute_request", "engines", targets.spec, json.dumps(content))

    def finish(given: list[list[Answer]]) -> Result | Results:
        results = Results()
        for answer in good(given[0]):
            result = collector.of(answer.engine)
            result.execution_count = json.loads(answer.content).get("execution_count")
            results.append(result)
        return results[0] if targets.one else results

    return Operation([message], finish)


def push(session: Session, targets: Targets, names: Mapping[str, Any]) -> Operation[None]:
    """Bind names to values on each engine."""
    return Operation([_push(session, targets.spec, names)], _nothing)


def _push(session: Session, spec: str, names: Mapping[str, Any]) -> Message:
    entries, frames = [], []
    for name, value in names.items():
        kind, more = values.encode(value)
        if "pickle" in kind:
            session.check_python()
        entries.append({"name": values.check_name(name), **kind})
        frames += more
    return Message("push_request", "engines", spec, json.dumps({"names": entries}), frames)


def pull(targets: Targets, names: Sequence[str], alone: bool) -> Operation[Any]:
    """Fetch values by name: of one engine or a list; a tuple of values unless `alone`."""

    def read(answer: Answer) -> Any:
        fetched = tuple(named(answer).values())
        return fetched[0] if alone else fetched

    return Operation([_pull(targets, names)], _each(targets, read))


def _pull(targets: Targets, names: Sequence[str]) -> Message:
    content = json.dumps({"names": [values.check_name(name) for name in names]})
    return Message("pull_request", "engines", targets.spec, content)


def named(answer: Answer) -> dict[str, Any]:
    """The values in the answer to a pull, by name. Arrays are writable, on the received bytes."""
    frames = iter(answer.buffers)
    result = {}
    for entry in json.loads(answer.content)["names"]:
        kind = dict(entry)
        result[kind.pop("name")] = values.decode(kind, frames, _main())
    return result


def scatter(session: Session, ids: Sequence[int], name: str, whole: Any) -> Operation[None]:
    """Bind `name` on each engine to its part of `whole`: np.array_split's counts, axis 0."""
    parts = _parts(whole, len(ids))
    messages = [_push(session, str(id), {name: part}) for id, part in zip(ids, parts)]
    return Operation(messages, _nothing)


def _parts(whole: Any, count: int) -> list[Any]:
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(whole, numpy.ndarray):
        if whole.ndim == 0:
            raise TypeError("an array without an axis cannot be scattered: push it")
        if values.describe(whole.dtype) is None:
            raise TypeError(
                f"an array of dtype {whole.dtype} has no raw bytes to scatter: give it a numeric"
                " dtype, or scatter it as a list (array.tolist())"
            )
        whole = numpy.ascontiguousarray(whole)
    elif not isinstance(whole, Sequence) or isinstance(whole, (str, bytes, bytearray)):
        raise TypeError(f"arrays and lists can be scattered, not {type(whole).__name__}: push it")
    size, more = divmod(len(whole), count)
    ends = [(i + 1) * size + min(i + 1, more) for i in range(count)]
    parts = [whole[a:b] for a, b in zip([0, *ends], ends)]
    return parts if numpy is not None and isinstance(whole, numpy.ndarray) else [*map(list, parts)]


def gather(targets: Targets, name: str) -> Operation[Any]:
    """The engines' parts of `name` as one array, along axis 0; of lists one list."""

    def finish(given: list[list[Answer]]) -> Any:
        answers = good(given[0])
        return _joined(name, [(each.engine, named(each)[name]) for each in answers])

    return Operation([_pull(targets, [name])], finish)


def _joined(name: str, parts: list[tuple[int, Any]]) -> Any:
    if all(isinstance(part, list) for _, part in parts):
        return [item for _, part in parts for item in part]
    try:
        import numpy
    except ImportError:
        raise ModuleNotFoundError("gather of arrays needs numpy here", name="numpy") from None
    arrays = [_array(numpy, name, engine, part) for engine, part in parts]
    first = arrays[0]
    if any(a.dtype != first.dtype or a.shape[1:] != first.shape[1:] for a in arrays):
        told = ", ".join(f"[{e}] {a.dtype} {a.shape}" for (e, _), a in zip(parts, arrays))
        raise ValueError(f"the parts of {name!r} do not fit together along axis 0: {told}")
    if len(arrays) == 1:
        return first
    return numpy.concatenate(arrays)


def _array(numpy: Any, name: str, engine: int, part: Any) -> Any:
    if isinstance(part, (bool, int, float, complex, numpy.generic)):
        return numpy.asarray([part])
    if not isinstance(part, numpy.ndarray) or part.dtype.hasobject:
        kind = f"an array of dtype {part.dtype}" if hasattr(part, "dtype") else type(part).__name__
        raise TypeError(
            f"{name!r} on engine {engine} is {kind}, which has no raw bytes to gather: pull it"
        )
    return part if part.ndim else part.reshape(1)


def reduce(
    session: Session, targets: Targets, name: str, op: str | Callable[[Any, Any], Any]
) -> Operation[Any]:
    """The engines' values of `name` combined: on the engines, so one result comes back."""
    content: dict[str, Any] = {"name": values.check_name(name), "op": op}
    frames: list[Any] = []
    if callable(op):
        session.check_python()
        content.update(op="function", python=_MINOR)
        frames = dump(op)
    elif op not in _OPS:
        raise ValueError(f"reduce by {', '.join(_OPS)} or a function of two values, not {op!r}")
    message = Message("reduce_request", "engines", targets.spec, json.dumps(content), frames)

    def finish(given: list[list[Answer]]) -> Any:
        return next(iter(named(good(given[0])[0]).values()))

    return Operation([message], finish)


def barrier(targets: Targets) -> Operation[None]:
    """Wait until what was sent before has run."""
    return Operation([Message("barrier_request", "engines", targets.spec)], _nothing)


def interrupt(targets: Targets) -> Operation[None]:
    """Raise KeyboardInterrupt in what runs now."""
    content = json.dumps({"sig": "SIGINT"})
    return Operation([Message("signal_request", "control", targets.spec, content)], _nothing)

# SPDX-License-Identifier: BSD-3-Clause
"""Pickles of the steering socket: functions, arguments and results, protocol 5.

What cannot be found by name at the other end travels by value, as cloudpickle writes it. A function
of the client's `__main__` becomes one of the engine's: its globals are the engine's namespace. Names
that it brings along are bound there too, unless the engine has a value of its own for them: then
that one counts, as when the same source is run here.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import pickle
import sys
from types import FunctionType, ModuleType
from typing import Any, Callable, Sequence

from . import pickles

IN_BAND_BYTES = 4096  # smaller buffers cost less inside the pickle than as frames of their own

_PROTOCOL = 5
_PLAIN = {type(None), bool, int, float, complex, str}
_CONSTANT = _PLAIN | {bytes, type}
_KNOWN_AT_MOST = 256
_KNOWN_BYTES = 65536
_KEPT_BYTES = 64 << 20
_VALUES_MARK = b"cloudpickle"
_MAIN_MARK = b"__main__"
_NOTHING = object()
_MINOR = "%d.%d" % sys.version_info[:2]

# By their pickles: functions that carry nothing that changes, each with the names it brings along.
_known: dict[bytes, tuple[FunctionType, dict[str, Any]]] = {}
_kept: dict[str, bytes] = {}  # pickles of functions by digest, the last used last
_brought: dict[str, Any] = {}  # names in the namespace that came with functions


def check_version(python: Any) -> None:
    """Raise PythonVersionError when pickles of that Python ("3.11", "3.11.2") are not for this one."""
    if not isinstance(python, str) or not python:
        raise ValueError("content says no `python`: which version made this pickle?")
    if ".".join(python.split(".")[:2]) != _MINOR:
        raise pickles.PythonVersionError(f"Python {python}")


def load(data: Any, buffers: Sequence[Any], namespace: dict[str, Any]) -> Any:
    """The object of a pickle and its out-of-band buffers.

    Raises ModuleNotFoundError in words, or whatever unpickling raises.
    """
    text = bytes(data)
    if _VALUES_MARK not in text:
        return pickle.loads(text, buffers=buffers)
    _cloudpickle("to take functions in")
    return _Unpickler(text, buffers, namespace).load()


def load_function(data: Any, namespace: dict[str, Any]) -> Callable[..., Any]:
    """A function that was pickled alone; known again by its bytes where that makes no difference."""
    text = bytes(data)
    known = _known.get(text)
    if known is not None:
        for name, value in known[1].items():
            _bring(namespace, name, _copy(value))
        return _copy(known[0])  # type: ignore[no-any-return]
    if _VALUES_MARK not in text:
        return pickle.loads(text)  # type: ignore[no-any-return]
    _cloudpickle("to take functions in")
    unpickler = _Unpickler(text, (), namespace)
    function = unpickler.load()
    if len(text) <= _KNOWN_BYTES:
        _remember(text, function, unpickler.brought, namespace)
    return function  # type: ignore[no-any-return]


class UnknownFunction(LookupError):
    """A function that the client takes to be here already."""


def load_sent(
    frames: Sequence[Any], told: dict[str, Any], namespace: dict[str, Any]
) -> tuple[Callable[..., Any], Sequence[Any]]:
    """The function of a request, and its further frames.

    It is the first frame, or was that of an earlier request with the same `function`, a digest:
    UnknownFunction where that is not here (any more).
    """
    digest = told.get("function")
    if told.get("known"):
        text = _kept.pop(digest, None)
        if text is None:
            raise UnknownFunction(f"function {digest} is not here, or not any more")
        _kept[digest] = text  # used last
        return load_function(text, namespace), frames
    text = bytes(frames[0])
    if digest is not None:
        _keep(digest, text)
    return load_function(text, namespace), frames[1:]


def _keep(digest: str, text: bytes) -> None:
    if hashlib.sha256(text).hexdigest() != digest:
        raise ValueError(f"the function's digest is not {digest}")
    _kept.pop(digest, None)
    _kept[digest] = text
    while sum(map(len, _kept.values())) > _KEPT_BYTES:
        del _kept[next(iter(_kept))]


def dump(value: Any) -> list[Any]:
    """A pickle, then its out-of-band buffers, which show the memory of `value` itself."""
    if type(value) in _PLAIN:
        return [pickle.dumps(value, _PROTOCOL)]
    frames: list[Any] = [b""]
    try:
        data = pickle.dumps(value, _PROTOCOL, buffer_callback=_collector(frames))
        if _MAIN_MARK not in data or importlib.util.find_spec("cloudpickle") is None:
            frames[0] = data
            return frames
    except Exception:
        if importlib.util.find_spec("cloudpickle") is None:
            raise
    frames = [b""]
    cloudpickle = _cloudpickle("to send this")
    frames[0] = cloudpickle.dumps(value, _PROTOCOL, buffer_callback=_collector(frames))
    return frames


def _collector(frames: list[Any]) -> Callable[[pickle.PickleBuffer], bool]:
    def collect(buffer: pickle.PickleBuffer) -> bool:
        try:
            raw = buffer.raw()
        except BufferError:  # no single run of bytes
            return True
        if raw.nbytes < IN_BAND_BYTES:
            return True
        frames.append(raw)
        return False

    return collect


def _cloudpickle(why: str) -> ModuleType:
    try:
        import cloudpickle
    except ImportError:
        raise pickles.missing("cloudpickle", why) from None
    return cloudpickle  # type: ignore[no-any-return]


def _remember(
    text: bytes, function: Any, brought: dict[str, Any], namespace: dict[str, Any]
) -> None:
    if type(function) is not FunctionType:
        return
    if not all(_is_constant(value, namespace) for value in (function, *brought.values())):
        return
    if len(_known) >= _KNOWN_AT_MOST:
        _known.clear()
    _known[text] = _copy(function), {name: _copy(value) for name, value in brought.items()}


def _is_constant(value: Any, namespace: dict[str, Any]) -> bool:
    if type(value) is FunctionType:
        return _is_constant_function(value, namespace)
    return type(value) in _CONSTANT or isinstance(value, ModuleType)


def _is_constant_function(function: FunctionType, namespace: dict[str, Any]) -> bool:
    if function.__closure__ or function.__dict__:
        return False
    values = [
        *(function.__defaults__ or ()),
        *(function.__kwdefaults__ or {}).values(),
        *function.__annotations__.values(),
    ]
    return function.__globals__ is namespace and all(type(v) in _CONSTANT for v in values)


def _copy(known: Any) -> Any:
    """A fresh function: what a call does to one is not there at the next."""
    if type(known) is not FunctionType:
        return known
    function = FunctionType(known.__code__, known.__globals__, known.__name__, known.__defaults__)
    function.__qualname__ = known.__qualname__
    function.__module__ = known.__module__
    function.__doc__ = known.__doc__
    if known.__kwdefaults__:
        function.__kwdefaults__ = dict(known.__kwdefaults__)
    if known.__annotations__:
        function.__annotations__ = dict(known.__annotations__)
    return function


class _Unpickler(pickle.Unpickler):
    """Gives functions of `__main__` the engine's namespace in the place of a dict of their own."""

    def __init__(self, text: bytes, buffers: Sequence[Any], namespace: dict[str, Any]) -> None:
        super().__init__(io.BytesIO(text), buffers=buffers)
        self.namespace = namespace
        self.brought: dict[str, Any] = {}  # names that came along

    def find_class(self, module: str, name: str) -> Any:
        found = super().find_class(module, name)
        if not module.startswith("cloudpickle"):
            return found
        if name == "_make_function":
            return self._make_function
        if name == "_builtin_type":
            return lambda kind: self._make_function if kind == "FunctionType" else found(kind)
        if name == "_function_setstate":
            return lambda function, state: self._set_state(found, function, state)
        return found

    def _make_function(self, code: Any, names: dict[str, Any], *rest: Any) -> FunctionType:
        main = names.get("__name__") == "__main__"
        return FunctionType(code, self.namespace if main else names, *rest)

    def _set_state(self, original: Any, function: Any, state: Any) -> None:
        if function.__globals__ is not self.namespace:
            original(function, state)
            return
        slots = state[1]
        brought, slots["__globals__"] = slots["__globals__"], {}
        builtins = self.namespace.get("__builtins__")
        original(function, state)
        self.namespace["__builtins__"] = builtins
        for name, value in brought.items():
            self.brought[name] = value
            _bring(self.namespace, name, value)


def forget() -> None:
    """The namespace was cleared: keep nothing alive that came with functions."""
    _brought.clear()
    _known.clear()
    _kept.clear()


def _bring(namespace: dict[str, Any], name: str, value: Any) -> None:
    """Bind a name that came along, unless the engine has a value of its own for it."""
    here = namespace.get(name, _NOTHING)
    if here is _NOTHING or here is _brought.get(name, _NOTHING):
        namespace[name] = _brought[name] = value

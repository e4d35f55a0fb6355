# SPDX-License-Identifier: BSD-3-Clause
"""Functions, arguments and results as ipyparallel packs them, without its price and its riddles."""

from __future__ import annotations

import importlib.util
import pickle
import platform
import sys
from types import CodeType, FunctionType, ModuleType
from typing import Any, Callable, Sequence

from . import imports, light

BUFFER_THRESHOLD = 1024  # bytes; these two are the defaults of a jupyter_client Session
ITEM_THRESHOLD = 64

_KNOWN_AT_MOST = 256
_KNOWN_BYTES = 65536
# Length of the rest of a pickle from the first instruction behind the protocol (2 bytes) and perhaps
# a frame (9 bytes), where that instruction and the end are all of it: an integer of 1, 2 or 4 bytes,
# a float, None, True, False.
_FRAME = 0x95
_NUMBERS = {ord("K"): 3, ord("M"): 4, ord("J"): 6, ord("G"): 10, ord("N"): 2, 0x88: 2, 0x89: 2}
_PLAIN = {type(None), bool, int, float, complex, str}
_CONSTANT = _PLAIN | {bytes, type}
_known: dict[
    bytes, Any
] = {}  # plain functions as they came and canned, for clients that repeat them
_infos: dict[bytes, tuple[int, list[str]]] = {}
_canned: list[Any] = []  # functions that unpack has met so far, in order

_CHECKED_AT_MOST = 512
_checked: set[bytes] = set()
_sizes: list[int] = []

Call = tuple[Callable[..., Any], Sequence[Any], dict[str, Any]]


class PythonVersionError(RuntimeError):
    """What the client sent was made by a Python that this one does not understand."""

    def __init__(self, detail: str) -> None:
        minor = ".".join(platform.python_version_tuple()[:2])
        super().__init__(
            f"the engines run Python {platform.python_version()}, and what the client sent was made"
            f" by another one ({detail}): functions travel as compiled code, so use Python {minor}"
            " on both ends"
        )


def missing(package: str, why: str) -> ImportError:
    """An error that says which package to install where."""
    return ModuleNotFoundError(
        f"{package} is not installed in the engines' Python {sys.executable or sys.prefix}"
        f" ({platform.python_version()}), which needs it {why}: install it there,"
        " or start the engines with another Python",
        name=package,
    )


def unpack(buffers: Sequence[Any], namespace: dict[str, Any]) -> Call:
    """What to call: the inverse of `ipyparallel.serialize.pack_apply_message`.

    Functions of the client's `__main__` get `namespace` as their globals. Raises
    PythonVersionError, ModuleNotFoundError in words, or whatever unpickling raises.
    """
    try:
        known = _known.get(buffers[0]) if buffers else None
        if known is not None:
            return _unpack_known(known, buffers, namespace)
        call: Call = _serialize().unpack_apply_message(buffers, namespace, copy=False)
        _remember(buffers[0], call[0])
        return call
    except PythonVersionError as error:
        raise error.with_traceback(None)
    except (TypeError, ValueError) as error:
        said = str(error)
        if said.startswith(("code expected", "code()", "bad marshal", "unsupported pickle")):
            raise PythonVersionError(said) from None
        raise
    finally:
        if _canned:
            _canned.clear()


def _unpack_known(canned: Any, buffers: Sequence[Any], namespace: dict[str, Any]) -> Call:
    """The same, without making the function's code again and in few steps: where many engines
    share cores, each step is a walk through cold caches."""
    info = _infos.get(buffers[1]) or _read_info(buffers[1])
    args, at = [], 2
    for _ in range(info[0]):
        first = buffers[at]
        start = 11 if len(first) > 11 and first[2] == _FRAME else 2
        if len(first) > start and _NUMBERS.get(first[start]) == len(first) - start:
            args.append(pickle.loads(first))
            at += 1
        else:
            value, left = _serialize().deserialize_object(buffers[at:], namespace)
            args.append(value)
            at = len(buffers) - len(left)
    keys = info[1]
    if not keys:
        return _function(canned, namespace), args, {}
    return _function(canned, namespace), args[: -len(keys)], dict(zip(keys, args[-len(keys) :]))


def _read_info(pickled: Any) -> tuple[int, list[str]]:
    """How many values there are, and the names of the last of them, by the bytes that say so."""
    told = pickle.loads(pickled)
    info = told["nargs"] + len(told["kw_keys"]), told["kw_keys"]
    if len(_infos) >= _KNOWN_AT_MOST:
        _infos.clear()
    _infos[bytes(pickled)] = info
    return info


def _function(canned: Any, namespace: dict[str, Any]) -> Callable[..., Any]:
    if not canned.module.startswith("__"):
        return canned.get_object(namespace)  # type: ignore[no-any-return]
    defaults = tuple(canned.defaults) if canned.defaults else None
    function = FunctionType(canned.code, namespace, canned.__name__, defaults)
    if canned.kwdefaults:
        function.__kwdefaults__ = dict(canned.kwdefaults)
    if canned.annotations:
        function.__annotations__ = dict(canned.annotations)
    return function


def _remember(pickled: Any, function: Any) -> None:
    """Functions are known again by their bytes, unless something in them could have changed."""
    if not _canned or len(pickled) > _KNOWN_BYTES:
        return
    canned = _canned[0]
    if canned.code is not getattr(function, "__code__", None) or canned.closure or canned.buffers:
        return
    values = [
        *(canned.defaults or ()),
        *(canned.kwdefaults or {}).values(),
        *(canned.annotations or {}).values(),
    ]
    if any(type(value) not in _CONSTANT for value in values):
        return
    if len(_known) >= _KNOWN_AT_MOST:
        _known.clear()
    _known[bytes(pickled)] = canned


def pack(result: Any) -> list[Any]:
    """`ipyparallel.serialize.serialize_object`: a pickle, then the large buffers out of band."""
    if type(result) in _PLAIN:
        return [pickle.dumps(result, pickle.DEFAULT_PROTOCOL)]
    return _serialize().serialize_object(
        result, buffer_threshold=BUFFER_THRESHOLD, item_threshold=ITEM_THRESHOLD
    )


def _serialize() -> ModuleType:
    module = sys.modules.get("ipyparallel.serialize")
    if module is None or not hasattr(module, "unpack_apply_message"):
        if importlib.util.find_spec("ipyparallel") is None:
            raise missing("ipyparallel", "to call functions for a client")
        module = importlib.import_module("ipyparallel.serialize")
    return module


def install() -> None:
    """Correct ipyparallel's canning as soon as it is imported."""
    imports.after("ipyparallel.serialize.canning", _canning)
    imports.after("ipyparallel.serialize.codeutil", _codeutil)


def _canning(canning: ModuleType) -> None:
    """Can arrays once numpy is here, where the original would import numpy to see; and so on."""

    def later(module: str, name: str, key: str) -> None:
        canner = canning.can_map.pop(key, None)  # type: ignore[attr-defined]
        if canner is not None:
            imports.after(module, lambda m: canning.can_map.setdefault(getattr(m, name), canner))

    later("numpy", "ndarray", "numpy.ndarray")
    later("ipyparallel.controller.dependency", "dependent", "ipyparallel.dependent")

    def get_object(self: Any, g: dict[str, Any] | None = None) -> Any:
        _canned.append(self)
        light.ready_for(self.module, self.__name__)
        return original(self, g)

    original = canning.CannedFunction.get_object  # type: ignore[attr-defined]
    canning.CannedFunction.get_object = get_object  # type: ignore[attr-defined]


def _codeutil(codeutil: ModuleType) -> None:
    def code_ctor(*args: Any) -> CodeType:
        check(next((arg for arg in args if isinstance(arg, bytes)), b""))
        return CodeType(*args)

    code_ctor.__module__ = codeutil.__name__
    code_ctor.__qualname__ = "code_ctor"
    codeutil.code_ctor = code_ctor  # type: ignore[attr-defined]


def check(instructions: bytes) -> None:
    """Raise PythonVersionError if a code object's bytes cannot be this Python's: they would crash.

    Python 3.11 and later have room for caches behind instructions, and how much differs between
    versions; so a walk over foreign code soon meets an unknown instruction or a full cache. The
    bytes have to be those that came: a code object made of them shows its caches empty.
    """
    if instructions in _checked:
        return
    if not _native(instructions):
        raise PythonVersionError("its instructions are not this version's")
    if len(_checked) >= _CHECKED_AT_MOST:
        _checked.clear()
    _checked.add(instructions)


def _native(instructions: bytes) -> bool:
    sizes = _sizes or _cache_sizes()
    at, end = 0, len(instructions)
    while at < end:
        size = sizes[instructions[at]]
        start, at = at + 2, at + 2 + 2 * size
        if size < 0 or any(instructions[start:at]):
            return False
    return at == end


def _cache_sizes() -> list[int]:
    """Per instruction the number of cache entries behind it; -1 for no instruction."""
    import opcode

    known = getattr(opcode, "_inline_cache_entries", {})  # a list until Python 3.12, then a dict
    for number, name in enumerate(opcode.opname[:256]):
        if name in (f"<{number}>", "CACHE"):
            _sizes.append(-1)
        elif isinstance(known, dict):
            _sizes.append(known.get(name, 0))
        else:
            _sizes.append(known[number])
    return _sizes

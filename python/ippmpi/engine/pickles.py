# SPDX-License-Identifier: BSD-3-Clause
"""Functions, arguments and results as ipyparallel packs them, without its price and its riddles."""

from __future__ import annotations

import importlib.util
import platform
import sys
from types import CodeType, ModuleType
from typing import Any, Callable, Sequence

from . import imports, light

BUFFER_THRESHOLD = 1024  # bytes; these two are the defaults of a jupyter_client Session
ITEM_THRESHOLD = 64

_CHECKED_AT_MOST = 512
_checked: set[bytes] = set()
_sizes: list[int] = []

Call = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]


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
    unpack_apply_message = _serialize().unpack_apply_message
    try:
        return unpack_apply_message(buffers, namespace, copy=False)
    except PythonVersionError as error:
        raise error.with_traceback(None)
    except (TypeError, ValueError) as error:
        said = str(error)
        if said.startswith(("code expected", "code()", "bad marshal", "unsupported pickle")):
            raise PythonVersionError(said) from None
        raise


def pack(result: Any) -> list[Any]:
    """`ipyparallel.serialize.serialize_object`: a pickle, then the large buffers out of band."""
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

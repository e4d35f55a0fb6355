# SPDX-License-Identifier: BSD-3-Clause
"""Functions as pickles. One that carries nothing which could change is pickled once."""

from __future__ import annotations

import dis
import os
import sys
import warnings
import weakref
from types import CodeType, FunctionType
from typing import Any, Callable, NamedTuple

from .engine import functions

_GLOBAL = ("LOAD_GLOBAL", "LOAD_NAME", "STORE_GLOBAL", "DELETE_GLOBAL")
_LARGE_BYTES = 16 << 20
_CONSTANT = (type(None), bool, int, float, complex, str, bytes, type)


class _Known(NamedTuple):
    """The pickle of a function, and what it must still have."""

    code: CodeType
    defaults: tuple[Any, ...] | None
    pickled: bytes


_known: weakref.WeakKeyDictionary[FunctionType, _Known | None] = weakref.WeakKeyDictionary()


def pack_function(function: Callable[..., Any]) -> bytes:
    """A function as one pickle, by value where the engines cannot import it."""
    if type(function) is not FunctionType:
        return _pack(function)
    known = _known.get(function)
    code, defaults = function.__code__, function.__defaults__
    if known is not None and known.code is code and known.defaults is defaults:
        return known.pickled
    pickled = _pack(function)
    if function not in _known or known is not None:
        constant = _is_constant(function)
        _known[function] = _Known(code, defaults, pickled) if constant else None
    return pickled


def dump(value: Any) -> list[Any]:
    """A pickle and its out-of-band buffers, which show the memory of `value` itself.

    Modules that were given to cloudpickle.register_pickle_by_value travel with their functions.
    """
    cloudpickle = sys.modules.get("cloudpickle")
    if cloudpickle is None or not cloudpickle.list_registry_pickle_by_value():
        return functions.dump(value)
    frames: list[Any] = [b""]
    collect = functions._collector(frames)
    frames[0] = cloudpickle.dumps(value, 5, buffer_callback=collect)
    return frames


def _pack(function: Callable[..., Any]) -> bytes:
    pickled, *rest = dump(function)
    if rest:
        import cloudpickle

        pickled = cloudpickle.dumps(function, 5)
    if len(pickled) > _LARGE_BYTES:
        _warn(function, len(pickled))
    return pickled  # type: ignore[no-any-return]


def _warn(function: Callable[..., Any], size: int) -> None:
    """Tell the caller of this package of a function that is slow to send."""
    here = os.path.dirname(os.path.abspath(__file__))
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_code.co_filename.startswith(here):
        level, frame = level + 1, frame.f_back
    name = getattr(function, "__qualname__", type(function).__name__)
    warnings.warn(
        f"{name}() takes {size / 1e6:.0f} MB along with every call: values of the names that it"
        " uses here. Push large data once, by a name that this program has no value for, and let"
        " the function use that",
        stacklevel=level,
    )


def _is_constant(function: FunctionType) -> bool:
    """No closure, no globals, no attributes, and no defaults that could change."""
    if function.__closure__ or function.__dict__ or function.__kwdefaults__:
        return False
    values = [*(function.__defaults__ or ()), *function.__annotations__.values()]
    return all(type(v) in _CONSTANT for v in values) and not _has_globals(function.__code__)


def _has_globals(code: CodeType) -> bool:
    if any(each.opname in _GLOBAL for each in dis.get_instructions(code)):
        return True
    return any(_has_globals(const) for const in code.co_consts if isinstance(const, CodeType))

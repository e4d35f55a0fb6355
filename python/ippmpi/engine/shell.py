# SPDX-License-Identifier: BSD-3-Clause
"""When there is an IPython shell: from the first request that needs one, or code that asks for it.

IPython costs 0.25 s and 40 MB, and calling functions needs none of it. Until it is there, stand-ins
for `get_ipython`, `display` and IPython's singleton create it as soon as they are used.
"""

from __future__ import annotations

import builtins
import importlib.util
import sys
import tempfile
import threading
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

from . import imports, interrupt, light, pickles

if TYPE_CHECKING:
    from .ipython import EngineShell

_shell: EngineShell | None = None
_lock = threading.RLock()
_creating = False


def exists() -> bool:
    """True once there is a shell."""
    return _shell is not None


def get() -> EngineShell:
    """The shell, made now if there is none; raises ModuleNotFoundError in words without IPython."""
    global _shell
    if _shell is None:
        with _lock:
            if _shell is None:
                _shell = _create()
        interrupt.raise_early()
    return _shell


def _create() -> EngineShell:
    global _creating
    for package in ("IPython", "ipykernel"):
        if importlib.util.find_spec(package) is None:
            raise pickles.missing(package, "to run code and magics")
    _creating = True
    try:
        from .ipython import create

        tempfile.gettempdir()  # tries a file, which an interrupt of the first cell would leave
        return create()
    finally:
        _creating = False


interrupt.shield(_create)  # half a shell would be left for good


def install() -> None:
    """Put the stand-ins in place."""
    main = sys.modules["__main__"].__dict__
    session = SimpleNamespace(user_ns=main, user_global_ns=main)
    light.give("ipyparallel.util", get_ipython=lambda: _shell or session)
    builtins.get_ipython = get  # type: ignore[attr-defined]
    builtins.display = _display  # type: ignore[attr-defined]
    imports.after("IPython.core.interactiveshell", _singleton)


def _display(*objects: Any, **options: Any) -> Any:
    get()  # which puts IPython's function in this one's place
    from IPython.display import display

    return display(*objects, **options)


def _ensure() -> None:
    if _shell is None and not _creating:
        try:
            get()
        except ImportError:
            pass  # IPython without ipykernel: then it is on its own


def _singleton(module: ModuleType) -> None:
    """`InteractiveShell.instance()` and `.initialized()` are about the shell of this engine.

    That is what `IPython.get_ipython`, `display` and `publish_data` call.
    """
    cls = module.InteractiveShell  # type: ignore[attr-defined]
    instance, initialized = cls.instance.__func__, cls.initialized.__func__

    def instance_(klass: type, *args: Any, **kwargs: Any) -> Any:
        _ensure()
        return instance(klass, *args, **kwargs)

    def initialized_(klass: type) -> bool:
        _ensure()
        return initialized(klass)

    cls.instance = classmethod(instance_)
    cls.initialized = classmethod(initialized_)

# SPDX-License-Identifier: BSD-3-Clause
"""Light modules: packages whose real code runs only when something of it is asked for.

An apply request needs `ipyparallel.serialize`, a few hundred lines; but `ipyparallel/__init__.py`
imports the client, IPython, tornado and much more: 0.3 s and 50 MB in every engine. So the modules
of the table below are imported as empty ones with their real `__path__`, `__spec__` and `__file__`,
and a few names that suffice for usual requests. The first other attribute that somebody asks for,
or the first submodule outside `_SAFE`, runs the real code in the same module object.
"""

from __future__ import annotations

import sys
import threading
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, Sequence

from . import imports

# Names that a light module has from the beginning. jupyter_client's are its sizes since 4.0 (2015).
_LIGHT: dict[str, dict[str, Any]] = {
    "ipyparallel": {},
    "ipyparallel.client": {},
    "ipyparallel.client.remotefunction": {},
    "ipyparallel.util": {},
    "jupyter_client": {},
    "jupyter_client.session": {"MAX_ITEMS": 64, "MAX_BYTES": 1024},
}

# Submodules that run well beside a light package.
_SAFE = {
    "ipyparallel._version",
    "ipyparallel.datapub",
    "ipyparallel.engine",
    "ipyparallel.engine.datapub",
    "ipyparallel.error",
    "ipyparallel.serialize",
    "ipyparallel.serialize.canning",
    "ipyparallel.serialize.codeutil",
    "ipyparallel.serialize.serialize",
}

# Functions whose code clients send by the name of a light module (push, pull, execute, map) and
# that need no more globals than that module has.
_CONTENT = {
    "ipyparallel.util": {"_push", "_pull", "_execute"},
    "ipyparallel.client.remotefunction": {"_map", "<lambda>"},
}

_ASKED = {"__all__", "__version__", "__getattr__"}  # other dunder names are only probed for
_WAIT_S = 60.0

_lock = threading.RLock()
_loading: set[str] = set()


class LightModule(ModuleType):
    """A module that has not run yet."""

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("__") or name in _ASKED:
            load(self.__name__)
            if name in self.__dict__:
                return self.__dict__[name]
            if type(self) is ModuleType and name not in _ASKED:
                return getattr(self, name)  # the real module may have a __getattr__ of its own
        raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")

    def __dir__(self) -> list[str]:
        load(self.__name__)
        return sorted(self.__dict__)


class _Loader(imports.Wrapper):
    def exec_module(self, module: ModuleType) -> None:
        vars(module).update(_LIGHT[module.__name__])
        vars(module)["__light__"] = self
        module.__class__ = LightModule


class _Finder(imports.Finder):
    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        top = name.partition(".")[0]
        if top not in _LIGHT or target is not None:
            return None
        if name not in _LIGHT and name not in _SAFE:
            load(name.rpartition(".")[0])  # modules elsewhere may rely on the usual order
            return None
        if name not in _LIGHT or not is_light(top):
            return None
        spec = imports.find_spec(name, path)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader)  # type: ignore[assignment]
        return spec


def is_light(name: str) -> bool:
    """True unless the real code of `name` was run, or is being run."""
    module = sys.modules.get(name)
    return module is None or (isinstance(module, LightModule) and name not in _loading)


def load(name: str) -> None:
    """Run the real code of a light module, after that of the packages around it.

    Returns at once in the thread that is already doing so, as a circular import does.
    """
    if not isinstance(sys.modules.get(name), LightModule):
        parent = name.rpartition(".")[0]
        if parent:
            load(parent)
        return
    if not _lock.acquire(timeout=_WAIT_S):
        raise ImportError(f"another thread has not finished importing {name}", name=name)
    try:
        parent = name.rpartition(".")[0]
        if parent and name not in _loading:
            load(parent)
        module = sys.modules.get(name)
        if not isinstance(module, LightModule) or name in _loading:
            return
        _loading.add(name)
        try:
            _run(module)
        finally:
            _loading.discard(name)
    finally:
        _lock.release()


def _run(module: LightModule) -> None:
    loader = vars(module)["__light__"]
    loader.restore(module)
    loader.loader.exec_module(module)
    vars(module).pop("__light__", None)
    module.__class__ = ModuleType


def ready_for(module: str, function: str) -> None:
    """Have the globals that a function sent by name of its module needs."""
    if function not in _CONTENT.get(module, ()):
        load(module)


def give(name: str, **names: Any) -> None:
    """Let the light module `name` have these names from the beginning."""
    _LIGHT[name].update(names)


def install() -> None:
    """From now on the modules of the table are light ones."""
    sys.meta_path.insert(0, _Finder)  # type: ignore[arg-type]

# SPDX-License-Identifier: BSD-3-Clause
"""Hooks on imports: do something before or right after a module is imported, whoever imports it."""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, Callable, Sequence

_before: dict[str, Callable[[ModuleSpec], None]] = {}
_after: dict[str, Callable[[ModuleType], None]] = {}


class Wrapper:
    """A loader that stands in for another one, which it asks for everything it does not do."""

    def __init__(self, loader: Any) -> None:
        self.loader = loader

    def __getattr__(self, name: str) -> Any:
        return getattr(self.loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)

    def restore(self, module: ModuleType) -> None:
        """Leave the module as its own loader would have."""
        module.__loader__ = self.loader
        if module.__spec__ is not None:
            module.__spec__.loader = self.loader


class _Hooked(Wrapper):
    def exec_module(self, module: ModuleType) -> None:
        self.restore(module)
        self.loader.exec_module(module)
        _after[module.__name__](module)


class Finder:
    """The base of our finders, which find nothing themselves: they wrap what others found."""


class _Hooks(Finder):
    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name not in _before and name not in _after:
            return None
        spec = find_spec(name, path, target)
        if spec is not None and name in _before:
            _before[name](spec)
        if spec is not None and spec.loader is not None and name in _after:
            spec.loader = _Hooked(spec.loader)  # type: ignore[assignment]
        return spec


def find_spec(name: str, path: Sequence[str] | None, target: Any = None) -> ModuleSpec | None:
    """What the finders that are not ours say about a module."""
    for finder in sys.meta_path:
        ours = isinstance(finder, type) and issubclass(finder, Finder)
        spec = None if ours else finder.find_spec(name, path, target)
        if spec is not None:
            return spec
    return None


def before(name: str, hook: Callable[[ModuleSpec], None]) -> None:
    """Call `hook(spec)` when `name` was found and nothing of it has run; it may raise."""
    _before[name] = hook


def after(name: str, hook: Callable[[ModuleType], None]) -> None:
    """Call `hook(module)` once `name` was imported, before its importer goes on.

    At once if it is there already.
    """
    module = sys.modules.get(name)
    if module is not None:
        hook(module)
    else:
        _after[name] = hook


def install() -> None:
    """From now on the hooks are called."""
    sys.meta_path.insert(0, _Hooks)  # type: ignore[arg-type]

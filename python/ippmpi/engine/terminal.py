# SPDX-License-Identifier: BSD-3-Clause
"""What `ipp-steer` asks engines for: calls whose function and arguments come from a command line.

Each function takes one JSON list as text, so that the code around it can be made without Python.
A value waits here until the same request's reply fetches it with `result`.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import json
import linecache
import pkgutil
import re
import sys
from typing import Any, Callable

from . import shell
from .errors import error_content

_value: Any = None
_NAME = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*(:[^\W\d]\w*(\.[^\W\d]\w*)*)?")


class Shown:
    """A value in the forms that a terminal wants: what print shows, and JSON if it can be."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        bundle: dict[str, Any] = {"text/plain": _text(self.value)}
        try:
            # Through text: what goes into the reply is plain, and NaN is none of JSON's.
            bundle["application/json"] = json.loads(
                json.dumps(self.value, default=_plain, allow_nan=False), parse_int=_bounded
            )
        except (TypeError, ValueError, RecursionError):
            pass
        return bundle

    def __repr__(self) -> str:
        return _text(self.value)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else repr(value)


def _plain(value: Any) -> Any:
    """Arrays and numbers of numpy's, and what else knows how to be lists of plain numbers."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} is not JSON")


def _bounded(digits: str) -> Any:
    """An integer, or its digits where it is beyond the 64 bits of most readers of JSON."""
    value = int(digits)
    return value if -(2**63) <= value < 2**63 else digits


def _argument(text: str) -> Any:
    """What a word of a command line means: JSON where it is JSON, else the word itself."""
    try:
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return text


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def find(name: str, namespace: dict[str, Any] | None = None) -> Callable[..., Any]:
    """The callable that `name` means in a namespace, by default that of the engine's `__main__`.

    `NAME` and `NAME.ATTRIBUTE` of the namespace or of Python itself, `MODULE:NAME` or `MODULE.NAME`
    of a module, which is imported; anything else is an expression. TypeError: not callable.
    """
    if namespace is None:
        namespace = vars(sys.modules["__main__"])
    first = re.split(r"[.:]", name, maxsplit=1)[0]
    known = first in namespace or hasattr(builtins, first)
    if _NAME.fullmatch(name) and (":" in name or ("." in name and not known)):
        found = pkgutil.resolve_name(name)
    else:
        found = eval(name, namespace)
    if not callable(found):
        raise TypeError(f"{name} is {type(found).__name__}, which cannot be called")
    return found


def call(request: str) -> None:
    """[name, [word, ...]]: calls it with what the words mean; the value waits for `result`."""
    global _value
    name, words = json.loads(request)
    _value = None
    _value = find(name)(*map(_argument, words))


def script(request: str) -> Any:
    """[path, source, [argument, ...]]: runs a file of the client's in `__main__`.

    Returns the value of a last expression, as a cell has one. The file's name stands in `__file__`,
    `sys.argv` and tracebacks; `sys.exit()` without a complaint ends it in order.
    """
    path, source, arguments = json.loads(request)
    namespace = vars(sys.modules["__main__"])
    linecache.cache[path] = (len(source), None, source.splitlines(True), path)
    before = {key: namespace[key] for key in ("__file__",) if key in namespace}
    argv, sys.argv = sys.argv, [path, *arguments]
    namespace["__file__"] = path
    try:
        return _run_script(path, source, namespace)
    except SystemExit as end:
        if end.code not in (None, 0):
            raise
    finally:
        sys.argv = argv
        namespace.pop("__file__", None)
        namespace.update(before)


def _run_script(path: str, source: str, namespace: dict[str, Any]) -> Any:
    try:
        tree = ast.parse(source, path)
    except SyntaxError:  # or IPython's, with magics
        tree = ast.parse(shell.get().transform_cell(source), path)
    last = tree.body[-1] if tree.body else None
    if not isinstance(last, ast.Expr) or source.rstrip().endswith(";"):
        return _evaluate(tree, path, "exec", namespace)
    tree.body.pop()
    _evaluate(tree, path, "exec", namespace)
    return _evaluate(ast.Expression(last.value), path, "eval", namespace)


def _evaluate(tree: Any, path: str, mode: str, namespace: dict[str, Any]) -> Any:
    code = compile(tree, path, mode, ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    value = eval(code, namespace)
    if not code.co_flags & inspect.CO_COROUTINE:
        return value
    from .ipython import run_coroutine

    return run_coroutine(value)


def each(request: str) -> None:
    """[name, [word, ...]]: calls it for what each word means; an object with `status` for each.

    One that fails has `ename`, `evalue` and `traceback`, and the others are called all the same; a
    KeyboardInterrupt ends the calls, and what came before it keeps its value.
    """
    global _value
    name, words = json.loads(request)
    _value = None
    function = find(name)
    items: list[dict[str, Any]] = []
    try:
        for word in words:
            items.append(_one(function, _argument(word)))
    except KeyboardInterrupt as error:
        if len(items) < len(words):
            items.append(_failed(error))
    left = {"status": "aborted", "ename": "Aborted", "evalue": "interrupted before it ran"}
    _value = items + [left] * (len(words) - len(items))


def _failed(error: BaseException) -> dict[str, Any]:
    content = error_content(error, "map", plain=True)
    del content["engine_info"]
    return {"status": "error", **content}


def _one(function: Callable[..., Any], argument: Any) -> dict[str, Any]:
    try:
        bundle = Shown(function(argument))._repr_mimebundle_()
    except (Exception, SystemExit) as error:
        return _failed(error)
    item = {"status": "ok", "text": bundle["text/plain"]}
    if "application/json" in bundle:
        item["value"] = bundle["application/json"]
    return item


def result(request: str = "[]") -> Shown:
    """The value of the call before, which is forgotten here."""
    global _value
    value, _value = _value, None
    return Shown(value)


def evaluate(request: str) -> Shown:
    """[name]: the value of a name of the namespace; NameError."""
    (name,) = json.loads(request)
    namespace = vars(sys.modules["__main__"])
    if name not in namespace:
        raise NameError(f"name {name!r} is not defined")
    return Shown(namespace[name])

# SPDX-License-Identifier: BSD-3-Clause
"""What goes wrong on engines and on the way to them, as exceptions of the caller."""

from __future__ import annotations

import re
import sys
from typing import Any, Iterable, Mapping

_COLOURS = re.compile(r"\x1b\[[\d;]*m")
_HEAD = re.compile(r"-{10,}|(\w+ +)?Traceback \(most recent call last\):?")
_SHOWN_TRACEBACKS = 3


class RemoteError(Exception):
    """An exception on an engine: `ename`, `evalue`, `traceback` (lines) and the `engine`'s id.

    `engine` is -1 where the cluster itself has refused a request. Colours that IPython gave the
    traceback there are shown by IPython here, and nowhere else.
    """

    def __init__(self, ename: str, evalue: str, traceback: Iterable[str] = (), engine: int = -1):
        super().__init__(ename, evalue, list(traceback), engine)
        self.ename = ename
        self.evalue = evalue
        self.traceback: list[str] = [plain(line) for line in self.args[2]]
        self.engine = engine
        shown = self._shown(False)
        if shown:
            self.add_note("\n".join(shown))

    def __str__(self) -> str:
        where = f"[{self.engine}] " if self.engine >= 0 else ""
        return f"{where}{self.ename}: {self.evalue}"

    def _shown(self, coloured: bool) -> list[str]:
        """The traceback without its last line, for this exception's own text says the same."""
        lines = list(self.args[2] if coloured else self.traceback)
        said = f"{self.ename}: {self.evalue}".strip().rstrip(":")
        if lines and plain(lines[-1]).strip().rstrip(":") == said:
            lines.pop()
        return [] if all(_HEAD.fullmatch(plain(line).strip()) for line in lines) else lines

    def _render_traceback_(self) -> list[str]:
        """For IPython, which shows these lines in place of the way to this exception."""
        return [*self._shown(_coloured()), str(self)]


class EngineError(RemoteError):
    """The engine died, or was shut down, before it answered."""


class AbortedError(RemoteError):
    """The request was taken off an engine's queue before it ran."""


class CompositeError(RemoteError):
    """Exceptions of several engines, in `errors`; equal ones are told once."""

    def __init__(self, errors: Iterable[RemoteError]) -> None:
        self.errors = list(errors)
        first = self.errors[0]
        groups = self._groups()
        text = "; ".join(f"{_ids(ids)} {error.ename}: {error.evalue}" for error, ids in groups)
        super().__init__(first.ename, text, (), first.engine)
        self.args = (self.errors,)
        for error, ids in groups[:_SHOWN_TRACEBACKS]:
            shown = error._shown(False)
            if shown:
                self.add_note("\n".join([_ids(ids), *shown]))

    def _groups(self) -> list[tuple[RemoteError, list[int]]]:
        found: dict[tuple[str, str], tuple[RemoteError, list[int]]] = {}
        for error in self.errors:
            found.setdefault((error.ename, error.evalue), (error, []))[1].append(error.engine)
        return list(found.values())

    def __str__(self) -> str:
        return self.evalue

    def _render_traceback_(self) -> list[str]:
        lines = []
        for error, ids in self._groups()[:_SHOWN_TRACEBACKS]:
            shown = error._shown(_coloured())
            lines += [_ids(ids), *shown] if shown else []
        return [*lines, str(self)]


class PythonVersionError(RuntimeError):
    """Client and engines run different minor versions of Python, and a function or a pickled
    value would have to travel; `execute`, `run`, arrays and plain values still do."""


def _ids(ids: list[int]) -> str:
    from .targets import compress

    return f"[{compress(ids)}]"


# What the bridge refuses has the exceptions that Python would have for it.
_REFUSALS: dict[str, type[Exception]] = {
    "IndexError": IndexError,
    "MemoryError": MemoryError,
    "NotImplementedError": NotImplementedError,
    "PermissionError": PermissionError,
    "ValueError": ValueError,
}


def from_content(content: Mapping[str, Any], engine: int) -> Exception:
    """The exception for an error reply's content `{ename, evalue, traceback}`."""
    ename = str(content.get("ename", "Error"))
    evalue = str(content.get("evalue", ""))
    traceback = content.get("traceback") or []
    if ename == "EngineError":
        return EngineError(ename, evalue, (), engine)
    if engine < 0 and ename in _REFUSALS:
        return _REFUSALS[ename](evalue)
    if ename == "PythonVersionError":
        return PythonVersionError(evalue)
    return RemoteError(ename, evalue, traceback, engine)


def aborted(engine: int) -> AbortedError:
    """The exception for a request that was taken off a queue."""
    return AbortedError("AbortedError", "taken off the queue before it ran", (), engine)


def plain(text: str) -> str:
    """What IPython shows, without its colours."""
    return _COLOURS.sub("", text)


def _coloured() -> bool:
    """Whether the IPython here, if there is one, shows its own tracebacks in colours."""
    getter = getattr(sys.modules.get("IPython"), "get_ipython", None)
    shell = getter() if getter is not None else None
    return str(getattr(shell, "colors", "NoColor")).lower() != "nocolor"


def raise_all(errors: list[Exception]) -> None:
    """Raises one error as it is, several as a CompositeError."""
    remote = [error for error in errors if isinstance(error, RemoteError)]
    if len(errors) == 1 or len(remote) < len(errors):
        others = [error for error in errors if not isinstance(error, RemoteError)]
        raise (others or errors)[0]
    if errors:
        raise CompositeError(remote)

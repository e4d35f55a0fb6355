# SPDX-License-Identifier: BSD-3-Clause
"""What engines print and show while a request runs: kept by engine, and echoed while it comes."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from typing import Any, Iterable, NamedTuple

from .errors import plain

Seen = tuple[int, str, str, str, list[bytes], int]


class Output(NamedTuple):
    """One message: `type` is "stream", "display_data", "execute_result", "progress", ..."""

    engine: int
    type: str
    content: dict[str, Any]
    metadata: dict[str, Any]
    buffers: list[bytes]


@dataclass
class Result:
    """What running source code on one engine gave. `value_text` is how IPython shows the last
    expression's value; None where there is none."""

    engine: int
    stdout: str = ""
    stderr: str = ""
    value_text: str | None = None
    execution_count: int | None = None
    outputs: list[Output] = field(default_factory=list)

    def __repr__(self) -> str:
        shown = self.value_text if self.value_text is not None else self.stdout.rstrip("\n")
        return f"[{self.engine}] {shown}" if shown else f"<Result of engine {self.engine}>"


class Results(list[Result]):
    """Results in the order of engines; `stdout`, `stderr` and `outputs` by engine."""

    @property
    def stdout(self) -> dict[int, str]:
        """What each engine printed, by id."""
        return {each.engine: each.stdout for each in self}

    @property
    def stderr(self) -> dict[int, str]:
        """What each engine wrote to standard error, by id."""
        return {each.engine: each.stderr for each in self}

    @property
    def outputs(self) -> dict[int, list[Output]]:
        """What each engine displayed, and its value, by id."""
        return {each.engine: each.outputs for each in self}

    def __repr__(self) -> str:
        from .targets import compress

        folded: dict[str, list[int]] = {}
        for each in self:
            text = repr(each).partition("] ")[2]
            folded.setdefault(text, []).append(each.engine)
        shown = [f"[{compress(ids)}] {text}" for text, ids in folded.items() if text]
        return "\n".join(shown) or f"<Results of {len(self)} engines>"


class Collector:
    """Keeps all output, and echoes it when told to: whole lines, each with its engine's id."""

    def __init__(self, echo: bool) -> None:
        self.echo = echo
        self.results: dict[int, Result] = {}
        self._unfinished: dict[tuple[int, str], str] = {}

    def of(self, engine: int) -> Result:
        """What an engine has put out so far."""
        return self.results.setdefault(engine, Result(engine))

    def take(self, outputs: Iterable[Seen]) -> None:
        """Messages as `Request.take_outputs` gives them."""
        for engine, kind, content, metadata, buffers, lost in outputs:
            if lost and self.echo:
                self._say(engine, "stderr", f"... {lost} messages were lost: this client is slow\n")
            if kind not in ("status", "execute_input"):
                seen = Output(engine, kind, json.loads(content), json.loads(metadata), buffers)
                self._keep(seen)

    def end(self) -> None:
        """Echo the lines that have no end."""
        for (engine, name), text in list(self._unfinished.items()):
            if text:
                self._say(engine, name, "\n")

    def _keep(self, seen: Output) -> None:
        result = self.of(seen.engine)
        result.outputs.append(seen)
        if seen.type == "stream":
            name, text = seen.content.get("name"), str(seen.content.get("text", ""))
            if name == "stderr":
                result.stderr += text
            else:
                result.stdout += text
            self._say(seen.engine, "stderr" if name == "stderr" else "stdout", text)
        elif seen.type in ("execute_result", "display_data"):
            shown = seen.content.get("data", {}).get("text/plain")
            if seen.type == "execute_result":
                result.value_text = shown
            if self.echo and not _displayed(seen) and shown is not None:
                if not getattr(sys.stdout, "isatty", bool)():
                    shown = plain(shown)
                self._say(seen.engine, "stdout", shown.removesuffix("\n") + "\n")

    def _say(self, engine: int, name: str, text: str) -> None:
        if not self.echo:
            return
        key = (engine, name)
        lines = (self._unfinished.pop(key, "") + text).split("\n")
        self._unfinished[key] = lines.pop()
        if lines:
            stream = sys.stderr if name == "stderr" else sys.stdout
            stream.write("".join(f"[{engine}] {line}\n" for line in lines))
            stream.flush()


def _displayed(seen: Output) -> bool:
    """True when a notebook or terminal of IPython's has shown it, for there is more than text."""
    data = seen.content.get("data", {})
    if set(data) <= {"text/plain"} or "IPython" not in sys.modules:
        return False
    from IPython.core.getipython import get_ipython
    from IPython.display import publish_display_data

    if get_ipython() is None:
        return False
    print(f"[{seen.engine}]")
    publish_display_data(data, seen.content.get("metadata") or {})
    return True


def interactive() -> bool:
    """True at a prompt: Python's, IPython's or a notebook's."""
    if hasattr(sys, "ps1") or sys.flags.interactive:
        return True
    shell = sys.modules.get("IPython")
    return shell is not None and getattr(shell, "get_ipython", lambda: None)() is not None

# SPDX-License-Identifier: BSD-3-Clause
"""IPython's `%%px`, `%px` and `%pxon` at ippmpi's speed; `%load_ext ippmpi` brings them."""

from __future__ import annotations

from typing import Any

from IPython.core.error import UsageError
from IPython.core.magic import Magics, line_cell_magic, line_magic, magics_class
from IPython.core.magic_arguments import argument, magic_arguments, parse_argstring

from .client import Client, connect
from .view import View


@magics_class
class SteerMagics(Magics):
    """Cells that run on engines."""

    def __init__(self, shell: Any) -> None:
        super().__init__(shell)
        self.client: Client | None = None
        self.targets = "all"

    def view(self, on: str | None = None) -> View:
        """The engines that cells go to; connects when nobody has."""
        if self.client is None or self.client.closed:
            self.client = _connect()
        try:
            return self.client[on or self.targets]
        except (IndexError, ValueError) as error:
            raise UsageError(str(error)) from None

    @magic_arguments()
    @argument("--on", help="the engines: 0-3,7 or a group's name; without it those of %%pxon")
    @argument("--quiet", action="store_true", help="print nothing; with --out for what is printed")
    @argument("--out", metavar="NAME", help="bind the result to this name here")
    @argument("--local", action="store_true", help="run the cell here, too")
    @argument("code", nargs="*", help="source code, without a cell")
    @line_cell_magic
    def px(self, line: str, cell: str | None = None) -> None:
        """Run a cell on engines, and print what they print, each line with `[id]` before it.

        Interrupting the cell interrupts the engines; interrupting again leaves them alone."""
        if cell is None:
            self._execute(line, None, True, None)
            return
        asked = parse_argstring(self.px, line)
        if asked.code:
            raise UsageError(f"%%px does not know {' '.join(asked.code)!r}")
        if asked.local:
            self.shell.run_cell(cell)
        self._execute(cell, asked.on, not asked.quiet, asked.out)

    @line_magic
    def pxon(self, line: str) -> None:
        """Choose the engines of %px and %%px (`%pxon 0-3`, `%pxon ocean`, `%pxon all`).

        Without an argument: print which they are. `%pxon --connect WHERE` takes another cluster
        (an id, a connection file, ssh://...)."""
        words = line.split()
        if words[:1] == ["--connect"]:
            if len(words) != 2:
                raise UsageError("%pxon --connect WHERE")
            self.client, self.targets = _connect(words[1]), "all"
        elif words:
            chosen = self.view("".join(words))
            chosen.ids  # raises for what is no engine
            self.targets = chosen.targets
        print(f"cells run on {self.targets}: engines {self.view().ids}")

    def _execute(self, code: str, on: str | None, echo: bool, out: str | None) -> None:
        view = self.view(on)
        result = _interruptible(view, code, echo)
        if out:
            self.shell.user_ns[out] = result


def _connect(where: str | None = None) -> Client:
    """In a cell one line says why not."""
    try:
        return connect(where)
    except OSError as error:
        raise UsageError(str(error)) from None


def _interruptible(view: View, code: str, echo: bool) -> Any:
    from .operations import execute
    from .outputs import Collector

    collector = Collector(echo)
    operation = execute(view._targets, code, collector)
    return view._session.run(operation, collector, interruptible=True)


def load(shell: Any) -> None:
    """Register the magics."""
    shell.register_magics(SteerMagics)

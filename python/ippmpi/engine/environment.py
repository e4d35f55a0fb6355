# SPDX-License-Identifier: BSD-3-Clause
"""What user code finds around it: argv, path, streams, keyboard, event loop, plots, MPI."""

from __future__ import annotations

import builtins
import importlib.util
import os
import sys
from types import ModuleType
from typing import Any, NoReturn

from . import imports, interrupt, light, pickles, shell, streams, world

_INLINE = "matplotlib_inline"


class StdinNotImplementedError(NotImplementedError):
    """Somebody asked an engine's user for input; IPython has an exception of this name too."""


def prepare() -> None:
    """Make this process an engine for user code; imports nothing that a request may not need."""
    sys.argv = [""]
    if sys.path[:1] != [""]:
        sys.path.insert(0, "")
    streams.install()
    interrupt.arm()
    builtins.input = _no_input  # type: ignore[assignment]
    for room in (imports, light, pickles, shell, world):
        room.install()
    imports.after("getpass", _no_getpass)
    imports.after("asyncio", _current_loop)
    if not os.environ.get("MPLBACKEND") and importlib.util.find_spec(_INLINE):
        os.environ["MPLBACKEND"] = f"module://{_INLINE}.backend_inline"


def _no_input(prompt: Any = "", *_args: Any, **_kwargs: Any) -> NoReturn:
    raise StdinNotImplementedError(
        "nobody sits at an engine's keyboard: input(), getpass() and the debugger cannot ask here;"
        " push the values, or pass them as arguments"
    )


def _no_getpass(getpass: ModuleType) -> None:
    getpass.getpass = _no_input  # type: ignore[attr-defined]


def _current_loop(asyncio: ModuleType) -> None:
    """`asyncio.get_event_loop()` finds a loop in the main thread, whatever the Python version."""
    if interrupt.in_main_thread():
        asyncio.set_event_loop(asyncio.new_event_loop())

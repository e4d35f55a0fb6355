# SPDX-License-Identifier: BSD-3-Clause
"""ippmpi: IPython.parallel's idea on MPI.

    import ippmpi
    c = ippmpi.connect()                 # the cluster that `ipp-cluster start` has started
    c[0].apply(pow, 2, 10)               # 1024
    c[:].apply_async(pow, 2, 10)         # a future
    with c.executor() as executor:
        print(sum(executor.map(abs, range(-1000, 1000))))

What clients use is imported when it is asked for: engines import this package too, for
`ippmpi.engine`, and need none of it.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

# An engine's Python may be older: there the module that it serves is built in.
if sys.version_info < (3, 11) and "_ippmpi_engine" not in sys.builtin_module_names:
    raise ImportError(
        "ippmpi needs Python 3.11 or later, and this is %d.%d (%s): use another Python here, or"
        " the ipyparallel client, which works with the same cluster"
        % (*sys.version_info[:2], sys.executable),
        name=__name__,
    )

if TYPE_CHECKING:
    from .client import Client, connect
    from .errors import AbortedError, CompositeError, EngineError, PythonVersionError, RemoteError
    from .executor import Executor
    from .futures import Future
    from .outputs import Output, Result, Results
    from .view import View

_FROM = {
    "AbortedError": "errors",
    "Client": "client",
    "CompositeError": "errors",
    "EngineError": "errors",
    "Executor": "executor",
    "Future": "futures",
    "Output": "outputs",
    "PythonVersionError": "errors",
    "RemoteError": "errors",
    "Result": "outputs",
    "Results": "outputs",
    "View": "view",
    "connect": "client",
}

__all__ = [
    "AbortedError",
    "Client",
    "CompositeError",
    "EngineError",
    "Executor",
    "Future",
    "Output",
    "PythonVersionError",
    "RemoteError",
    "Result",
    "Results",
    "View",
    "connect",
]


def __getattr__(name: str) -> Any:
    if name not in _FROM:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"{__name__}.{_FROM[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def load_ipython_extension(shell: Any) -> None:
    """`%load_ext ippmpi`: the magics %%px, %px and %pxon."""
    from .magics import load

    load(shell)

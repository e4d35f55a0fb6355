# SPDX-License-Identifier: BSD-3-Clause
"""The Python half of an engine: answers the requests that its C half hands over.

Most of it can be imported only inside an engine process, where the built-in module
`_ippmpi_engine` exists (BUILTIN.md is its contract); clients use functions and values too.
Reading order: kernel, pickles, light, shell; for the steering socket calls, functions, names,
values, reduce.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .reporting import progress
    from .world import task_comm

__all__ = ["main", "progress", "task_comm"]


def __getattr__(name: str) -> Any:
    if name == "progress":
        from .reporting import progress

        return progress
    if name == "task_comm":
        from .world import task_comm

        return task_comm
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def main() -> None:
    """Serve requests until there are no more; called once, in the main thread."""
    from .environment import prepare
    from .kernel import Kernel

    prepare()
    Kernel().serve()

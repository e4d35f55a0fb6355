# SPDX-License-Identifier: BSD-3-Clause
"""The Python half of an engine: answers the requests that its C half hands over.

Importable only inside an engine process, where the built-in module `_ippmpi_engine` exists
(BUILTIN.md is its contract). Reading order: kernel, pickles, light, shell;
for the steering socket calls, functions, names, values, reduce.
"""

from .reporting import progress

__all__ = ["main", "progress"]


def main() -> None:
    """Serve requests until there are no more; called once, in the main thread."""
    from .environment import prepare
    from .kernel import Kernel

    prepare()
    Kernel().serve()

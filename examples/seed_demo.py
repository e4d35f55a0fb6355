#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""A first session with a running cluster, by the stock ipyparallel client.

Start one with `ipp-cluster start -n 4`, then run this file, or type its lines into IPython or Jupyter."""
from __future__ import annotations

import argparse
import os
import socket
import sys
from typing import Any

from IPython.core.interactiveshell import InteractiveShell

import ipyparallel


def mul(a: int, b: int) -> int:
    return a * b


def summary() -> dict[str, Any]:
    """Summarize some info about this process."""
    import os
    import socket
    import sys
    return {
        "cwd": os.getcwd(),
        "Python": sys.version.split()[0],
        "hostname": socket.gethostname(),
        "pid": os.getpid(),
    }


def sum_of_ranks() -> tuple[int, int, int]:
    """What MPI knows: this engine's rank, how many there are, and the sum of all ranks, by MPI itself."""
    from mpi4py import MPI
    world = MPI.COMM_WORLD
    return world.rank, world.size, world.allreduce(world.rank)


PX_CELL = """\
import os, socket
print(f"process {os.getpid()} on {socket.gethostname()}")
"""


def title(text: str) -> None:
    print(f"\n{text}")


def show(line: str, value: Any) -> None:
    """Prints a line of code and what it gave, a list of dicts one to a line."""
    print(f"  >>> {line}")
    rows = value if isinstance(value, list) and value and isinstance(value[0], dict) else [value]
    for row in rows:
        print(f"      {row}")


def run_px(rc: ipyparallel.Client) -> None:
    """The %%px magic of IPython, as a notebook would run it."""
    shell = InteractiveShell.instance(colors="NoColor")
    rc[:].activate()
    print("  >>> %%px")
    for line in PX_CELL.splitlines():
        print(f"  ... {line}")
    shell.run_cell_magic("px", "", PX_CELL)


def session(rc: ipyparallel.Client, with_mpi4py: bool) -> None:
    title("The engines")
    show("rc.ids", rc.ids)

    title("A function, here and there")
    show("mul(5, 6)", mul(5, 6))
    show("summary()", summary())
    show("rc[0].apply(mul, 5, 6)", rc[0].apply(mul, 5, 6))
    show("rc[0].apply(summary)", rc[0].apply(summary))

    title("The same on all of them")
    show("rc[:].apply(mul, 5, 6)", rc[:].apply(mul, 5, 6))
    show("rc[:].apply(summary)", rc[:].apply(summary))

    title("map: Python's own, and load-balanced over the engines")
    view = rc.load_balanced_view()
    view.block = True
    show("list(map(mul, range(1, 10), range(2, 11)))", list(map(mul, range(1, 10), range(2, 11))))
    show("list(view.map(mul, range(1, 10), range(2, 11)))", list(view.map(mul, range(1, 10), range(2, 11))))

    title("A cell on all engines")
    run_px(rc)

    if with_mpi4py:
        title("MPI among the engines: rank, size, sum of all ranks")
        show("rc[:].apply(sum_of_ranks)", rc[:].apply(sum_of_ranks))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--without-mpi4py", action="store_true", help="leave out the lines that use mpi4py")
    options = parser.parse_args()
    rc = ipyparallel.Client(timeout=30)
    rc.block = True
    print(f"Connected from process {os.getpid()} on {socket.gethostname()}, Python {sys.version.split()[0]}.")
    session(rc, not options.without_mpi4py)
    rc.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())

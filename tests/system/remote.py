# SPDX-License-Identifier: BSD-3-Clause
"""Functions that tests send to engines. @interactive: they travel by value, nobody imports this."""
from __future__ import annotations

from typing import Any

from ipyparallel import interactive


@interactive
def echo(x: Any = None) -> Any:
    return x


@interactive
def mul(a: Any, b: Any) -> Any:
    return a * b


@interactive
def getpid() -> int:
    import os

    return os.getpid()


@interactive
def pass_gate(path: str, value: Any = None) -> Any:
    """Waits until `path` exists, and returns value."""
    import os
    import time

    while not os.path.exists(path):
        time.sleep(0.005)
    return value


@interactive
def nap(seconds: float) -> float:
    import time

    time.sleep(seconds)
    return seconds


@interactive
def fail(message: str = "no luck") -> None:
    raise ValueError(message)


@interactive
def print_and_pass(path: str, text: str) -> None:
    """Prints before it waits for the gate."""
    import os
    import sys
    import time

    print(text)
    print("warned: " + text, file=sys.stderr)
    sys.stdout.flush()
    sys.stderr.flush()
    while not os.path.exists(path):
        time.sleep(0.005)


@interactive
def mark_and_wait(started: str, path: str) -> str:
    """Creates `started`, then waits for the gate at `path`."""
    import os
    import time

    with open(started, "w"):
        pass
    while not os.path.exists(path):
        time.sleep(0.005)
    return "passed"


@interactive
def mark(folder: str, x: Any) -> Any:
    """Leaves a mark in the file x of `folder`: who ran, how often."""
    import os

    with open(os.path.join(folder, f"{x}"), "a") as file:
        file.write("x")
    return x


@interactive
def affinity() -> list[int]:
    """Processors that the calling thread may run on."""
    import os

    return sorted(os.sched_getaffinity(0))

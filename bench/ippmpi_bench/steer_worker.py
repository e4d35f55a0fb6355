# SPDX-License-Identifier: BSD-3-Clause
"""Our client in a Python of its own: steer_worker.py WHAT CONNECTION_FILE prints samples as JSON."""
from __future__ import annotations

import json
import sys
import time
from typing import Any, Callable

import ippmpi

BYTES = 10**8


def noop(x: Any = None) -> Any:
    return x


def rss_mb() -> float:
    """Resident memory of this process in MB (2**20)."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096 / 2**20


def seconds(count: int, call: Callable[[], Any]) -> list[float]:
    taken = []
    for _ in range(count):
        began = time.perf_counter()
        call()
        taken.append(time.perf_counter() - began)
    return taken


def apply(view: Any) -> list[float]:
    """Microseconds of round trips."""
    seconds(200, lambda: view.apply(noop, 1))
    return [1e6 * s for s in seconds(2000, lambda: view.apply(noop, 1))]


def rate(c: Any, count: int, run: Callable[[Any, int], list[Any]]) -> list[float]:
    """Tasks a second."""
    rates = []
    with c.executor() as executor:
        run(executor, 100)
        for _ in range(5):
            began = time.perf_counter()
            results = run(executor, count)
            rates.append(count / (time.perf_counter() - began))
            assert results == list(range(count))
    return rates


def by_map(executor: Any, count: int) -> list[Any]:
    return list(executor.map(noop, range(count)))


def by_submit(executor: Any, count: int) -> list[Any]:
    return [future.result() for future in [executor.submit(noop, i) for i in range(count)]]


def push(c: Any) -> list[float]:
    """Seconds for an array of BYTES to all."""
    import numpy

    array = numpy.random.default_rng(1).random(BYTES // 8)
    c[:].push(a=array)
    return seconds(8, lambda: c[:].push(a=array))


def gather(c: Any) -> list[float]:
    """Seconds for BYTES in all, a part from each."""
    c[:].execute(f"import numpy; a = numpy.random.default_rng(1).random({BYTES} // 8 // {len(c)})")
    assert c[:].gather("a").nbytes > BYTES - 8 * len(c)
    return seconds(8, lambda: c[:].gather("a"))


def reduce(c: Any) -> list[float]:
    """Seconds for a sum of an array of BYTES on each."""
    c[:].execute(f"import numpy; a = numpy.ones({BYTES} // 8)")
    taken = seconds(1, lambda: c[:].reduce("a"))
    assert c[:].pull("a")[0].nbytes == BYTES
    return taken


def reduce_once(c: Any) -> list[float]:
    """The size of what came back."""
    return [float(c[:].reduce("a").nbytes)]


def outstanding(c: Any) -> list[float]:
    """MB for a million tasks that were submitted and wait."""
    c[:].execute("import threading, time")
    before = rss_mb()
    held = []
    with c.executor() as executor:
        blocked = [c[i].apply_async(time.sleep, 8) for i in c.engines]
        held += [executor.submit(noop, i) for i in range(10**6)]
        submitted = rss_mb() - before
        executor.shutdown(wait=False, cancel_futures=True)
    for future in blocked:
        future.result()
    return [submitted]


def growth(c: Any) -> list[float]:
    """MB resident after each million tasks done."""
    sizes = []
    with c.executor() as executor:
        for _ in range(10):
            for x in executor.map(noop, range(10**6)):
                pass
            sizes.append(rss_mb())
    return sizes


WHAT: dict[str, Callable[[Any], list[float]]] = {
    "apply_one": lambda c: apply(c[0]),
    "apply_all": lambda c: apply(c[:]),
    "map": lambda c: rate(c, 200_000, by_map),
    "submit": lambda c: rate(c, 10_000, by_submit),
    "push": push,
    "gather": gather,
    "reduce": reduce,
    "reduce_once": reduce_once,
    "outstanding": outstanding,
    "growth": growth,
}

if __name__ == "__main__":
    with ippmpi.connect(sys.argv[2]) as client:
        client.echo = False
        print(json.dumps(WHAT[sys.argv[1]](client)))

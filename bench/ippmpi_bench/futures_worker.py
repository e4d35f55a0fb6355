# SPDX-License-Identifier: BSD-3-Clause
"""mpi4py's side: `mpiexec -n 3 python3 -m mpi4py.futures futures_worker.py` prints tasks a second as
JSON; `mpiexec -n 3 python3 futures_worker.py BYTES` seconds of MPI_Bcast and MPI_Gather."""
from __future__ import annotations

import json
import sys
import time
from typing import Any


def noop(x: Any = None) -> Any:
    return x


def rates() -> dict[str, list[float]]:
    from mpi4py.futures import MPIPoolExecutor

    found: dict[str, list[float]] = {"map": [], "submit": []}
    with MPIPoolExecutor() as executor:
        list(executor.map(noop, range(100)))
        for _ in range(3):
            began = time.perf_counter()
            assert list(executor.map(noop, range(10_000))) == list(range(10_000))
            found["map"].append(10_000 / (time.perf_counter() - began))
            began = time.perf_counter()
            futures = [executor.submit(noop, i) for i in range(10_000)]
            assert [future.result() for future in futures] == list(range(10_000))
            found["submit"].append(10_000 / (time.perf_counter() - began))
    return found


def collectives(nbytes: int) -> dict[str, list[float]]:
    """Rank 0 stands for the bridge, the others for engines."""
    import numpy
    from mpi4py import MPI

    world = MPI.COMM_WORLD
    engines = world.size - 1
    array = numpy.ones(nbytes // 8)
    part = numpy.ones(nbytes // 8 // engines if world.rank else 0)
    counts = [0] + [nbytes // 8 // engines] * engines
    found: dict[str, list[float]] = {"bcast": [], "gather": []}
    for _ in range(6):
        world.Barrier()
        began = time.perf_counter()
        world.Bcast(array)
        world.Barrier()
        found["bcast"].append(time.perf_counter() - began)
        began = time.perf_counter()
        world.Gatherv(part, (array, counts) if world.rank == 0 else None)
        found["gather"].append(time.perf_counter() - began)
    return found if world.rank == 0 else {}


if __name__ == "__main__":
    result = collectives(int(sys.argv[1])) if sys.argv[1:] else rates()
    if result:
        print(json.dumps(result), flush=True)

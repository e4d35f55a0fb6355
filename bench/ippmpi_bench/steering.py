# SPDX-License-Identifier: BSD-3-Clause
"""Our own Python client, beside raw ZeroMQ, MPI and mpi4py.futures; 2 engines."""
from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from statistics import median
from typing import Any, Iterator

from cluster import Cluster, make_cluster
from ipp_cluster import ipp_engine, job_env, mpirun
from ippmpi_client import Network, changed_file, environment, steering_port

from .sides import Bench
from .table import Outcome, figure

ENGINES = 2
ROUNDS = 5  # where the scheduler puts two processes makes a factor of two
BYTES = 10**8
HERE = os.path.dirname(os.path.abspath(__file__))
Samples = dict[str, list[float]]


@contextmanager
def alone(bench: Bench) -> Iterator[Cluster]:
    """A cluster of ours, with nothing else on the machine."""
    bench.stop()
    cluster = make_cluster(ENGINES, backend="ours")
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop(check=False)


def ours(what: str, connection_file: str) -> list[float]:
    """Samples of steer_worker.py."""
    command = [sys.executable, os.path.join(HERE, "steer_worker.py"), what, connection_file]
    done = subprocess.run(command, env=environment(), stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def raw_pair(*args: object) -> list[float]:
    """Microseconds of what ZeroMQ alone does."""
    program = os.path.join(os.path.dirname(ipp_engine()), "bench", "raw_pair")
    command = [program, *map(str, args)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return [float(line) for line in done.stdout.split()]


def mpi4py(*args: str) -> Samples:
    """Samples of futures_worker.py; one rank more than workers, as with us."""
    futures = [] if args else ["-m", "mpi4py.futures"]
    script = os.path.join(HERE, "futures_worker.py")
    command = [sys.executable, *futures, script, *args]
    run = mpirun(ENGINES + 1, command, recovery=False, tag=False)
    env = {**os.environ, **job_env()}
    done = subprocess.run(run, env=env, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def apply_ratio(bench: Bench, what: str) -> Outcome:
    """Over TCP with CURVE, as from another host; over ipc, which clients on this host get, beside."""
    us: Samples = {"tcp": [], "ipc": [], "raw": []}
    with alone(bench) as cluster:
        by_tcp = changed_file(cluster, "tcp.json", ipc="")
        for _ in range(ROUNDS):
            us["raw"].append(median(raw_pair("rtt", 2000)))
            us["tcp"].append(median(ours(what, by_tcp)))
            us["ipc"].append(median(ours(what, cluster.connection_file)))
    p50 = {f"{name}_p50_us": median(samples) for name, samples in us.items()}
    return Outcome(p50["tcp_p50_us"] / p50["raw_p50_us"], p50)


@figure("ratio", must="<= 2.0", aim="<= 1.5")
def steer_apply_one(bench: Bench) -> Outcome:
    """ippmpi's no-op apply to one engine over CURVE: p50, by that of a raw round trip of 64 B."""
    return apply_ratio(bench, "apply_one")


@figure("ratio", must="<= 2.5", aim="<= 1.7")
def steer_apply_all(bench: Bench) -> Outcome:
    """The same to all engines."""
    return apply_ratio(bench, "apply_all")


def tasks_ratio(bench: Bench, what: str) -> Outcome:
    if "mpi4py_tasks" not in bench.kept:
        bench.stop()
        bench.kept["mpi4py_tasks"] = mpi4py()
    theirs: Any = bench.kept["mpi4py_tasks"]
    with alone(bench) as cluster:
        rates = ours(what, cluster.connection_file)
    beside = {"ours_tasks_per_s": median(rates), "mpi4py_tasks_per_s": median(theirs[what])}
    return Outcome(beside["ours_tasks_per_s"] / beside["mpi4py_tasks_per_s"], beside)


@figure("ratio", must=">= 10", aim=">= 25")
def executor_map(bench: Bench) -> Outcome:
    """No-op tasks a second through executor.map, ours / mpi4py.futures."""
    return tasks_ratio(bench, "map")


@figure("ratio", must=">= 5", aim=">= 10")
def executor_submit(bench: Bench) -> Outcome:
    """10,000 no-op tasks submitted one by one, ours / mpi4py.futures."""
    return tasks_ratio(bench, "submit")


def bulk_ratio(bench: Bench, what: str, collective: str, message: int) -> Outcome:
    if "mpi4py_bulk" not in bench.kept:
        bench.stop()
        bench.kept["mpi4py_bulk"] = mpi4py(str(BYTES))
    mpi: Any = bench.kept["mpi4py_bulk"]
    with alone(bench) as cluster:
        taken = min(ours(what, cluster.connection_file))
        ipc = min(raw_pair("transfer", BYTES, message, 8)) / 1e6
    beside = {"ours_s": taken, "ipc_s": ipc, f"mpi_{collective}_s": min(mpi[collective])}
    return Outcome(taken / (ipc + min(mpi[collective])), beside)


@figure("ratio", must="<= 1.5", aim="<= 1.1")
def steer_push_100mb(bench: Bench) -> Outcome:
    """ippmpi's push of 100 MB to all over ipc: best of 8, by raw ipc transfer + MPI_Bcast.

    The raw transfer is in messages of 4 MiB, which nobody keeps: the fastest there is."""
    return bulk_ratio(bench, "push", "bcast", 4 << 20)


@figure("ratio", must="<= 1.5", aim="<= 1.1")
def steer_gather_100mb(bench: Bench) -> Outcome:
    """ippmpi's gather of 100 MB from all over ipc: best of 8, by MPI_Gather + raw ipc transfer.

    The raw transfer is in one message for each part: who receives it has an array."""
    return bulk_ratio(bench, "gather", "gather", BYTES // ENGINES)


@figure("bytes / bytes of the array", must="<= 1.01")
def steer_reduce_bytes(bench: Bench) -> Outcome:
    """What a sum of a 100 MB array on every engine sends to the client, counted on the wire."""
    with alone(bench) as cluster:
        ours("reduce", cluster.connection_file)
        network = Network(steering_port(cluster))
        path = changed_file(cluster, "counted.json", ipc="", port=network.port)
        size = ours("reduce_once", path)[0]
        network.close()
    return Outcome(network.bytes_back / size, {"wire_bytes": network.bytes_back})


@figure("MB")
def executor_outstanding_mb(bench: Bench) -> Outcome:
    """Memory of the client for a million submitted tasks that wait."""
    with alone(bench) as cluster:
        return Outcome(ours("outstanding", cluster.connection_file)[0])


@figure("MB", must="<= 8")
def executor_growth_mb(bench: Bench) -> Outcome:
    """Growth of the client's memory from 5 to 10 million tasks done."""
    with alone(bench) as cluster:
        sizes = ours("growth", cluster.connection_file)
    return Outcome(sizes[-1] - sizes[4], {"rss_mb": sizes[-1]})

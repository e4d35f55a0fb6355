# SPDX-License-Identifier: BSD-3-Clause
"""The scheduler alone, and C tasks of an application's, which has no client."""
from __future__ import annotations

import json
import os
import subprocess
import tempfile
from statistics import median

from ipp_cluster import ipp_engine, job_env, mpirun

from .sides import Bench
from .table import Outcome, figure

ENGINES, SERVICE_RANKS = 2, 2
TASKS = 1_000_000


def program(name: str) -> str:
    return os.path.join(os.path.dirname(ipp_engine()), "bench", name)


def run_application(mode: str, tasks: int) -> tuple[list[float], float, float]:
    """The numbers that bench/c_tasks prints; CPU ns and peak bytes of the balancer."""
    run = mpirun(ENGINES + SERVICE_RANKS, [program("c_tasks"), mode, str(tasks)], recovery=False,
                 tag=False)
    with tempfile.TemporaryDirectory() as folder:
        env = {**os.environ, **job_env(), "IPYTHONDIR": folder}
        done = subprocess.run(run, env=env, capture_output=True, text=True, check=True)
    said = next(line for line in done.stderr.splitlines() if line.startswith("balancer "))
    cpu_ns, peak = map(float, said.split()[1:])
    return [float(line) for line in done.stdout.split()], cpu_ns, peak


def sched_bench(name: str) -> float:
    """Median ns of a task over the sizes that bench/sched_bench has for it, of three runs."""
    values = []
    for _ in range(3):
        done = subprocess.run([program("sched_bench"), str(TASKS), name], capture_output=True,
                              text=True, check=True)
        lines = map(json.loads, done.stdout.splitlines())
        values += [line["value"] for line in lines if line["name"] == name]
    return median(values)


@figure("ns", must="<= 300", aim="<= 100")
def sched_leastload(bench: Bench) -> Outcome:
    """One task in the scheduler alone, a million queued: submitted, assigned, done."""
    return Outcome(sched_bench("sched_task_ns"))


@figure("ns", must="<= 1000", aim="<= 500")
def sched_two_needs(bench: Bench) -> Outcome:
    """The same where each comes after two of the thousand before it."""
    return Outcome(sched_bench("sched_two_needs_task_ns"),
                   {"ten_clients": sched_bench("sched_ten_clients_task_ns")})


@figure("tasks / s", must=">= 500000", aim=">= 1000000")
def c_tasks(bench: Bench) -> Outcome:
    """C tasks that do nothing, a million at a time, submitted by one of 2 engines: median of 9."""
    bench.stop()
    rates, cpu_ns, _ = run_application("rate", TASKS)
    return Outcome(median(rates), {"slowest": min(rates), "fastest": max(rates),
                                   "balancer_ns_per_task": cpu_ns / TASKS / len(rates)})


@figure("us", must="<= 50", aim="<= 20")
def c_task_start(bench: Bench) -> Outcome:
    """From ipp_task_submit to the function's first line on another, idle engine: median of 9 p50s."""
    bench.stop()
    runs, spent = [], []
    for _ in range(9):
        times, cpu_ns, _ = run_application("start", 3000)
        runs.append(median(times) / 1000)
        spent.append(cpu_ns / len(times))
    return Outcome(median(runs), {"least": min(runs), "most": max(runs), "balancer_ns_per_task": median(spent)})


@figure("%", must=">= 98", aim=">= 99.5")
def c_task_efficiency(bench: Bench) -> Outcome:
    """500 tasks of 10 ms on 2 engines: the ideal time over the time taken, median of 5."""
    bench.stop()
    runs = [100 / run_application("constant", 500)[0][0] for _ in range(5)]
    return Outcome(median(runs), {"least": min(runs), "most": max(runs)})


@figure("%", must="<= 3", aim="<= 1")
def c_task_lognormal(bench: Bench) -> Outcome:
    """2000 tasks of 5 ms in the mean, sigma 1.5, on 2 engines: time over the ideal, median of 5."""
    bench.stop()
    runs = [100 * run_application("lognormal", 2000)[0][0] - 100 for _ in range(5)]
    return Outcome(median(runs), {"least": min(runs), "most": max(runs)})


@figure("MB", must="<= 300", aim="<= 150")
def c_task_memory(bench: Bench) -> Outcome:
    """Peak resident memory of rank 1 with a million tasks of 100 bytes in its queue."""
    bench.stop()
    _, _, peak = run_application("queue", TASKS)
    _, _, before = run_application("queue", 1)
    return Outcome(peak / 1e6, {"without_tasks": before / 1e6})

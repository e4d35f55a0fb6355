# SPDX-License-Identifier: BSD-3-Clause
"""What a whole cluster of two engines costs: time to start, memory, and CPU while nobody asks."""
from __future__ import annotations

import time
from statistics import median
from typing import Any

import procs

from .calls import noop
from .sides import OURS, THEIRS, Bench, start
from .table import Outcome, figure

ENGINES = 2
IDLE_SECONDS = 10.0
STARTS = {OURS: 3, THEIRS: 1}


def observe(name: str) -> dict[str, Any]:
    """Starts one side afresh, alone on the machine, and looks at it."""
    starts = []
    for _ in range(STARTS[name] - 1):
        side = start(name, ENGINES)
        starts.append(side.start_s)
        side.stop()
    side = start(name, ENGINES)
    try:
        starts.append(side.start_s)
        pids = side.cluster.pids()
        seen = {"start_s": median(starts), "processes": len(pids), "pss_mb": procs.pss_mb(pids)}
        time.sleep(2)
        used = procs.cpu_seconds(pids)
        time.sleep(IDLE_SECONDS)
        seen["idle_cpu_percent"] = 100 * (procs.cpu_seconds(pids) - used) / IDLE_SECONDS
        view = side.rc[:]
        view.apply_sync(noop, 1)
        view.push({"a": list(range(1000))}, block=True)
        view.execute("b = len(a)", block=True)
        seen["pss_used_mb"] = procs.pss_mb(side.cluster.pids())
    finally:
        side.stop()
    return seen


def outcome(bench: Bench, key: str) -> Outcome:
    """One key of what observe() saw on our side, with theirs beside; observed once a run."""
    if "footprint" not in bench.kept:
        bench.stop()
        bench.kept["footprint"] = {name: observe(name) for name in (OURS, THEIRS)}
    seen: Any = bench.kept["footprint"]
    beside = {THEIRS: seen[THEIRS][key]}
    if key == "pss_mb":
        beside.update({f"{name}_processes": seen[name]["processes"] for name in (OURS, THEIRS)})
    return Outcome(seen[OURS][key], beside)


@figure("s", must="<= 2")
def start_to_ready_s(bench: Bench) -> Outcome:
    """From the command to a client that sees both engines."""
    return outcome(bench, "start_s")


@figure("MB", must="<= 150")
def memory_pss_mb(bench: Bench) -> Outcome:
    """Proportional memory of all processes, the launcher included, when ready."""
    return outcome(bench, "pss_mb")


@figure("MB")
def memory_pss_used_mb(bench: Bench) -> Outcome:
    """The same after the first apply, push and execute on each engine."""
    return outcome(bench, "pss_used_mb")


@figure("% of a core", must="<= 0.5")
def idle_cpu_percent(bench: Bench) -> Outcome:
    """CPU of all processes over 10 s in which nobody asks anything."""
    return outcome(bench, "idle_cpu_percent")

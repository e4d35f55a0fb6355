# SPDX-License-Identifier: BSD-3-Clause
"""C tasks of an application's, which has no client."""
from __future__ import annotations

import os
import subprocess
import tempfile
from statistics import median

from ipp_cluster import ipp_engine, job_env, mpirun

from .sides import Bench
from .table import Outcome, figure

ENGINES, SERVICE_RANKS = 2, 2
TASKS = 1_000_000


@figure("tasks / s", must=">= 500000", aim=">= 1000000")
def c_tasks(bench: Bench) -> Outcome:
    """C tasks that do nothing, a million at a time, submitted by one of 2 engines: median of 9."""
    bench.stop()
    program = os.path.join(os.path.dirname(ipp_engine()), "bench", "c_tasks")
    run = mpirun(ENGINES + SERVICE_RANKS, [program, str(TASKS)], recovery=False, tag=False)
    with tempfile.TemporaryDirectory() as folder:
        env = {**os.environ, **job_env(), "IPYTHONDIR": folder}
        done = subprocess.run(run, env=env, stdout=subprocess.PIPE, text=True, check=True)
    rates = [float(line) for line in done.stdout.split()]
    return Outcome(median(rates), {"slowest": min(rates), "fastest": max(rates)})

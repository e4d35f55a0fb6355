# SPDX-License-Identifier: BSD-3-Clause
"""Small requests: round trips and tasks a second, through the same ipyparallel client."""
from __future__ import annotations

import time
from statistics import median

from ipyparallel import interactive

from .sides import OURS, THEIRS, Bench, Side
from .table import Outcome, figure

ENGINES = 2
CALLS = 60
TASKS = 1000


@interactive
def noop(x: object = None) -> object:
    return x


def quantile(samples: list[float], share: float) -> float:
    return sorted(samples)[int(len(samples) * share)]


@figure("ratio", must="<= 0.5")
def apply_p50_ratio(bench: Bench) -> Outcome:
    """apply_sync of a no-op to one engine: median, ours / theirs."""

    def calls(side: Side) -> list[float]:
        view = side.rc[0]
        for _ in range(10):
            view.apply_sync(noop, 1)
        taken = []
        for _ in range(CALLS):
            began = time.perf_counter()
            view.apply_sync(noop, 1)
            taken.append(1000 * (time.perf_counter() - began))
        return taken

    ms = bench.alternate(ENGINES, 6, calls)
    beside = {
        f"{name}_{label}_ms": quantile(ms[name], share)
        for name in (OURS, THEIRS)
        for label, share in (("p50", 0.5), ("p99", 0.99))
    }
    return Outcome(median(ms[OURS]) / median(ms[THEIRS]), beside)


@figure("ratio", must=">= 2")
def lb_tasks_ratio(bench: Bench) -> Outcome:
    """Load-balanced no-op tasks a second, one by one: median, ours / theirs."""

    def rate(side: Side) -> list[float]:
        view = side.rc.load_balanced_view()
        view.map_sync(noop, range(20))
        began = time.perf_counter()
        results = view.map_sync(noop, range(TASKS))
        taken = time.perf_counter() - began
        assert list(results) == list(range(TASKS))
        return [TASKS / taken]

    rates = bench.alternate(ENGINES, 4, rate)
    beside = {f"{name}_tasks_per_s": median(rates[name]) for name in (OURS, THEIRS)}
    return Outcome(median(rates[OURS]) / median(rates[THEIRS]), beside)

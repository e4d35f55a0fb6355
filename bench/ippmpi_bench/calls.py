# SPDX-License-Identifier: BSD-3-Clause
"""Small requests: round trips and tasks a second, through the same ipyparallel client."""
from __future__ import annotations

import time
from statistics import median
from typing import Any

import numpy
from ipyparallel import interactive

from .sides import OURS, THEIRS, Bench, Side
from .table import Outcome, figure

ENGINES = 2
CALLS = 60
TASKS = 1000
LARGE_TASKS, LARGE_BYTES = 40, 10_000_000


@interactive
def first(array: Any) -> float:
    return float(array[0])


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


@figure("ratio")
def lb_large_tasks_ratio(bench: Bench) -> Outcome:
    """Load-balanced tasks with 10 MB each, all at once: MB a second, best of four, ours / theirs."""
    arrays = [numpy.full(LARGE_BYTES // 8, float(i)) for i in range(LARGE_TASKS)]

    def rate(side: Side) -> list[float]:
        view = side.rc.load_balanced_view()
        view.apply_sync(first, arrays[0])
        began = time.perf_counter()
        results = [view.apply_async(first, array) for array in arrays]
        assert [result.get() for result in results] == list(range(LARGE_TASKS))
        return [LARGE_TASKS * LARGE_BYTES / 1e6 / (time.perf_counter() - began)]

    rates = bench.alternate(ENGINES, 4, rate)
    best = {name: max(rates[name]) for name in (OURS, THEIRS)}
    return Outcome(best[OURS] / best[THEIRS], {f"{name}_mb_per_s": best[name] for name in best})

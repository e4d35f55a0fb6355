# SPDX-License-Identifier: BSD-3-Clause
"""Large arrays, through the same ipyparallel client."""
from __future__ import annotations

import time

import numpy as np

from .sides import OURS, THEIRS, Bench, Side
from .table import Outcome, figure


def seconds(samples: dict[str, list[float]]) -> dict[str, float]:
    return {f"{name}_s": min(samples[name]) for name in (OURS, THEIRS)}


@figure("ratio", must="<= 0.4")
def push_pull_1gb_ratio(bench: Bench) -> Outcome:
    """Push of a 1 GB array to one engine and pull back: best of two, ours / theirs."""
    array = np.random.default_rng(1).random(10**9 // 8)

    pushes: dict[str, list[float]] = {OURS: [], THEIRS: []}

    def there_and_back(side: Side) -> list[float]:
        view = side.rc[0]
        began = time.perf_counter()
        view.push({"a": array}, block=True)
        pushed = time.perf_counter() - began
        back = view.pull("a", block=True)
        taken = time.perf_counter() - began
        pushes[side.name].append(pushed)
        assert back.nbytes == array.nbytes and back[-1] == array[-1]
        view.execute("del a", block=True)
        return [taken]

    samples = bench.alternate(2, 2, there_and_back)
    beside = seconds(samples)
    beside.update({f"{name}_push_s": min(pushes[name]) for name in (OURS, THEIRS)})
    return Outcome(min(samples[OURS]) / min(samples[THEIRS]), beside)


@figure("ratio", must="<= 0.5")
def broadcast_push_100mb_ratio(bench: Bench) -> Outcome:
    """broadcast_view().push of 100 MB to 4 engines: best of four, ours / theirs."""
    array = np.random.default_rng(2).random(10**8 // 8)

    def push(side: Side) -> list[float]:
        view = side.rc.broadcast_view()
        began = time.perf_counter()
        view.push({"a": array}, block=True)
        return [time.perf_counter() - began]

    samples = bench.alternate(4, 4, push)
    return Outcome(min(samples[OURS]) / min(samples[THEIRS]), seconds(samples))

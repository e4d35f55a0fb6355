# SPDX-License-Identifier: BSD-3-Clause
"""Both sides of a comparison: clusters of ours and of ipyparallel, with a client each."""
from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Callable

import ipyparallel
from cluster import Cluster, make_cluster

OURS, THEIRS = "ours", "theirs"
BACKENDS = {OURS: "ours", THEIRS: "peer"}


@dataclass
class Side:
    """A running cluster with a client that sees all engines."""

    name: str
    cluster: Cluster
    rc: ipyparallel.Client
    start_s: float

    def stop(self) -> None:
        self.cluster.stop(check=False)


def start(name: str, engines: int, env: dict[str, str] | None = None) -> Side:
    """Starts one side; start_s is from the command to a client that sees all engines."""
    cluster = make_cluster(engines, backend=BACKENDS[name], env=env)
    began = time.perf_counter()
    try:
        cluster.start()
        rc = cluster.client()
        rc.wait_for_engines(engines, timeout=60, interactive=False)
    except BaseException:
        cluster.stop(check=False)
        raise
    return Side(name, cluster, rc, time.perf_counter() - began)


class Bench:
    """What the figures of one run share. Clusters stay until another number of engines is due."""

    def __init__(self) -> None:
        self.kept: dict[str, object] = {}
        self._sides: list[Side] = []
        self._engines = 0

    def sides(self, engines: int) -> list[Side]:
        """[ours, theirs], both running."""
        if self._engines != engines:
            self.stop()
            for name in (OURS, THEIRS):
                self._sides.append(start(name, engines))
            self._engines = engines
        return self._sides

    def stop(self) -> None:
        sides, self._sides, self._engines = self._sides, [], 0
        for side in sides:
            side.stop()

    def alternate(
        self, engines: int, rounds: int, measure: Callable[[Side], list[float]]
    ) -> dict[str, list[float]]:
        """Measures ours, theirs, ours, … in `rounds`: drift of the machine meets both alike."""
        samples: dict[str, list[float]] = {OURS: [], THEIRS: []}
        for _ in range(rounds):
            for side in self.sides(engines):
                samples[side.name] += measure(side)
        return samples

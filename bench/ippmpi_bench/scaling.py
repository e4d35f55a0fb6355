# SPDX-License-Identifier: BSD-3-Clause
"""How the server's share of an apply to all grows with the number of engines."""
from __future__ import annotations

import glob
import os
import struct
import subprocess
import tempfile
from contextlib import contextmanager
from math import log
from statistics import linear_regression, median
from typing import Callable, Iterator

from ipp_cluster import ipp_engine
from raw import RawClient

from .calls import noop, quantile
from .sides import OURS, THEIRS, Bench, Side, start
from .table import Outcome, figure

COUNTS = (4, 8, 16, 32)
ROUNDS, WARM_UP = 40, 5
RUNS = 5  # clusters of each size: one may sit better in the machine's caches than the next
SERVICE_RANKS = 2
Frames = list[list[bytes]]


def packed(requests: Frames) -> bytes:
    """A round as bench/replay reads it."""
    counts = struct.Struct("=I")
    parts = [counts.pack(len(requests))]
    for frames in requests:
        parts.append(counts.pack(len(frames)))
        for frame in frames:
            parts += (counts.pack(len(frame)), frame)
    return b"".join(parts)


def built(*path: str) -> str:
    return os.path.join(os.path.dirname(ipp_engine()), "bench", *path)


class Stamps:
    """When a server that bench/stamps.so is preloaded into took and gave messages."""

    def __init__(self) -> None:
        self.file = tempfile.NamedTemporaryFile(prefix="ipp-stamps-")
        self.file.truncate(16)  # struct stamps
        self.env = {
            "LD_PRELOAD": built(".libs", "stamps.so"),
            "IPP_BENCH_STAMPS": self.file.name,
        }

    def server_ms(self, endpoint: str, make: Callable[[int], Frames], answers: int) -> float:
        """Milliseconds from the first request in to the last answer out: the lower quartile over
        rounds, since other work on the machine only adds.

        Asked by a client in C: one in Python would use as much of the cores as the engines."""
        rounds = b"".join(packed(make(i)) for i in range(ROUNDS + WARM_UP))
        done = subprocess.run(
            [built("replay"), endpoint, str(answers), self.file.name],
            input=rounds,
            stdout=subprocess.PIPE,
            check=True,
        )
        took = [float(line) / 1000 for line in done.stdout.split()]
        return quantile(took[WARM_UP:], 0.25)


def scheduled(pids: list[int]) -> tuple[float, int]:
    """Microseconds on a core and times scheduled, over all threads of the processes."""
    busy, times = 0, 0
    for pid in pids:
        for path in glob.glob(f"/proc/{pid}/task/*/schedstat"):
            with open(path) as file:
                on_core, _waiting, slices = map(int, file.read().split())
            busy, times = busy + on_core, times + slices
    return busy / 1000, times


class Bare:
    """A client of sockets only, and what it asks all engines of a side."""

    def __init__(self, side: Side, stamps: Stamps) -> None:
        self.stamps = stamps
        self.raw = RawClient(side.cluster.connection_file)
        known = self.raw.engines()
        self.uuids = list(known.values())
        self.targets = [[uuid, engine] for engine, uuid in known.items()]

    def each(self, i: int) -> Frames:
        return [self.raw.apply_frames(noop, i, to=uuid) for uuid in self.uuids]

    def broadcast(self, i: int) -> Frames:
        metadata = {"targets": self.targets, "is_broadcast": True, "is_coalescing": False}
        return [self.raw.apply_frames(noop, i, to="", metadata=metadata)[1:]]

    def server_ms(self, channel: str, make: Callable[[int], Frames]) -> float:
        endpoint = f"{self.raw.info['interface']}:{self.raw.info[channel]}"
        return self.stamps.server_ms(endpoint, make, len(self.uuids))


@contextmanager
def bare(name: str, engines: int) -> Iterator[tuple[Side, Bare]]:
    stamps = Stamps()
    side = start(name, engines, stamps.env)
    try:
        client = Bare(side, stamps)
        side.rc.close()  # a client that reads what is published would share the cores
        client.server_ms("mux", client.each)  # the first ones import
        yield side, client
        client.raw.close()
    finally:
        side.stop()


def ours(engines: int) -> dict[str, float]:
    """Server times, and what one request costs an engine."""
    with bare(OURS, engines) as (side, client):
        pids = [pid for rank, pid in side.cluster.ranks().items() if rank >= SERVICE_RANKS]
        before = scheduled(pids)
        each_ms = client.server_ms("mux", client.each)
        cpu_us, switches = (b - a for a, b in zip(before, scheduled(pids)))
        requests = (ROUNDS + WARM_UP) * engines
        return {
            "each_ms": each_ms,
            "broadcast_ms": client.server_ms("broadcast", client.broadcast),
            "engine_cpu_us": cpu_us / requests,
            "engine_switches": switches / requests,
        }


def theirs_ms(engines: int) -> float:
    with bare(THEIRS, engines) as (_side, client):
        return client.server_ms("mux", client.each)


def exponent(ms: dict[int, float]) -> float:
    """p of the power engines ** p that is nearest to these times: least squares of the logarithms."""
    return linear_regression([log(n) for n in ms], [log(ms[n]) for n in ms]).slope


@figure("exponent", must="<= 1")
def apply_all_server_time(bench: Bench) -> Outcome:
    """Bridge in to last reply out of an apply to all: p where it grows as engines ** p, 4 to 32."""
    bench.stop()
    runs = [{n: ours(n) for n in COUNTS} for _ in range(RUNS)]
    curve = {n: {what: median(run[n][what] for run in runs) for what in runs[0][n]} for n in COUNTS}
    curves = {what: {n: curve[n][what] for n in COUNTS} for what in curve[COUNTS[0]]}
    theirs = {n: theirs_ms(n) for n in COUNTS}
    beside: dict[str, object] = {"theirs": exponent(theirs), **curves, "theirs_each_ms": theirs}
    return Outcome(max(exponent(curves[way]) for way in ("each_ms", "broadcast_ms")), beside)

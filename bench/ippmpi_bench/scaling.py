# SPDX-License-Identifier: BSD-3-Clause
"""How the server's share of an apply to all grows with the number of engines."""
from __future__ import annotations

import glob
import time
from typing import Callable

from raw import RawClient

from .calls import noop, quantile
from .sides import OURS, Bench, start
from .table import Outcome, figure

COUNTS = (4, 8, 16, 32)
ROUNDS, WARM_UP = 40, 5
SERVICE_RANKS = 2
Frames = list[list[bytes]]


def took_ms(raw: RawClient, channel: str, requests: Frames, answers: int) -> float:
    """From the first request out to the last answer in."""
    socket = raw.socket(channel)
    began = time.perf_counter()
    for frames in requests:
        socket.send_multipart(frames)
    for _ in range(answers):
        assert socket.poll(30_000), f"no answer on {channel}"
        socket.recv_multipart()
    return 1000 * (time.perf_counter() - began)


def quartile_ms(raw: RawClient, channel: str, make: Callable[[int], Frames], answers: int) -> float:
    """The lower quartile over rounds: other work on the machine only adds."""
    prepared = [make(i) for i in range(ROUNDS + WARM_UP)]
    took = [took_ms(raw, channel, requests, answers) for requests in prepared]
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


def server_ms(engines: int) -> dict[str, float]:
    """Round trips of a bare client, less that of a request to the bridge alone; and what one
    request costs an engine."""
    side = start(OURS, engines)
    side.rc.close()  # a client that reads what is published would share the cores
    raw = RawClient(side.cluster.connection_file)
    try:
        known = raw.engines()
        uuids = list(known.values())
        targets = [[uuid, engine] for engine, uuid in known.items()]

        def alone(i: int) -> Frames:
            return [raw.frames("connection_request")]

        def each(i: int) -> Frames:
            return [raw.apply_frames(noop, i, to=uuid) for uuid in uuids]

        def broadcast(i: int) -> Frames:
            metadata = {"targets": targets, "is_broadcast": True, "is_coalescing": False}
            return [raw.apply_frames(noop, i, to="", metadata=metadata)[1:]]

        pids = [pid for rank, pid in side.cluster.ranks().items() if rank >= SERVICE_RANKS]
        rest = quartile_ms(raw, "registration", alone, 1)
        took_ms(raw, "mux", each(0), engines)  # the first one imports
        before = scheduled(pids)
        each_ms = quartile_ms(raw, "mux", each, engines)
        cpu_us, switches = (b - a for a, b in zip(before, scheduled(pids)))
        requests = (ROUNDS + WARM_UP) * engines
        return {
            "each_ms": max(0.0, each_ms - rest),
            "broadcast_ms": max(0.0, quartile_ms(raw, "broadcast", broadcast, engines) - rest),
            "engine_cpu_us": cpu_us / requests,
            "engine_switches": switches / requests,
        }
    finally:
        raw.close()
        side.stop()


@figure("growth / growth of engines", must="<= 1")
def apply_all_server_time(bench: Bench) -> Outcome:
    """Bridge in to last reply out of an apply to all, 4 to 32 engines: its growth by theirs."""
    bench.stop()
    curve = {engines: server_ms(engines) for engines in COUNTS}
    first = curve[COUNTS[0]]
    growth = max(
        curve[engines][way] / first[way] / (engines / COUNTS[0])
        for engines in COUNTS[1:]
        for way in ("each_ms", "broadcast_ms")
    )
    beside = {what: {str(n): curve[n][what] for n in COUNTS} for what in first}
    return Outcome(growth, beside)

# SPDX-License-Identifier: BSD-3-Clause
"""How the server's share of an apply to all grows with the number of engines."""
from __future__ import annotations

import glob
import os
import struct
import subprocess
from typing import Callable

from ipp_cluster import ipp_engine
from raw import RawClient

from .calls import noop, quantile
from .sides import OURS, Bench, start
from .table import Outcome, figure

COUNTS = (4, 8, 16, 32)
ROUNDS, WARM_UP = 40, 5
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


def replay() -> str:
    return os.path.join(os.path.dirname(ipp_engine()), "bench", "replay")


def took_ms(endpoint: str, make: Callable[[int], Frames], answers: int) -> float:
    """Milliseconds from the first request out to the last answer in: the lower quartile over rounds,
    since other work on the machine only adds.

    Played by a client in C: one in Python would use as much of the cores as the engines."""
    rounds = b"".join(packed(make(i)) for i in range(ROUNDS + WARM_UP))
    done = subprocess.run(
        [replay(), endpoint, str(answers)], input=rounds, stdout=subprocess.PIPE, check=True
    )
    took = [float(line) / 1000 for line in done.stdout.split()]
    return quantile(took[WARM_UP:], 0.25)


def transport_ms(make: Callable[[int], Frames]) -> float:
    """The same with a socket that sends each message back: what client and ZeroMQ take."""
    pipe = subprocess.PIPE
    with subprocess.Popen([replay(), "--echo"], stdin=pipe, stdout=pipe, text=True) as echo:
        assert echo.stdin and echo.stdout
        took = took_ms(echo.stdout.readline().strip(), make, 1)
        echo.stdin.close()
    return took


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
    """Round trips of a bare client, less that of one message without a server; and what one request
    costs an engine."""
    side = start(OURS, engines)
    side.rc.close()  # a client that reads what is published would share the cores
    raw = RawClient(side.cluster.connection_file)
    try:
        known = raw.engines()
        uuids = list(known.values())
        targets = [[uuid, engine] for engine, uuid in known.items()]

        def each(i: int) -> Frames:
            return [raw.apply_frames(noop, i, to=uuid) for uuid in uuids]

        def broadcast(i: int) -> Frames:
            metadata = {"targets": targets, "is_broadcast": True, "is_coalescing": False}
            return [raw.apply_frames(noop, i, to="", metadata=metadata)[1:]]

        def endpoint(channel: str) -> str:
            return f"{raw.info['interface']}:{raw.info[channel]}"

        pids = [pid for rank, pid in side.cluster.ranks().items() if rank >= SERVICE_RANKS]
        transport = transport_ms(lambda i: each(i)[:1])
        took_ms(endpoint("mux"), each, engines)  # the first ones import
        before = scheduled(pids)
        each_ms = took_ms(endpoint("mux"), each, engines)
        cpu_us, switches = (b - a for a, b in zip(before, scheduled(pids)))
        requests = (ROUNDS + WARM_UP) * engines
        return {
            "each_ms": each_ms - transport,
            "broadcast_ms": took_ms(endpoint("broadcast"), broadcast, engines) - transport,
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

# SPDX-License-Identifier: BSD-3-Clause
"""How the server's share of an apply to all grows with the number of engines."""
from __future__ import annotations

import time
from typing import Callable

from raw import RawClient

from .calls import noop, quantile
from .sides import OURS, Bench, start
from .table import Outcome, figure

COUNTS = (4, 8, 16, 32)
ROUNDS = 40
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
    prepared = [make(i) for i in range(ROUNDS + 5)]
    return quantile([took_ms(raw, channel, requests, answers) for requests in prepared][5:], 0.25)


def server_ms(engines: int) -> dict[str, float]:
    """Round trips of a bare client, less that of a request to the bridge alone."""
    side = start(OURS, engines)
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

        rest = quartile_ms(raw, "registration", alone, 1)
        return {
            "each": max(0.0, quartile_ms(raw, "mux", each, engines) - rest),
            "broadcast": max(0.0, quartile_ms(raw, "broadcast", broadcast, engines) - rest),
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
        for way in first
    )
    beside = {f"{way}_ms": {str(n): curve[n][way] for n in COUNTS} for way in first}
    return Outcome(growth, beside)

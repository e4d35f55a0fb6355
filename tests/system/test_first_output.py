# SPDX-License-Identifier: BSD-3-Clause
"""Output of a client's first request waits for its subscription, which comes on a connection of its own."""
from __future__ import annotations

import json
from typing import Any

import pytest
import zmq

import remote
from cluster import under_engines
from raw import DELIMITER, RawClient

pytestmark = pytest.mark.ours_only("the original loses what comes before the subscription")


def subscribe(raw: RawClient) -> zmq.Socket:
    made = raw._context.socket(zmq.SUB)
    made.connect(f"{raw.info['interface']}:{raw.info['iopub']}")
    made.setsockopt(zmq.SUBSCRIBE, b"")
    return made


def states(iopub: zmq.Socket, session: str, seconds: float) -> list[str]:
    """execution_state of each status for this session that comes within that time after the last one."""
    found = []
    while iopub.poll(int(seconds * 1000)):
        frames = iopub.recv_multipart()
        start = frames.index(DELIMITER)
        header, parent, _, content = map(json.loads, frames[start + 2 : start + 6])
        if header["msg_type"] == "status" and parent["session"] == session:
            found.append(content["execution_state"])
    return found


def ask(raw: RawClient, uuid: str) -> dict[str, Any]:
    raw.send("mux", raw.apply_frames(remote.echo, 1, to=uuid))
    return raw.receive("mux")


def test_idle_waits_for_the_subscription() -> None:
    with under_engines(1) as cluster:
        raw = RawClient(cluster.connection_file)
        try:
            uuid = raw.engines()[0]
            assert ask(raw, uuid)["content"]["status"] == "ok"  # answered, and nobody has subscribed
            assert states(subscribe(raw), raw.session, 1.5) == ["idle"]
        finally:
            raw.close()


def test_others_do_not_wait() -> None:
    """A client that never subscribes holds nobody else up, and its own output is let go."""
    with under_engines(1) as cluster:
        first, second = RawClient(cluster.connection_file), RawClient(cluster.connection_file)
        try:
            uuid = first.engines()[0]
            iopub = subscribe(first)
            ask(first, uuid)
            assert states(iopub, first.session, 1.5) == ["idle"]
            second.engines()
            ask(first, uuid)
            assert states(iopub, first.session, 0.5) == ["idle"]
            ask(second, uuid)
            assert states(iopub, second.session, 1.5) == ["idle"]
        finally:
            first.close()
            second.close()

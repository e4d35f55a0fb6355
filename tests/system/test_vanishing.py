# SPDX-License-Identifier: BSD-3-Clause
"""Clients that vanish in the middle of big transfers, frames that never end: memory comes back."""
from __future__ import annotations

import json
import os
import subprocess
from textwrap import dedent
from typing import Any

import pytest
from ipyparallel import Client

import procs
import raw
import remote
from cluster import Cluster, python

pytestmark = pytest.mark.ours_only(
    "the original keeps requests and answers of clients that are gone"
)
SLACK_MB = 80.0

PRELUDE = dedent(
    """
    import ipyparallel, numpy, os, signal, sys
    rc = ipyparallel.Client()
    data = numpy.ones(40_000_000)
"""
)
WAYS = {
    "push": "rc[:].push({'big': data}, block=False)",
    "pull": "rc[:].execute('big = bytes(320_000_000)', block=True); rc[:].pull('big')",
    "broadcast": "rc.broadcast_view().push({'big': data}, block=False)",
    "tasks": "view = rc.load_balanced_view(); [view.apply_async(len, data) for _ in range(4)]",
}


def memory_mb(cluster: Cluster) -> float:
    """Bridge and balancer: engines may keep what was pushed."""
    ranks = cluster.ranks()  # type: ignore[attr-defined]
    return procs.pss_mb([ranks[0], ranks[1]])


@pytest.mark.slow
@pytest.mark.limit(120)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("delay", [0.0, 0.15, 0.6])
def test_killed_client(cluster: Cluster, rc: Client, way: str, delay: float) -> None:
    before = memory_mb(cluster)
    code = PRELUDE + WAYS[way] + "\nprint('in flight', flush=True)\nsignal.pause()\n"
    with subprocess.Popen(
        [python(), "-W", "ignore", "-c", code], env=cluster.env, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        try:
            child.wait(delay)  # how far the transfer gets
        except subprocess.TimeoutExpired:
            pass
        child.kill()
    assert rc[:].apply_async(remote.echo, 1).get(60) == [1] * len(rc)
    rc[:].execute("big = None", block=True)
    procs.wait_until(
        lambda: memory_mb(cluster) < before + SLACK_MB, 30, "memory of bridge and balancer is back"
    )


@pytest.mark.parametrize("length", [2**32 + 5, 2**40, 2**62])
def test_announced_length(cluster: Cluster, rc: Client, length: int) -> None:
    """A frame said to be of 4 GB or more, of which a little comes."""
    before = memory_mb(cluster)
    with open(cluster.connection_file) as file:
        info: dict[str, Any] = json.load(file)
    peers = [
        raw.zmtp_announcing(info[channel], length, 100_000)
        for channel in ("registration", "mux", "task", "control", "broadcast")
    ]
    assert rc[:].apply_async(remote.echo, 1).get(20) == [1] * len(rc)
    assert memory_mb(cluster) < before + SLACK_MB
    for peer in peers:
        peer.close()
    assert rc[0].apply_async(remote.echo, 1).get(20) == 1


def test_connections_that_say_nothing(cluster: Cluster, rc: Client) -> None:
    import socket

    with open(cluster.connection_file) as file:
        info: dict[str, Any] = json.load(file)
    idle = [socket.create_connection(("127.0.0.1", info["mux"])) for _ in range(200)]
    noisy = [socket.create_connection(("127.0.0.1", info["mux"])) for _ in range(20)]
    for peer in noisy:
        peer.sendall(b"GET / HTTP/1.0\r\n\r\n" * 50)
    assert rc[:].apply_async(remote.echo, 1).get(20) == [1] * len(rc)
    for peer in idle + noisy:
        peer.close()


def keepalive_runs(port: int) -> bool:
    """Each established connection to a local port has a keepalive timer, due within 300 s."""
    found = 0
    with open("/proc/net/tcp") as file:
        for line in list(file)[1:]:
            _, local, _, state, _, timer, *_ = line.split()
            if int(local.split(":")[1], 16) != port or state != "01":
                continue
            kind, ticks = timer.split(":")
            if kind != "02":  # data is on its way, or no timer runs
                return False
            assert int(ticks, 16) <= 301 * os.sysconf("SC_CLK_TCK")
            found += 1
    return found > 0


def test_keepalive(cluster: Cluster, rc: Client) -> None:
    """A host that falls silent is asked whether it is there, on every channel."""
    with open(cluster.connection_file) as file:
        info: dict[str, Any] = json.load(file)
    for channel in ("registration", "mux", "task", "control", "broadcast", "iopub", "notification"):
        procs.wait_until(lambda: keepalive_runs(info[channel]), 10, f"keepalive on {channel}")

# SPDX-License-Identifier: BSD-3-Clause
"""Where engines run, and what they say of it."""
from __future__ import annotations

import os
from typing import Any

import pytest

import remote
from cluster import under_engines

pytestmark = pytest.mark.ours_only("the original does not bind")


def about(rc: Any) -> dict[str, Any]:
    reply: Any = rc._send_recv(rc._query_stream, "connection_request")
    return dict(reply["content"]["about"])


def test_engines_say_where_they_run() -> None:
    with under_engines(2) as cluster:
        rc = cluster.client()
        said = about(rc)
        assert sorted(said) == ["0", "1"]
        for engine, entry in said.items():
            assert entry["host"] == os.uname().nodename
            assert entry["uuid"] == rc._engines[int(engine)]
            assert entry["topology"]["bound"] is False
            assert entry["topology"]["core"] >= 0


def cores() -> int:
    """How many cores the tests may use."""
    siblings = set()
    for cpu in os.sched_getaffinity(0):
        try:
            with open(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list") as file:
                siblings.add(file.read())
        except OSError:
            siblings.add(str(cpu))
    return len(siblings)


def test_bound_to_cores() -> None:
    with under_engines(2, args=["--bind=core"]) as cluster:
        rc = cluster.client()
        bound = rc[:].apply_async(remote.affinity).get(20)
        if cores() >= 2:
            assert not set(bound[0]) & set(bound[1]), "two engines share a core while others are free"
        for entry in about(rc).values():
            assert entry["topology"]["bound"] is (cores() > 1)


@pytest.mark.skipif(cores() < 2, reason="one core is too few")
@pytest.mark.parametrize("where", ["core", "numa"])
def test_bridge_and_balancer_stay_off_the_engines_cores(where: str) -> None:
    engines = max(1, min(cores() - 2, 4))
    with under_engines(engines, args=[f"--bind={where}"]) as cluster:
        ranks = cluster.ranks()
        used: set[int] = set()
        for cpus in cluster.client()[:].apply_async(remote.affinity).get(20):
            assert cpus
            used |= set(cpus)
        for service in (0, 1):
            kept = os.sched_getaffinity(ranks[service])
            assert kept and not kept & used, f"rank {service} may run on {kept}, engines on {used}"


@pytest.mark.skipif(cores() > 8, reason="an engine for each core would be many")
def test_bound_to_numa_nodes() -> None:
    """With an engine for each core nothing is kept for bridge and balancer."""
    with under_engines(cores(), args=["--bind=numa"]) as cluster:
        bound = cluster.client()[:].apply_async(remote.affinity).get(20)
        nodes = [name for name in os.listdir("/sys/devices/system/node") if name.startswith("node")]
        if len(nodes) == 1:
            assert all(set(cpus) == os.sched_getaffinity(0) for cpus in bound)

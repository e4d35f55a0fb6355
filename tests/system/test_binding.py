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


def test_bound_to_cores() -> None:
    with under_engines(2, args=["--bind=core"]) as cluster:
        rc = cluster.client()
        bound = rc[:].apply_async(remote.affinity).get(20)
        if (os.cpu_count() or 1) >= 2:
            assert not set(bound[0]) & set(bound[1]), "two engines share a core while others are free"
        for entry in about(rc).values():
            assert entry["topology"]["bound"] is ((os.cpu_count() or 1) > 1)


def test_bound_to_numa_nodes() -> None:
    with under_engines(1, args=["--bind=numa"]) as cluster:
        cpus = cluster.client()[0].apply_async(remote.affinity).get(20)
        nodes = [name for name in os.listdir("/sys/devices/system/node") if name.startswith("node")]
        if len(nodes) == 1:
            assert len(cpus) == os.cpu_count()

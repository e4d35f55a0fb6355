# SPDX-License-Identifier: BSD-3-Clause
"""Why a task waits (ipp-steer tasks --explain), and how tasks choose among engines (--scheme)."""
from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from ipyparallel import Client

import remote
from cluster import Cluster, under_engines
from steer_cli import FAILED, OK, USAGE, steer

pytestmark = pytest.mark.ours_only("ipp-steer is ours")


def why(cluster: Cluster, task: Any) -> Any:
    return steer(cluster, "tasks", "--explain", task.msg_ids[0], "--json").json()


def is_known(cluster: Cluster, task: Any) -> bool:
    """The client sends in its own time."""
    return steer(cluster, "tasks", "--explain", task.msg_ids[0], code=None).code == OK


def test_why_a_task_waits(cluster: Cluster, rc: Client, gate: Any, soon: Any) -> None:
    view = rc.load_balanced_view(targets=[1])
    running = view.apply_async(remote.pass_gate, gate.path)
    older = view.apply_async(remote.echo, 1)
    with view.temp_flags(timeout=1000):
        waiting = view.apply_async(remote.echo, 2)
    with view.temp_flags(after=[waiting, older]):
        held = view.apply_async(remote.echo, 3)
    direct = rc[1].apply_async(remote.pass_gate, gate.path, 4)  # it may come to the engine first
    for task in (running, older, waiting, held, direct):
        soon(lambda task=task: is_known(cluster, task), 20, "the task has arrived")
    soon(lambda: why(cluster, running)["state"] == "assigned", 20, "it runs")
    told = why(cluster, running)
    assert (told["engine"], told["ahead"], told["priority"], told["width"]) == (1, 0, 0, 1)
    told = why(cluster, waiting)
    assert told["state"] == "waiting" and 900 < told["time_left_s"] <= 1000
    assert [told[key] for key in ("targets", "engines", "busy", "paused", "older", "more_urgent",
                                  "failed_on")] == [1, 1, 1, 0, 1, 0, 0]
    told = why(cluster, held)
    assert (told["state"], told["unfinished"], told["needs_all"]) == ("held", 2, True)
    assert told["depends_on"] in (waiting.msg_ids[0], older.msg_ids[0])
    assert why(cluster, direct) == {"status": "ok", "state": "direct", "engines": [1]}
    text = steer(cluster, "tasks", "--explain", waiting.msg_ids[0]).out
    assert "1 may run it (of 1 targets), 1 busy" in text and "1 older" in text
    assert "each of 2 unfinished tasks" in steer(cluster, "tasks", "--explain", held.msg_ids[0]).out
    gate.open()
    assert [task.get(20) for task in (older, waiting, held, direct)] == [1, 2, 3, 4]
    assert why(cluster, held)["state"] == "ended"


def test_tasks_that_nobody_knows(cluster: Cluster) -> None:
    for name in ("nobody", "3:17", "1:2d", ""):
        assert "no task '" + name in steer(cluster, "tasks", "--explain", name, code=FAILED).err
    steer(cluster, "status", "--explain", "x", code=USAGE)


def is_idle(rc: Client) -> bool:
    """An engine's answer may come before the balancer has heard that it is free."""
    return all(rc.queue_status(engine)["tasks"] == 0 for engine in rc.ids)


def test_schemes(soon: Any) -> None:
    for scheme, most in (("lru", 10), ("plainrandom", 40), ("twobin", 40)):
        with under_engines(4, args=["--scheme", scheme]) as own, own.client() as rc:
            with open(own.connection_file) as file:
                assert json.load(file)["task_scheme"] == scheme
            view = rc.load_balanced_view()
            counts: Counter[int] = Counter()
            for _ in range(40):
                soon(lambda rc=rc: is_idle(rc), 20, "idle engines")
                counts[view.apply_async(remote.getpid).get(20)] += 1
            assert len(counts) == 4 and max(counts.values()) <= most, (scheme, counts)

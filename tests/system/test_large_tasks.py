# SPDX-License-Identifier: BSD-3-Clause
"""Tasks too large to pass through rank 1: they behave as small ones do, and weigh nothing there."""
from __future__ import annotations

from typing import Any

import numpy
import pytest
from ipyparallel import Client, depend, error, interactive

import procs
import remote
from cluster import Cluster, under_engines

MEGABYTE = numpy.arange(131072.0)


@interactive
def total(array: Any) -> float:
    return float(array.sum())


@interactive
def total_at_second(path: str, array: Any) -> float:
    """Fails the first time, returns the sum the second."""
    import os

    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return float(array.sum())
    raise ValueError("the first time")


@interactive
def total_after_death(path: str, array: Any) -> float:
    """Kills its engine the first time, returns the sum the second."""
    import os
    import signal

    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return float(array.sum())
    os.kill(os.getpid(), signal.SIGKILL)
    return -1


@interactive
def runs_on(engine: int) -> bool:
    import os

    return os.getpid() == engine


def test_values(rc: Client) -> None:
    view = rc.load_balanced_view()
    tasks = [view.apply_async(total, MEGABYTE + i) for i in range(20)]
    assert [task.get(20) for task in tasks] == [float((MEGABYTE + i).sum()) for i in range(20)]
    bad = view.apply_async(remote.fail, "x" * 1000000)
    with pytest.raises(error.RemoteError, match="xxx"):
        bad.get(20)


def test_retries(rc: Client, tmp_path: Any) -> None:
    view = rc.load_balanced_view()
    with view.temp_flags(retries=1):
        task = view.apply_async(total_at_second, str(tmp_path / "failed"), MEGABYTE)
    assert task.get(20) == MEGABYTE.sum()


def test_conditions(rc: Client) -> None:
    pids = rc[:].apply_async(remote.getpid).get(20)
    view = rc.load_balanced_view()
    task = view.apply_async(depend(runs_on, pids[2])(total), MEGABYTE)
    assert task.get(20) == MEGABYTE.sum() and task.engine_id == 2
    with pytest.raises(error.RemoteError) as caught:
        view.apply_async(depend(runs_on, -1)(total), MEGABYTE).get(20)
    assert caught.value.ename == "ImpossibleDependency"


def test_abort(rc: Client, gate: Any) -> None:
    view = rc.load_balanced_view(targets=[0])
    running = view.apply_async(remote.pass_gate, gate.path, MEGABYTE)
    queued = view.apply_async(total, MEGABYTE)
    rc.abort(queued.msg_ids, targets=[0], block=True)
    with pytest.raises(error.TaskAborted):
        queued.get(20)
    gate.open()
    assert (running.get(20) == MEGABYTE).all()
    assert view.apply_async(total, MEGABYTE).get(20) == MEGABYTE.sum()


@pytest.mark.limit(120)
def test_a_dead_engine(tmp_path: Any) -> None:
    with under_engines(2) as cluster:
        view = cluster.client().load_balanced_view()
        with view.temp_flags(retries=1):
            task = view.apply_async(total_after_death, str(tmp_path / "died"), MEGABYTE)
            others = [view.apply_async(total, MEGABYTE) for _ in range(10)]
        assert {each.get(60) for each in (task, *others)} == {MEGABYTE.sum()}


@pytest.mark.ours_only("the original's scheduler has every task")
def test_rank_1_is_spared(cluster: Cluster, rc: Client, gate: Any, soon: Any) -> None:
    balancer = [procs.rank_pids(cluster.token)[1]]
    view = rc.load_balanced_view(targets=[0])
    running = view.apply_async(remote.pass_gate, gate.path)
    before = procs.pss_mb(balancer)
    tasks = [view.apply_async(total, MEGABYTE) for _ in range(100)]
    soon(lambda: rc.queue_status()["unassigned"] >= 99, 20, "all of them wait")
    assert procs.pss_mb(balancer) - before < 20
    gate.open()
    running.get(20)
    assert {task.get(20) for task in tasks} == {MEGABYTE.sum()}

# SPDX-License-Identifier: BSD-3-Clause
"""LoadBalancedView: map, targets, retries, time limits, order of results, abort."""
from __future__ import annotations

import os
from typing import Any

import pytest
from ipyparallel import Client, error, interactive

import remote


def test_map(rc: Client) -> None:
    view = rc.load_balanced_view()
    assert list(view.map_sync(remote.mul, range(1, 10), range(2, 11))) == [
        i * (i + 1) for i in range(1, 10)
    ]
    assert list(view.map_sync(remote.echo, range(1000), chunksize=50)) == list(range(1000))


def test_all_engines_take_part(rc: Client, gate: Any, soon: Any, tmp_path: Any) -> None:
    view = rc.load_balanced_view()
    marks = [str(tmp_path / f"started{i}") for i in range(len(rc))]
    tasks = [view.apply_async(remote.mark_and_wait, mark, gate.path) for mark in marks]
    soon(lambda: all(map(os.path.exists, marks)), 20, "a task on every engine")
    gate.open()
    for task in tasks:
        assert task.get(20) == "passed"
    assert len({task.engine_id for task in tasks}) == len(rc)


def test_targets(rc: Client) -> None:
    pids = rc[:].apply_async(remote.getpid).get_dict(20)
    view = rc.load_balanced_view(targets=[1, 2])
    seen = {task.get(20) for task in [view.apply_async(remote.getpid) for _ in range(40)]}
    assert seen and seen <= {pids[1], pids[2]}


def test_many_tasks(rc: Client) -> None:
    view = rc.load_balanced_view()
    assert list(view.map_sync(remote.echo, range(5000))) == list(range(5000))


def test_unordered_results_come_as_they_finish(rc: Client, gate: Any) -> None:
    @interactive
    def first_waits(i, path):
        import os
        import time

        while i == 0 and not os.path.exists(path):
            time.sleep(0.005)
        return i

    view = rc.load_balanced_view(targets=[0, 1, 2])
    tasks = view.map_async(first_waits, range(3), [gate.path] * 3, ordered=False)
    arrived = []
    for value in tasks:
        arrived.append(value)
        if len(arrived) == 2:
            gate.open()
    assert arrived[-1] == 0 and sorted(arrived) == [0, 1, 2]


def test_retries_until_it_works(rc: Client, tmp_path: Any) -> None:
    @interactive
    def third_time(path):
        with open(path, "a") as file:
            file.write("x")
        with open(path) as file:
            tries = len(file.read())
        if tries < 3:
            raise RuntimeError(f"try {tries}")
        return tries

    view = rc.load_balanced_view()
    with view.temp_flags(retries=5):
        assert view.apply_async(third_time, str(tmp_path / "a")).get(20) == 3
    with view.temp_flags(retries=1):
        with pytest.raises(error.RemoteError, match="try 2"):
            view.apply_async(third_time, str(tmp_path / "b")).get(20)


def test_an_error_does_not_disturb_the_others(rc: Client) -> None:
    @interactive
    def odd_fails(i):
        if i % 2:
            raise ValueError(i)
        return i

    results = (
        rc.load_balanced_view().map_async(odd_fails, range(20), return_exceptions=True).get(20)
    )
    assert results[::2] == list(range(0, 20, 2))
    assert all(isinstance(e, error.RemoteError) and e.ename == "ValueError" for e in results[1::2])


@pytest.mark.ours_only("the original hands out prefetched tasks before it looks at the time")
def test_time_limit_without_dependency(rc: Client, gate: Any, soon: Any, tmp_path: Any) -> None:
    view = rc.load_balanced_view(targets=[0])
    mark = str(tmp_path / "busy")
    busy = view.apply_async(remote.mark_and_wait, mark, gate.path)
    soon(lambda: os.path.exists(mark), 20, "engine 0 busy")
    queued = [view.apply_async(remote.echo, i) for i in range(20)]
    with view.temp_flags(timeout=0.3):
        late = view.apply_async(remote.echo, 1)
    with pytest.raises(error.RemoteError) as caught:
        late.get(20)
    assert caught.value.ename == "TaskTimeout"
    gate.open()
    assert busy.get(20) == "passed" and [task.get(20) for task in queued] == list(range(20))


@pytest.mark.ours_only("the original answers an abort only when the engine is idle again")
def test_abort_of_queued_tasks(rc: Client, gate: Any, soon: Any, tmp_path: Any) -> None:
    view = rc.load_balanced_view(targets=[0])
    mark = str(tmp_path / "busy")
    busy = view.apply_async(remote.mark_and_wait, mark, gate.path)
    soon(lambda: os.path.exists(mark), 20, "engine 0 busy")
    queued = [view.apply_async(remote.echo, i) for i in range(5)]
    rc.abort(queued, targets=[0], block=True)
    gate.open()
    assert busy.get(20) == "passed"
    for task in queued:
        with pytest.raises(error.TaskAborted):
            task.get(20)


@pytest.mark.ours_only("the original cannot abort what its scheduler has not handed out")
def test_abort_of_tasks_that_no_engine_has(rc: Client, gate: Any, soon: Any, tmp_path: Any) -> None:
    view = rc.load_balanced_view()
    marks = [str(tmp_path / f"busy{i}") for i in range(len(rc))]
    busy = [view.apply_async(remote.mark_and_wait, mark, gate.path) for mark in marks]
    soon(lambda: all(map(os.path.exists, marks)), 20, "all engines busy")
    queued = [view.apply_async(remote.echo, i) for i in range(100)]
    rc.abort(queued, block=True)
    for task in queued:
        with pytest.raises(error.TaskAborted):
            task.get(20)
    gate.open()
    assert [task.get(20) for task in busy] == ["passed"] * len(rc)


def test_executor(rc: Client) -> None:
    with rc.executor() as pool:
        assert pool.submit(remote.mul, 6, 7).result(20) == 42
        assert sorted(pool.map(remote.echo, range(20))) == list(range(20))

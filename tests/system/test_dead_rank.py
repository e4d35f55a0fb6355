# SPDX-License-Identifier: BSD-3-Clause
"""A rank that dies is an event: its requests are answered, survivors go on, tasks run elsewhere."""
from __future__ import annotations

import os
import signal
import time
from typing import Any

import pytest
from ipyparallel import error, interactive

import remote
from cluster import under_engines


@interactive
def kill_me(sig: int) -> None:
    import os

    os.kill(os.getpid(), sig)


@interactive
def dies_once(path: str) -> int:
    """Kills its engine the first time, returns its process id the second."""
    import os
    import signal

    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return os.getpid()
    os.kill(os.getpid(), signal.SIGKILL)
    return -1


@pytest.mark.limit(120)
def test_killed_engine(gate: Any, soon: Any) -> None:
    with under_engines(3) as cluster:
        rc, other = cluster.client(), cluster.client()
        pids = rc[:].apply_async(remote.getpid).get(20)
        running = rc[1].apply_async(remote.pass_gate, gate.path)
        queued = [rc[1].apply_async(remote.echo, i) for i in range(3)]
        elsewhere = rc[0].apply_async(remote.pass_gate, gate.path, "survivor")
        events: list[dict] = []
        other._registration_callbacks.append(events.append)
        os.kill(pids[1], signal.SIGKILL)
        for result in (running, *queued):
            with pytest.raises(error.RemoteError) as caught:
                result.get(60)
            assert caught.value.ename == "EngineError" and "died" in caught.value.evalue
        soon(lambda: rc.ids == other.ids == [0, 2], 20, "both clients know")
        assert [(e["event"], int(e["id"])) for e in events] == [("unregister", 1)]
        gate.open()
        assert elsewhere.get(20) == "survivor"
        assert rc[:].apply_async(remote.getpid).get(20) == [pids[0], pids[2]]
        assert cluster.client().ids == [0, 2]


@pytest.mark.limit(120)
def test_tasks_with_retries_run_elsewhere(tmp_path: Any, soon: Any) -> None:
    with under_engines(3) as cluster:
        rc = cluster.client()
        view = rc.load_balanced_view()
        pids = rc[:].apply_async(remote.getpid).get(20)
        with view.temp_flags(retries=2):
            task = view.apply_async(dies_once, str(tmp_path / "died"))
            others = [view.apply_async(remote.echo, i) for i in range(100)]
        assert task.get(60) in pids
        assert [other.get(20) for other in others] == list(range(100))
        soon(lambda: len(rc.ids) == 2, 20, "the client knows")


@pytest.mark.limit(120)
def test_task_without_retries(tmp_path: Any) -> None:
    with under_engines(2) as cluster:
        rc = cluster.client()
        task = rc.load_balanced_view().apply_async(kill_me, signal.SIGKILL)
        with pytest.raises(error.RemoteError) as caught:
            task.get(60)
        assert caught.value.ename == "EngineError"
        assert rc.load_balanced_view().apply_async(remote.echo, 1).get(20) == 1


@pytest.mark.ours_only("how our ranks die")
@pytest.mark.limit(120)
@pytest.mark.parametrize("how", ["SIGSEGV", "SIGABRT", "os._exit(3)", "os._exit(0)"])
def test_ways_to_die(how: str, soon: Any) -> None:
    statement = how if "(" in how else f"os.kill(os.getpid(), __import__('signal').{how})"
    with under_engines(2) as cluster:
        rc = cluster.client()
        result = rc[0].execute(f"import os\n{statement}", block=False)
        with pytest.raises(error.RemoteError) as caught:
            result.get(30)
        assert caught.value.ename == "EngineError"
        soon(lambda: rc.ids == [1], 20, "engine 0 unregistered")
        assert rc[:].apply_async(remote.echo, 1).get(20) == [1]


@pytest.mark.ours_only("how our ranks die")
@pytest.mark.limit(120)
def test_broadcast_with_a_dying_engine(gate: Any, soon: Any) -> None:
    """Every engine's answer or error comes, coalescing or not."""
    with under_engines(3) as cluster:
        rc = cluster.client()
        pids = rc[:].apply_async(remote.getpid).get(20)
        apart, together = rc.broadcast_view(), rc.broadcast_view()
        together.is_coalescing = True
        results = [view.apply_async(remote.pass_gate, gate.path) for view in (apart, together)]
        soon(lambda: rc.queue_status(1)["queue"] >= 2, 20, "requests on engine 1")
        os.kill(pids[1], signal.SIGKILL)
        gate.open()
        for result in results:
            with pytest.raises(error.RemoteError):
                result.get(30)


@pytest.mark.ours_only("how our ranks die")
@pytest.mark.limit(120)
def test_large_transfer_to_the_dead(soon: Any) -> None:
    with under_engines(2) as cluster:
        rc = cluster.client()
        pids = rc[:].apply_async(remote.getpid).get(20)
        pushes = [rc[0].push({"x": bytes(80_000_000)}, block=False) for _ in range(3)]
        os.kill(pids[0], signal.SIGKILL)
        for push in pushes:
            assert push.wait(30)
        assert rc[1].apply_async(len, bytes(80_000_000)).get(30) == 80_000_000


@pytest.mark.ours_only("how our ranks die")
@pytest.mark.limit(120)
def test_broadcasts_to_the_survivors() -> None:
    with under_engines(3) as cluster:
        rc = cluster.client()
        os.kill(rc[1].apply_async(remote.getpid).get(20), signal.SIGKILL)
        deadline = time.monotonic() + 20
        while rc.ids != [0, 2] and time.monotonic() < deadline:
            rc.wait_interactive(timeout=0.05)
        view = rc.broadcast_view()
        for _ in range(5):
            assert view.apply_async(remote.echo, bytes(3_000_000)).get(20) == [bytes(3_000_000)] * 2


@pytest.mark.ours_only("how our ranks die")
@pytest.mark.limit(120)
def test_answer_under_way_when_the_engine_dies() -> None:
    """A large result is still leaving when the next task ends the engine: a result or an error, never silence."""

    @interactive
    def large():
        return bytes(150_000_000)

    @interactive
    def die():
        import os

        os._exit(3)

    with under_engines(2, check=False) as cluster:
        rc = cluster.client()
        view = rc.load_balanced_view(targets=[0])
        first, second = view.apply_async(large), view.apply_async(die)
        with pytest.raises(error.RemoteError, match="EngineError"):
            second.get(30)
        try:
            assert len(first.get(30)) == 150_000_000
        except error.RemoteError as lost:
            assert lost.ename == "EngineError"


@pytest.mark.ours_only("how our ranks die")
@pytest.mark.limit(120)
def test_killed_bridge_ends_all(gate: Any, soon: Any, tmp_path: Any) -> None:
    with under_engines(3, check=False) as cluster:
        rc = cluster.client()
        started = str(tmp_path / "started")
        rc[0].apply_async(remote.mark_and_wait, started, gate.path)
        soon(lambda: os.path.exists(started), 20, "engine 0 busy")
        os.kill(cluster.ranks()[0], signal.SIGKILL)
        cluster.join(30)


@pytest.mark.ours_only("how our ranks die")
@pytest.mark.limit(120)
def test_killed_balancer(gate: Any, soon: Any, tmp_path: Any) -> None:
    """Tasks get errors, direct requests go on."""
    with under_engines(2) as cluster:
        rc = cluster.client()
        view = rc.load_balanced_view()
        tasks = [view.apply_async(remote.pass_gate, gate.path, i) for i in range(20)]
        soon(lambda: rc.queue_status(0)["tasks"] >= 1, 20, "tasks on engines")
        os.kill(cluster.ranks()[1], signal.SIGKILL)
        gate.open()
        for task in tasks:
            assert task.wait(30)  # a result, where it ran, or an error
        late = view.apply_async(remote.echo, 1)
        with pytest.raises(error.RemoteError, match="balancer"):
            late.get(20)
        assert rc[:].apply_async(remote.echo, 1).get(20) == [1, 1]

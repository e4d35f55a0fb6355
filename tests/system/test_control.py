# SPDX-License-Identifier: BSD-3-Clause
"""The control channel: abort, clear, signals, status of queues, the end of engines and of all."""
from __future__ import annotations

import os
import signal
from typing import Any

import pytest
from ipyparallel import Client, error, interactive

import remote
from cluster import BACKEND, under_engines
from raw import RawClient

# With recovery Open MPI's mpirun exits with 0 whatever its ranks do.
NO_RECOVERY: dict[str, Any] = {"recovery": False} if BACKEND == "ours" else {}


def test_clear(rc: Client) -> None:
    rc[:].push({"a": 1}, block=True)
    rc.clear(block=True)
    with pytest.raises(error.RemoteError, match="NameError"):
        rc[0].pull("a", block=True)
    assert rc[0].execute("get_ipython().run_line_magic('who_ls', '')", block=True) is not None


@pytest.mark.parametrize("what", ["sleep", "loop"])
def test_interrupt(rc: Client, soon: Any, tmp_path: Any, what: str) -> None:
    @interactive
    def busy(path, what):
        import time

        with open(path, "w"):
            pass
        while True:
            if what == "sleep":
                time.sleep(100)

    started = str(tmp_path / "started")
    result = rc[2].apply_async(busy, started, what)
    soon(lambda: os.path.exists(started), 20, "busy code runs")
    rc.send_signal(signal.SIGINT, targets=2, block=False)
    with pytest.raises(error.RemoteError, match="KeyboardInterrupt"):
        result.get(20)
    assert rc[2].apply_async(remote.echo, 1).get(20) == 1


def test_interrupt_of_executed_code(rc: Client, soon: Any, tmp_path: Any) -> None:
    code = (
        f"import os, time\nopen({str(tmp_path)!r} + '/%d' % os.getpid(), 'w').close()\n"
        "while True:\n    time.sleep(0.01)"
    )
    result = rc[:].execute(code, block=False)
    soon(lambda: len(os.listdir(tmp_path)) == len(rc), 20, "busy code runs everywhere")
    rc.send_signal("SIGINT", block=False)
    with pytest.raises(error.CompositeError, match="KeyboardInterrupt"):
        result.get(20)


def test_interrupt_of_an_idle_engine_is_harmless(rc: Client) -> None:
    rc.send_signal(signal.SIGINT, targets=[0, 1], block=False)
    for engine in (0, 1):
        assert rc[engine].apply_async(remote.echo, 2).get(20) == 2


@pytest.mark.ours_only("the original answers an abort only when the engine is idle again")
def test_abort_of_queued_requests(rc: Client, gate: Any) -> None:
    held = rc[1].apply_async(remote.pass_gate, gate.path)
    queued = [rc[1].apply_async(remote.echo, i) for i in range(10)]
    kept = rc[1].apply_async(remote.echo, "kept")
    rc.abort(queued, targets=1, block=True)
    gate.open()
    held.get(20)
    for result in queued:
        with pytest.raises(error.TaskAborted):
            result.get(20)
    assert kept.get(20) == "kept"


@pytest.mark.ours_only("the original answers an abort only when the engine is idle again")
@pytest.mark.parametrize("size", [0, 100_000, 5_000_000])
def test_abort_does_not_miss_what_is_on_its_way(rc: Client, tmp_path: Any, size: int) -> None:
    """Sent right behind its requests, on another socket and past their payloads."""
    for i in range(15):
        path = tmp_path / str(i)
        held = rc[1].apply_async(remote.pass_gate, str(path))
        queued = [rc[1].apply_async(remote.echo, bytes(size)) for _ in range(5)]
        rc.abort(queued, targets=1, block=True)
        path.touch()
        held.get(20)
        for result in queued:
            with pytest.raises(error.TaskAborted):
                result.get(20)


def test_abort_of_something_finished_is_harmless(rc: Client) -> None:
    result = rc[0].apply_async(remote.echo, 1)
    result.get(20)
    rc.abort(result.msg_ids[0], targets=0, block=True)
    assert rc[0].apply_async(remote.echo, 2).get(20) == 2


def test_queue_status(rc: Client, gate: Any, soon: Any) -> None:
    before = rc.queue_status()
    assert sorted(key for key in before if isinstance(key, int)) == rc.ids
    assert before["unassigned"] == 0
    held = [rc[1].apply_async(remote.pass_gate, gate.path) for _ in range(3)]
    soon(lambda: rc.queue_status(1)["queue"] == 3, 20, "three requests in the queue")
    ids = rc.queue_status(1, verbose=True)["queue"]
    assert sorted(ids) == sorted(result.msg_ids[0] for result in held)
    gate.open()
    for result in held:
        result.get(20)
    soon(lambda: rc.queue_status(1)["queue"] == 0, 20, "an empty queue")
    assert rc.queue_status(1)["completed"] >= before[1]["completed"] + 3


def test_shutdown_of_one_engine(soon: Any) -> None:
    with under_engines(3) as cluster:
        rc, other = cluster.client(), cluster.client()
        events: list[dict] = []
        other._registration_callbacks.append(events.append)
        rc.shutdown(targets=1, block=True)
        soon(lambda: rc.ids == other.ids == [0, 2], 40, "unregistration seen by both clients")
        assert [(e["event"], int(e["id"])) for e in events] == [("unregister", 1)]
        assert len(set(rc[:].apply_async(remote.getpid).get(20))) == 2
        assert list(rc.load_balanced_view().map_sync(remote.echo, range(20))) == list(range(20))


@interactive
def deaf_until(started: str, path: str) -> None:
    """Waits for the gate at `path` whatever interrupts it."""
    import os
    import time

    with open(started, "w"):
        pass
    while True:
        try:
            while not os.path.exists(path):
                time.sleep(0.005)
            return
        except KeyboardInterrupt:
            pass


@pytest.mark.ours_only("the original calls every engine that leaves dead")
@pytest.mark.parametrize("kind", ["direct", "task", "broadcast"])
def test_requests_on_an_engine_that_is_shut_down(
    gate: Any, soon: Any, tmp_path: Any, kind: str
) -> None:
    """Running or sent too late, they are told what became of the engine."""
    with under_engines(2) as cluster:
        rc, raw = cluster.client(), RawClient(cluster.connection_file)
        uuid = raw.engines()[0]
        views = {
            "direct": rc[0],
            "task": rc.load_balanced_view(targets=[0]),
            "broadcast": rc.broadcast_view(targets=[0]),
        }
        started = str(tmp_path / "started")
        running = views[kind].apply_async(deaf_until, started, gate.path)
        soon(lambda: os.path.exists(started), 20, "the request runs")
        rc.shutdown(targets=0, block=True)
        with pytest.raises(error.RemoteError, match="engine 0 was shut down while it had this"):
            running.get(20)
        soon(lambda: rc.ids == [1], 20, "the engine is gone")
        metadata = {"targets": [[uuid, 0]], "is_broadcast": True}
        for channel in ("mux", "control", "broadcast"):
            msg_type = "clear_request" if channel == "control" else "apply_request"
            to = None if channel == "broadcast" else uuid
            raw.send(channel, raw.frames(msg_type, metadata=metadata, to=to))
            assert raw.receive(channel)["content"]["evalue"] == "engine 0 was shut down"
        raw.close()
        gate.open()


def test_shutdown_of_everything() -> None:
    with under_engines(2, **NO_RECOVERY) as cluster:
        rc = cluster.client()
        cluster.note_held()
        rc.shutdown(hub=True, block=True)
        codes = cluster.join()
        assert codes[0] == 0
        cluster.check_clean()


@pytest.mark.ours_only("how our job ends")
def test_shutdown_while_an_engine_is_busy(gate: Any, soon: Any, tmp_path: Any) -> None:
    with under_engines(2, **NO_RECOVERY) as cluster:
        rc = cluster.client()
        started = str(tmp_path / "started")
        rc[0].apply_async(remote.mark_and_wait, started, gate.path)
        soon(lambda: os.path.exists(started), 20, "busy code runs")
        cluster.note_held()
        rc.shutdown(hub=True, block=True)
        assert cluster.join() == [0]
        cluster.check_clean()


@interactive
def deep_sleep(path: str, seconds: int) -> None:
    """Sleeps in C with the GIL held: no interrupt reaches it."""
    import ctypes

    with open(path, "w"):
        pass
    ctypes.PyDLL(None).sleep(seconds)


@pytest.mark.ours_only("how our job ends")
def test_requests_after_a_shutdown(soon: Any, tmp_path: Any) -> None:
    """While a sleeping engine holds up the end, each request is told of it."""
    with under_engines(2) as cluster:
        rc, raw = cluster.client(), RawClient(cluster.connection_file)
        uuid, started = raw.engines()[0], str(tmp_path / "started")
        rc[1].apply_async(deep_sleep, started, 2)
        soon(lambda: os.path.exists(started), 20, "engine 1 sleeps")
        raw.send("registration", raw.frames("shutdown_request"))
        assert raw.receive("registration")["content"]["status"] == "ok"
        metadata = {"targets": [[uuid, 0]], "is_broadcast": True}
        requests = [
            ("control", raw.frames("clear_request", to=uuid)),
            ("control", raw.frames("abort_request", to=uuid)),
            ("control", raw.frames("shutdown_request", to=uuid)),
            ("mux", raw.frames("apply_request", to=uuid)),
            ("task", raw.frames("apply_request")),
            ("broadcast", raw.frames("apply_request", metadata=metadata, msg_id="copied")),
            ("registration", raw.frames("connection_request")),
            ("registration", raw.frames("queue_request")),
        ]
        for channel, frames in requests:
            raw.send(channel, frames)
            answer = raw.receive(channel)
            assert answer["content"]["evalue"] == "the cluster is shutting down", channel
            if channel == "broadcast":
                assert answer["parent_header"]["msg_id"] == f"copied_{uuid}"
        raw.send("registration", raw.frames("shutdown_request"))
        assert raw.receive("registration")["content"]["status"] == "ok"
        cluster.join()
        raw.close()


@pytest.mark.ours_only("how our job ends")
@pytest.mark.parametrize("to", ["bridge", "balancer", "engine"])
def test_sigterm_to_a_rank_ends_the_job(to: str) -> None:
    with under_engines(2, recovery=False) as cluster:
        pid = cluster.ranks()[{"bridge": 0, "balancer": 1, "engine": 2}[to]]
        rc = cluster.client()
        assert rc[:].apply_async(remote.echo, 1).get(20) == [1, 1]
        os.kill(pid, signal.SIGTERM)
        assert cluster.join() == [0]
        cluster.check_clean()


@pytest.mark.ours_only("how our job ends")
@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT], ids=lambda sig: sig.name)
@pytest.mark.parametrize("busy", [False, True], ids=["idle", "busy"])
def test_signal_to_mpirun_ends_the_job(sig: signal.Signals, busy: bool) -> None:
    """The exit code is mpirun's own affair; the end is clean all the same."""
    with under_engines(2) as cluster:
        rc = cluster.client()
        assert rc[:].apply_async(remote.echo, 1).get(20) == [1, 1]
        if busy:
            rc[:].apply_async(remote.nap, 1000)
        os.kill(cluster.mpirun_pid(), sig)
        cluster.join()
        cluster.check_clean()


@pytest.mark.ours_only("the original cannot tell its clients")
def test_clients_hear_of_the_end(soon: Any) -> None:
    with under_engines(2) as cluster:
        rc = cluster.client()
        heard: list[Any] = []
        rc._notification_handlers["shutdown_notification"] = heard.append
        first = rc[:].apply_async(remote.echo, 1)
        assert first.wait_for_output(20)  # its subscriptions have arrived
        os.kill(cluster.ranks()[0], signal.SIGTERM)
        soon(lambda: heard, 20, "shutdown_notification")
        cluster.join()

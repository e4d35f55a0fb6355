# SPDX-License-Identifier: BSD-3-Clause
"""libippsteer against a real cluster: answers, output, arrays, broken connections, and ends."""
from __future__ import annotations

import errno
import json
import os
import signal
import socket
import threading
from typing import Any, Iterator

import numpy
import pytest

import procs
from cluster import Cluster, under_engines
from steer_client import ABORTED, ERROR, OK, Steer, SteerError

pytestmark = pytest.mark.ours_only("the steering socket is ours alone")


def without_ipc(path: str, target: str, **changes: Any) -> str:
    """A copy of a connection file that leads over TCP, with changes to its steering part."""
    with open(path) as file:
        connection = json.load(file)
    connection["ippmpi"]["steering"].update({"ipc": ""}, **changes)
    with open(target, "w") as file:
        json.dump(connection, file)
    return target


class Proxy:
    """Passes a TCP port on, and can be cut: both sides of all connections are closed."""

    def __init__(self, port: int) -> None:
        self.port_behind = port
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.lock = threading.Lock()
        self.pairs: list[tuple[socket.socket, socket.socket]] = []
        self.cuts = self.passed = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self.port_behind))
            with self.lock:
                self.pairs.append((near, far))
            for source, target in ((near, far), (far, near)):
                threading.Thread(target=self._pass, args=(source, target), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                self.passed += len(data)
                target.sendall(data)
        except OSError:
            pass
        for each in (source, target):
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def cut(self) -> None:
        with self.lock:
            pairs, self.pairs = self.pairs, []
        for pair in pairs:
            for each in pair:
                try:
                    each.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
        self.cuts += len(pairs)

    def close(self) -> None:
        self.listener.close()
        self.cut()


@pytest.fixture
def steer(cluster: Cluster) -> Iterator[Steer]:
    with Steer(cluster.connection_file) as made:
        yield made


@pytest.fixture
def tcp_file(cluster: Cluster, tmp_path: Any) -> str:
    return without_ipc(cluster.connection_file, str(tmp_path / "tcp.json"))


@pytest.fixture
def proxy(cluster: Cluster, tmp_path: Any) -> Iterator[tuple[Proxy, str]]:
    """A proxy before the cluster's port, and a connection file that leads to it."""
    with open(cluster.connection_file) as file:
        port = json.load(file)["ippmpi"]["steering"]["port"]
    made = Proxy(port)
    yield made, without_ipc(cluster.connection_file, str(tmp_path / "proxy.json"), port=made.port)
    made.close()


def test_about(cluster: Cluster, steer: Steer) -> None:
    assert steer.engines() == list(range(cluster.n))
    about = steer.about()
    assert about["role"] == "owner" and about["protocol"] == 1
    assert sorted(about["engines"], key=int) == [str(i) for i in range(cluster.n)]


def test_connects_by_id_and_profile(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IPYTHONDIR", cluster.ipython_dir)
    for where in (None, ""):
        with Steer(where) as steer:
            assert len(steer.engines()) == cluster.n
    with pytest.raises(SteerError) as caught:
        Steer("nobody")
    assert caught.value.errno == errno.ENOENT
    assert "ipcontroller-nobody-client.json" in str(caught.value)


@pytest.mark.parametrize("way", ["ipc", "tcp"])
def test_execute(cluster: Cluster, tcp_file: str, way: str) -> None:
    with Steer(cluster.connection_file if way == "ipc" else tcp_file) as steer:
        shown: list[tuple[int, str, dict[str, Any]]] = []
        future = steer.execute("print('seen'); 6 * 7", on_output=lambda *each: shown.append(each))
        answers = future.answers()
        assert [(engine, status) for engine, status, _ in answers] == [
            (i, OK) for i in range(cluster.n)
        ]
        for i in range(cluster.n):
            of_engine = [(kind, content) for engine, kind, content in shown if engine == i]
            assert ("stream", {"name": "stdout", "text": "seen\n"}) in of_engine
            results = [content for kind, content in of_engine if kind == "execute_result"]
            assert [each["data"]["text/plain"] for each in results] == ["42"]


def test_errors_are_answers(steer: Steer) -> None:
    ((engine, status, content),) = steer.execute("1 / 0", "2").answers()
    assert (engine, status, content["ename"]) == (2, ERROR, "ZeroDivisionError")
    answers = steer.execute("1 / 0 if get_engine_id() else None", "0-1").answers()
    assert [each[1] for each in answers] == [ERROR, ERROR]  # no such function here


@pytest.mark.parametrize("targets", ["77", "nobody", "1-", ""])
def test_targets_that_are_none(steer: Steer, targets: str) -> None:
    ((engine, status, content),) = steer.execute("pass", targets).answers()
    assert (engine, status, content["ename"]) == (-1, ERROR, "IndexError"), content


def test_unknown_request(steer: Steer) -> None:
    ((_, status, content),) = steer.send("no_such_request").answers()
    assert (status, content["ename"]) == (ERROR, "KeyError")


def test_queries(cluster: Cluster, steer: Steer) -> None:
    ((_, status, content),) = steer.send("connection_request", channel="registration").answers()
    assert status == OK and len(content["engines"]) == cluster.n


def test_requests_of_one_session_run_in_order(steer: Steer) -> None:
    steer.execute("order = []", "0").answers()
    futures = [steer.execute(f"order.append({i})", None if i % 3 else "0") for i in range(300)]
    for future in futures:
        future.wait()
        future.destroy()
    ((_, status, _),) = steer.execute("assert order == list(range(300)), order", "0").answers()
    assert status == OK


def test_interrupt(steer: Steer) -> None:
    started: list[str] = []
    future = steer.execute("print('on it', flush=True)\nwhile True: pass", "1",
                           on_output=lambda engine, kind, content: started.append(kind))
    while "stream" not in started:
        steer.progress(10000)
    steer.interrupt("1").answers()
    ((_, status, content),) = future.answers()
    assert (status, content["ename"]) == (ERROR, "KeyboardInterrupt")


def test_cancel(steer: Steer, gate: Any) -> None:
    wait = f"import os, time\nwhile not os.path.exists({gate.path!r}): time.sleep(0.01)"
    running = steer.execute(wait, "0")
    queued = steer.execute("raise SystemError('ran')", "0")
    queued.cancel()
    ((_, status, _),) = queued.answers()
    assert status == ABORTED
    gate.open()
    assert running.answers()[0][1] == OK


def test_wakes_from_another_thread(steer: Steer, gate: Any) -> None:
    from steer_client import LIB

    wait = f"import os, time\nwhile not os.path.exists({gate.path!r}): time.sleep(0.01)"
    future = steer.execute(wait, "0")
    timer = threading.Timer(0.2, LIB.ipp_steer_wake, [steer.handle])
    timer.start()
    assert not future.wait(30000)
    timer.join()
    gate.open()
    future.answers()


# ---- arrays ----


@pytest.mark.parametrize("way", ["ipc", "tcp"])
def test_arrays(cluster: Cluster, tcp_file: str, way: str) -> None:
    with Steer(cluster.connection_file if way == "ipc" else tcp_file) as steer:
        pushed = numpy.arange(24, dtype="<i4").reshape(2, 3, 4)
        assert {status for _, status, _ in steer.push("a", pushed).answers()} == {OK}
        steer.execute("a += 1").answers()
        pulled = steer.pull("a").arrays()
        assert len(pulled) == cluster.n
        for each in pulled:
            assert each.dtype == pushed.dtype and (each == pushed + 1).all()
        (total, *others) = steer.reduce("a", "sum").arrays(only_first=True)
        assert not others and (total == (pushed + 1) * cluster.n).all()


@pytest.mark.limit(120)
@pytest.mark.parametrize("way", ["ipc", "tcp"])
def test_large_arrays(cluster: Cluster, tcp_file: str, way: str) -> None:
    with Steer(cluster.connection_file if way == "ipc" else tcp_file) as steer:
        large = numpy.arange(25_000_000, dtype="<f8")  # 200 MB
        assert {status for _, status, _ in steer.push("large", large, "0-1").answers()} == {OK}
        (back,) = steer.pull("large", "1").arrays()
        assert (back == large).all()
        steer.execute("del large", "0-1").answers()


@pytest.mark.limit(120)
def test_a_push_takes_bounded_memory_of_the_bridge() -> None:
    with under_engines(2) as own, Steer(own.connection_file) as steer:
        with open(own.connection_file) as file:
            bridge = json.load(file)["ippmpi"]["pid"]
        large = numpy.ones(100_000_000)  # 800 MB
        assert {status for _, status, _ in steer.push("large", large, "1").answers()} == {OK}
        check = "assert large.sum() == 100_000_000"
        assert {status for _, status, _ in steer.execute(check, "1").answers()} == {OK}
        with open(f"/proc/{bridge}/status") as status:
            most = next(line.split()[1] for line in status if line.startswith("VmHWM"))
        assert int(most) < 300_000  # kB; docs/performance.md says what it usually is


# ---- broken connections ----


@pytest.mark.limit(120)
def test_every_answer_once_through_broken_connections(proxy: tuple[Proxy, str]) -> None:
    between, path = proxy
    with Steer(path) as steer:
        steer.execute("ran = []").answers()
        count = 10_000
        futures = []
        for i in range(count):
            futures.append(steer.execute(f"ran.append({i})", str(i % 4)))
            if i % 1000 == 500:
                between.cut()
        for i, future in enumerate(futures):
            if i % 1000 == 500:
                steer.execute("1").answers()  # it is connected again
                between.cut()
            ((engine, status, _),) = future.answers()
            assert (engine, status) == (i % 4, OK)
        assert steer.outstanding() == 0
        assert between.cuts >= 10
        check = f"assert ran == list(range(ran[0], {count}, 4)), ran"
        assert {status for _, status, _ in steer.execute(check).answers()} == {OK}


@pytest.mark.limit(120)
def test_large_push_through_broken_connections(proxy: tuple[Proxy, str]) -> None:
    between, path = proxy
    with Steer(path) as steer:
        large = numpy.arange(10_000_000, dtype="<f8")
        future = steer.push("large", large, "0")
        for part in (1, 2, 3):
            goal = between.passed + 15_000_000
            while between.passed < goal and not future.done():
                steer.progress(100)
            between.cut()
        assert future.answers()[0][1] == OK
        (back,) = steer.pull("large", "0").arrays()
        assert (back == large).all()
        steer.execute("del large", "0").answers()


# ---- keys and ends ----


def test_wrong_keys(cluster: Cluster, tmp_path: Any) -> None:
    import zmq

    public, secret = (key.decode() for key in zmq.curve_keypair())
    for changes, code, words in (
        ({"public_key": public, "secret_key": secret}, errno.EACCES, "refuses this key"),
        ({"server_key": public}, errno.ECONNREFUSED, "not the cluster of this file"),
        ({"protocol": 2}, errno.EPROTO, "protocol 2"),
    ):
        path = without_ipc(cluster.connection_file, str(tmp_path / "wrong.json"), **changes)
        with pytest.raises(SteerError, match=words) as caught:
            Steer(path)
        assert caught.value.errno == code


def test_invited_and_revoked(cluster: Cluster, steer: Steer, tmp_path: Any) -> None:
    import zmq

    public, secret = (key.decode() for key in zmq.curve_keypair())
    invitation = {"name": "ann", "role": "observer", "public_key": public, "expires": None}
    ((_, status, _),) = steer.send("invite_request", invitation, "session").answers()
    assert status == OK
    path = without_ipc(cluster.connection_file, str(tmp_path / "ann.json"), public_key=public, secret_key=secret)
    with Steer(path) as ann:
        assert (ann.about()["name"], ann.about()["role"]) == ("ann", "observer")
        ((_, status, content),) = ann.execute("pass", "0").answers()
        assert (status, content["ename"]) == (ERROR, "PermissionError")
        assert steer.send("revoke_request", {"name": "ann"}, "session").answers()[0][1] == OK
        with pytest.raises(SteerError, match="revoked") as caught:
            while True:
                ann.progress(20000)
        assert caught.value.errno == errno.EACCES
    with pytest.raises(SteerError, match="refuses this key") as caught:
        Steer(path)
    assert caught.value.errno == errno.EACCES


def test_shutdown_is_told(tmp_path: Any) -> None:
    with under_engines(2) as cluster:
        with Steer(cluster.connection_file) as steer:
            ((_, status, _),) = steer.send("shutdown_request", channel="registration").answers()
            assert status == OK
            with pytest.raises(SteerError, match="shut down") as caught:
                while True:
                    steer.progress(20000)
            assert caught.value.errno == errno.ECONNRESET
        cluster.join()


@pytest.mark.parametrize("way", ["ipc", "tcp"])
def test_killed_cluster(tmp_path: Any, way: str) -> None:
    with under_engines(2, check=False) as cluster:
        path = cluster.connection_file
        if way == "tcp":
            path = without_ipc(path, str(tmp_path / "tcp.json"))
        with Steer(path) as steer:
            future = steer.execute("import time; time.sleep(600)")
            assert steer.progress(100) in (True, False)
            procs.kill_all(cluster.pids())  # some go by themselves when others are gone
            with pytest.raises(SteerError, match="the cluster is gone") as caught:
                future.wait(30000)
            assert caught.value.errno == errno.ECONNRESET
            assert "the cluster is gone" in str(future.failure())
            future.destroy()
        with pytest.raises(SteerError, match="the cluster is gone"):
            Steer(path)


def test_engine_that_dies_is_taken_off() -> None:
    with under_engines(3) as cluster, Steer(cluster.connection_file) as steer:
        pid = steer.about()["engines"]["1"]["pid"]
        future = steer.execute("import time; time.sleep(600)", "1")
        os.kill(pid, signal.SIGKILL)
        ((engine, status, content),) = future.answers()
        assert (engine, status, content["ename"]) == (1, ERROR, "EngineError")
        procs.wait_until(lambda: steer.progress(10) is not None and steer.engines() == [0, 2], 10,
                         "engine 1 taken off")

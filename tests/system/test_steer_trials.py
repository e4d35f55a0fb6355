# SPDX-License-Identifier: BSD-3-Clause
"""10,000 tasks by the steering socket while something breaks: clients that are killed, networks that
fall silent, queues that are full, another Python."""
from __future__ import annotations

import collections
import glob
import os
import platform
import subprocess
import sys
import time
from typing import Any, Iterator

import numpy as np
import pytest
from ipyparallel import interactive

from cluster import Cluster, under_engines
from conftest import Gate
from ippmpi_client import Network, changed_file, environment, ippmpi
from remote import echo, pass_gate
from procs import pss_mb, wait_until
from steering import Steering

pytestmark = pytest.mark.ours_only("ippmpi speaks to no other cluster")

COUNT = 10_000


@interactive
def note(folder: str, x: Any, gate: Any = None) -> Any:
    """Says in a file of this engine's that it ran; when the gate is open, if there is one."""
    import os
    import time

    while gate and not os.path.exists(gate):
        time.sleep(0.005)
    with open(os.path.join(folder, str(os.getpid())), "a") as file:
        file.write(f"{x}\n")
    return x


def ran(folder: Any) -> collections.Counter[int]:
    """How often each task ran."""
    return collections.Counter(
        int(line) for path in folder.iterdir() for line in path.read_text().splitlines()
    )


def queued(asker: Steering) -> int:
    """How many requests are on engines or wait for one."""
    (answer,) = asker.ask("registration", "queue_request")
    content = answer.content
    ids = asker.welcome["engines"]
    return content["unassigned"] + sum(content[id]["queue"] + content[id]["tasks"] for id in ids)


# ---- clients that are killed ----

WAYS = {
    "executor": "submit = c.executor().submit",
    "apply_async": "submit = lambda *args: c[len(futures) % 2].apply_async(*args)",
}


@pytest.fixture
def own() -> Iterator[Cluster]:
    """A cluster that forgets clients soon."""
    with under_engines(2, args=["--session-timeout", "2"]) as running:
        yield running


def start_client(cluster: Cluster, way: str, folder: Any, gate: Gate) -> subprocess.Popen[str]:
    """A client with COUNT tasks, of which 1,000 end at once; the others wait at the gate."""
    path = changed_file(cluster, "tcp.json", ipc="")
    code = f"""
import ippmpi, os, time
c = ippmpi.connect({path!r})
c.echo = False
def work(i, payload):
    import os, time
    if i >= 1000:
        open(os.path.join({str(folder)!r}, f"held-{{os.getpid()}}"), "w").close()
    while i >= 1000 and not os.path.exists({gate.path!r}):
        time.sleep(0.005)
    with open(os.path.join({str(folder)!r}, str(os.getpid())), "a") as file:
        file.write(f"{{i}}\\n")
    return payload
futures = []
{WAYS[way]}
for i in range({COUNT}):
    futures.append(submit(work, i, os.urandom(4000)))
print("on its way", flush=True)
time.sleep(600)
"""
    return subprocess.Popen(
        [sys.executable, "-c", code],
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.limit(120)
@pytest.mark.parametrize("way", WAYS)
def test_a_client_that_is_killed(own: Cluster, gate: Gate, tmp_path: Any, way: str) -> None:
    folder = tmp_path / "ran"
    folder.mkdir()
    bridge = own.ranks()[0]  # type: ignore[attr-defined]
    with Steering(own.connection_file) as watcher, ippmpi.connect(own.connection_file) as other:
        other.echo = False
        watcher.ask("session", "subscribe_request", {"output": "none", "events": True})
        before = pss_mb([bridge])
        with start_client(own, way, folder, gate) as child:
            many = 2 if way == "executor" else COUNT // 2
            try:
                assert child.stdout and child.stdout.readline() == "on its way\n"
                wait_until(lambda: len(list(folder.glob("held-*"))) == 2, 30, "both engines wait")
                wait_until(lambda: queued(watcher) >= many, 30, "many are under way")
            finally:
                child.kill()
        event = watcher.output().content
        while event["event"] != "detached":
            event = watcher.output().content
        assert event["reason"] == "gone"
        assert queued(watcher) >= many
        gate.open()
        assert other[:].apply(echo, 1) == [1, 1]
        wait_until(lambda: queued(watcher) == 0, 30, "the engines have done it")
        times = ran(folder)
        assert set(times.values()) == {1} and len(times) >= max(many, 500)
        if way == "apply_async":
            assert sorted(times) == list(range(len(times)))
        with other.executor() as executor:
            assert list(executor.map(echo, range(COUNT))) == list(range(COUNT))
        wait_until(lambda: pss_mb([bridge]) < before + 25, 20, "memory of the bridge is back")


# ---- networks that fall silent ----


def silence(network: Network, seconds: float) -> None:
    """Longer than the client's heartbeats are apart."""
    network.hush()
    time.sleep(0.1)  # what passes the proxy now
    heard = network.bytes_back
    time.sleep(seconds)
    assert network.bytes_back == heard


@pytest.mark.limit(120)
@pytest.mark.parametrize("end", ["resumes", "closes", "closes and stays silent"])
def test_every_answer_once_over_a_network_that_falls_silent(
    remote: Any, network: Network, tmp_path: Any, gate: Gate, end: str
) -> None:
    array = np.random.default_rng(5).random(4_000_000)
    folder = str(tmp_path)
    with remote.executor() as executor:
        futures = [
            executor.submit(note, folder, i, gate.path if i > COUNT // 2 else None)
            for i in range(COUNT)
        ]
        wait_until(lambda: futures[COUNT // 4].done(), 30, "a quarter of it")
        pushed = remote[0].apply_async(pass_gate, gate.path, array)  # in chunks
        silence(network, 6 if end == "resumes" else 0.5)
        assert not futures[-1].done() and not pushed.done()
        gate.open()
        if end != "resumes":
            network.cut()
        if end == "closes and stays silent":
            connections = network.connections
            wait_until(lambda: network.connections > connections, 20, "it tries again")
            time.sleep(0.5)
            assert not futures[-1].done()
        network.resume()
        assert [future.result(60) for future in futures] == list(range(COUNT))
        assert np.array_equal(pushed.result(60), array)
    assert (network.connections == 1) == (end == "resumes")  # the session outlives them
    assert ran(tmp_path) == dict.fromkeys(range(COUNT), 1)


# ---- queues that are full ----


@pytest.mark.limit(120)
def test_a_full_queue_refuses_requests_and_executors_wait(gate: Gate) -> None:
    code = f"import os, time\nwhile not os.path.exists({gate.path!r}): time.sleep(0.005)\nn += 1"
    content = {"code": code, "silent": True, "user_expressions": {}, "allow_stdin": False}
    with under_engines(1, args=["--max-tasks", "5"]) as own:
        with Steering(own.connection_file) as filler, ippmpi.connect(own.connection_file) as c:
            c[0].push(n=0)
            taken = [filler.say("task", "execute_request", content) for _ in range(6)]
            wait_until(lambda: queued(filler) == 6, 20, "the queue is full")
            for _ in range(3):
                (refused,) = filler.ask("task", "execute_request", content)
                assert refused.content["ename"] == "TaskRejectError"
                assert "the queue of tasks is full" in refused.content["evalue"]
            with c.executor() as executor:
                futures = [executor.submit(echo, i) for i in range(20)]
                (refused,) = filler.ask("task", "execute_request", content)
                assert refused.content["ename"] == "TaskRejectError" and queued(filler) == 6
                assert not any(future.done() for future in futures)
                gate.open()
                assert [future.result(20) for future in futures] == list(range(20))
                for number in taken:
                    assert filler.answers(number)[0].content["status"] == "ok"
                assert c[0].pull("n") == 6
                futures = [executor.submit(echo, i) for i in range(COUNT)]
                assert [future.result(30) for future in futures] == list(range(COUNT))


@pytest.mark.limit(120)
def test_requests_for_a_busy_engine_do_not_fill_the_bridge(gate: Gate) -> None:
    with under_engines(1) as own:
        bridge = own.ranks()[0]  # type: ignore[attr-defined]
        with ippmpi.connect(changed_file(own, "tcp.json", ipc="")) as c:
            c[0].apply(echo, bytes(1 << 20))
            before = pss_mb([bridge])
            held = c[0].apply_async(pass_gate, gate.path)
            futures = [c[0].apply_async(len, bytes((1 << 20) + i)) for i in range(300)]
            with Steering(own.connection_file) as asker:
                wait_until(lambda: queued(asker) == 301, 30, "all are on the engine")
            assert pss_mb([bridge]) < before + 100  # of the 300; see docs/protocol.md, Sessions
            assert not held.done()
            gate.open()
            assert [future.result(60) for future in futures] == [(1 << 20) + i for i in range(300)]


# ---- another Python ----


def other_pythons() -> list[str]:
    """One of each minor version that could import ippmpi and is not the engines'."""
    found: dict[str, str] = {}
    places = ["/usr/bin", "/usr/local/bin", "/opt/*/bin", "~/.pyenv/versions/*/bin"]
    for place in places:
        for path in sorted(glob.glob(os.path.expanduser(f"{place}/python3.[0-9]*"))):
            name = os.path.basename(path)
            minor = name.removeprefix("python3.")
            works = minor.isdigit() and int(minor) >= 11 and minor != platform.python_version_tuple()[1]
            if works and subprocess.run([path, "-c", ""], capture_output=True).returncode == 0:
                found.setdefault(name, path)
    return list(found.values())


def test_another_python(cluster: Cluster) -> None:
    """Functions do not travel, which is said; code and plain values do."""
    pythons = other_pythons()
    if not pythons:
        pytest.skip("there is no other Python from 3.11 on")
    code = f"""
import platform
import ippmpi
c = ippmpi.connect({cluster.connection_file!r})
c.echo = False
def echo(x=None): return x
executor = c.executor()
for call in (lambda: c[0].apply(echo, 1), lambda: c[:].apply_async(echo, 1),
             lambda: executor.submit(echo, 1), lambda: executor.map(echo, [1]),
             lambda: c[0].push(other_pythons={{1}}), lambda: c[:].reduce("other_pythons", max)):
    try:
        call()
    except ippmpi.PythonVersionError as error:
        assert {platform.python_version()!r} in str(error), error
        assert platform.python_version() in str(error), error
        assert "execute() and run() send source code" in str(error), error
    else:
        raise AssertionError("it was sent")
executor.shutdown()
assert c[0].execute("6 * 7").value_text == "42"
c[:].push(other_number=3, other_text="zwei")
assert list(c[0].pull("other_number", "other_text")) == [3, "zwei"]
assert c[:].reduce("other_number") == 3 * len(c)
c.close()
print("fine")
"""
    for python in pythons:
        done = subprocess.run([python, "-c", code], env=environment(), stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stdout) == (0, "fine\n"), f"{python}: {done.stderr}"

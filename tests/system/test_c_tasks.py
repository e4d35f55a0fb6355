# SPDX-License-Identifier: BSD-3-Clause
"""An application that waits for clients, whose tasks they run by name: examples/prime_server.c."""
from __future__ import annotations

import os
import signal
import struct
from concurrent.futures import CancelledError
from typing import Any, Iterator

import pytest
from ipyparallel import error

import remote
from cluster import Cluster, under_engines
from ippmpi_client import ippmpi
from procs import wait_until
from steer_cli import FAILED, start, steer

pytestmark = pytest.mark.ours_only("there are no C tasks in the original")
ENGINES = 3
NEVER_DONE = 10**15


def span(first: int, end: int) -> bytes:
    return struct.pack("2q", first, end)


def primes(c: Any, first: int, end: int, **wants: Any) -> int:
    (count,) = struct.unpack("q", c.task("count", span(first, end), **wants).result(30))
    return count


def running(c: Cluster) -> int:
    return steer(c, "status", "--json").json()["tasks"]


@pytest.fixture(scope="module")
def server() -> Iterator[Cluster]:
    with under_engines(ENGINES, application="examples/prime_server") as own:
        yield own


@pytest.fixture
def c(server: Cluster) -> Iterator[Any]:
    with ippmpi.connect(server.connection_file) as client:
        yield client


def test_results(c: Any) -> None:
    tasks = [c.task("count", span(i * 1000, (i + 1) * 1000)) for i in range(100)]
    assert sum(struct.unpack("q", task.result(30))[0] for task in tasks) == 9592
    assert [primes(c, 0, 1000, width=width) for width in (1, 2, 3)] == [168] * 3
    assert [primes(c, 0, 100, targets=engine) for engine in range(ENGINES)] == [25] * ENGINES
    assert primes(c, 0, 100, retries=2, priority=5) == 25


def test_what_cannot_be(c: Any) -> None:
    with pytest.raises(ippmpi.RemoteError, match="no task is called 'sum'; there are: count") as told:
        c.task("sum").result(20)
    assert told.value.ename == "KeyError"
    with pytest.raises(ippmpi.RemoteError, match="count returned 22") as told:
        c.task("count", b"three").result(20)
    assert told.value.ename == "TaskFailed"
    for name in ("x" * 63 + "é", "é" * 1000, "", "\0"):
        with pytest.raises(ippmpi.RemoteError, match="no task is called"):
            c.task(name, retries=2).result(20)
    for width in (ENGINES + 1, 10**9, 10**18):
        with pytest.raises(ValueError, match="more engines at once than there are"):
            primes(c, 0, 10, width=width)
    with pytest.raises(ValueError, match="width is 0"):
        c.task("count", width=0)
    with pytest.raises(ippmpi.RemoteError, match="run C tasks, and no Python"):
        c[0].apply(pow, 2, 10)
    with pytest.raises(ippmpi.RemoteError, match="run C tasks, and no Python"):
        with c.executor() as executor:
            executor.submit(pow, 2, 10).result(20)
    assert primes(c, 0, 10) == 4


def test_engines_of_python_have_none(cluster: Cluster) -> None:
    with ippmpi.connect(cluster.connection_file) as c:
        with pytest.raises(ippmpi.RemoteError, match="run Python, and no C tasks"):
            c.task("count", span(0, 10)).result(20)
        assert c[0].apply(pow, 2, 10) == 1024


@pytest.mark.parametrize("width", [1, ENGINES])
def test_cancelling(c: Any, server: Cluster, width: int) -> None:
    """What runs hears of it, on all of its engines; what waits is taken off the queue."""
    tasks = [c.task("count", span(0, NEVER_DONE), width=width, retries=3) for _ in range(4)]
    wait_until(lambda: running(server) > 0, 20, "one runs")
    assert all(task.cancel() for task in tasks)
    wait_until(lambda: running(server) == 0, 20, "none runs any more")
    with pytest.raises(CancelledError):
        tasks[0].result(0)
    assert primes(c, 0, 100, width=ENGINES) == 25


def test_interrupt(c: Any, server: Cluster) -> None:
    task = c.task("count", span(0, NEVER_DONE), width=2)
    wait_until(lambda: running(server) > 0, 20, "it runs")
    c[:].interrupt()
    with pytest.raises(ippmpi.AbortedError):
        task.result(20)


def test_stock_client_is_told(server: Cluster) -> None:
    rc = server.client()
    with pytest.raises(error.RemoteError, match="run C tasks, and no Python"):
        rc.load_balanced_view().apply_async(remote.echo, 1).get(20)
    server.drop(rc)


def test_terminal(server: Cluster, tmp_path: Any) -> None:
    given, result = tmp_path / "given", tmp_path / "result"
    given.write_bytes(span(0, 1000))
    steer(server, "task", "count", str(given), "-o", str(result))
    assert struct.unpack("q", result.read_bytes()) == (168,)
    told = steer(server, "task", "count", str(given), "--json").json()
    assert (told["status"], told["size"]) == ("ok", 8)
    assert "no task is called 'x'; there are: count" in steer(server, "task", "x", code=FAILED).err
    told = steer(server, "task", "count", "--json", code=FAILED).json()
    assert (told["ename"], told["evalue"]) == ("TaskFailed", "count returned 22")
    assert "C tasks" in steer(server, "status").out


def test_ctrl_c(server: Cluster, tmp_path: Any) -> None:
    given = tmp_path / "given"
    given.write_bytes(span(0, NEVER_DONE))
    child = start(server, "task", "count", str(given))
    wait_until(lambda: running(server) == 1, 20, "it runs")
    child.send_signal(signal.SIGINT)
    _, said = child.communicate(timeout=20)
    assert child.returncode == FAILED and "interrupting the engines" in said
    wait_until(lambda: running(server) == 0, 20, "it has ended")


def test_death() -> None:
    """Of one that runs it with others: those are told, and all but the one that waits for its part
    inside MPI go on."""
    with under_engines(4, check=False, application="examples/prime_server") as own:
        with ippmpi.connect(own.connection_file) as c:
            lost = c.task("count", span(0, NEVER_DONE), width=4)
            wait_until(lambda: running(own) > 0, 20, "it runs")
            os.kill(own.ranks()[3], signal.SIGKILL)
            with pytest.raises(ippmpi.EngineError):
                lost.result(20)
            assert primes(c, 0, 100) == 25

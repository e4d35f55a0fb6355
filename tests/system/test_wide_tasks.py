# SPDX-License-Identifier: BSD-3-Clause
"""Python tasks that several engines run at once, with a communicator of their own."""
from __future__ import annotations

import collections
import os
import signal
from typing import Any, Iterator

import numpy as np
import pytest
from ipyparallel import interactive

from cluster import Cluster, under_engines
from conftest import Gate
from ipp_cluster import MPI
from ippmpi_client import ippmpi
from procs import wait_until
from remote import echo, pass_gate
from steer_cli import steer

pytestmark = pytest.mark.ours_only("tasks of the original run on one engine")
with_mpi4py = pytest.mark.skipif(MPI == "mpich", reason="Debian's mpi4py is built for Open MPI")


@interactive
def who(folder: str, x: Any) -> Any:
    """Says in a file of its own that this engine ran it."""
    import os

    with open(os.path.join(folder, f"{x}-{os.getpid()}"), "x"):
        return x


@interactive
def fail_on_others(path: str) -> str:
    """Fails but where it is run first."""
    import os

    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        raise ValueError("not here") from None
    return "here"


@interactive
def add_ranks(array: Any) -> Any:
    from ippmpi.engine import task_comm

    comm = task_comm()
    total = array.copy()
    comm.Allreduce(array * (comm.rank + 1), total)
    return comm.size, total


@interactive
def wait_for_interrupt(folder: str) -> None:
    import os
    import time

    with open(os.path.join(folder, str(os.getpid())), "x"):
        pass
    time.sleep(60)


@pytest.fixture
def c(cluster: Cluster) -> Iterator[Any]:
    with ippmpi.connect(cluster.connection_file) as client:
        client.echo = False
        yield client


def test_each_runs_on_so_many_engines(c: Any, tmp_path: Any) -> None:
    with c.executor() as narrow, c.executor(width=2) as pairs, c.executor([0, 1, 3], width=3) as three:
        futures = [each.submit(who, str(tmp_path), f"{i}{name}")
                   for i in range(20)
                   for name, each in (("a", narrow), ("b", pairs), ("c", three))]
        assert [future.result(30)[-1] for future in futures] == ["a", "b", "c"] * 20
    ran = collections.Counter(path.name.partition("-")[0] for path in tmp_path.iterdir())
    assert all(count == " abc".index(name[-1]) for name, count in ran.items()) and len(ran) == 60


def test_map_and_keywords(c: Any) -> None:
    with c.executor(width=2) as executor:
        assert list(executor.map(echo, range(10))) == list(range(10))
        assert executor.submit(int, "12", base=3).result(20) == 5


def test_one_that_fails_is_enough(c: Any, tmp_path: Any) -> None:
    with c.executor(width=4) as executor:
        with pytest.raises(ippmpi.RemoteError, match="not here") as told:
            executor.submit(fail_on_others, str(tmp_path / "first")).result(20)
        assert told.value.ename == "ValueError" and told.value.traceback
        assert executor.submit(echo, 5).result(20) == 5
    with c.executor(width=4, retries=1) as executor:
        with pytest.raises(ippmpi.RemoteError, match="not here"):
            executor.submit(fail_on_others, str(tmp_path / "second")).result(20)


def test_too_wide(c: Any) -> None:
    with c.executor(width=5) as executor:
        with pytest.raises(ValueError, match="more engines at once than there are"):
            executor.submit(echo, 5).result(20)
    with c.executor([0, 1], width=3) as executor:
        with pytest.raises(ValueError, match="more engines at once than there are"):
            executor.submit(echo, 5).result(20)
    with pytest.raises(ValueError, match="width is -1"):
        c.executor(width=-1)


@with_mpi4py
def test_communicator(c: Any) -> None:
    """Of small tasks, and of those that the bridge keeps until their engines are known."""
    for count in (10, 300_000):
        array = np.arange(float(count))
        with c.executor(width=3) as executor:
            for future in [executor.submit(add_ranks, array) for _ in range(5)]:
                size, total = future.result(30)
                assert size == 3 and np.array_equal(total, 6 * array)
    size, total = c[0].apply(add_ranks, np.ones(3))
    assert size == 1 and list(total) == [1, 1, 1]


def test_interrupting_reaches_all(c: Any, cluster: Cluster, tmp_path: Any) -> None:
    with c.executor(width=4) as executor:
        future = executor.submit(wait_for_interrupt, str(tmp_path))
        wait_until(lambda: len(list(tmp_path.iterdir())) == 4, 20, "all of them run it")
        steer(cluster, "interrupt")
        with pytest.raises(ippmpi.RemoteError, match="KeyboardInterrupt"):
            future.result(20)
        assert executor.submit(echo, 1).result(20) == 1


def test_explained(c: Any, cluster: Cluster, gate: Gate) -> None:
    with c.executor("0-2", width=3) as three, c.executor(width=4) as four, c.executor() as one:
        future = three.submit(pass_gate, gate.path, 7)
        wait_until(lambda: steer(cluster, "status", "--json").json()["tasks"] == 1, 20, "it runs")
        (task,) = steer(cluster, "tasks", "--json").json()["engines"]["0"]["tasks"]
        why = steer(cluster, "tasks", "--explain", task, "--json").json()
        assert (why["state"], why["width"]) == ("assigned", 3)
        wide = four.submit(echo, 8)
        wait_until(lambda: steer(cluster, "status", "--json").json()["unassigned"] == 1, 20, "it waits")
        narrow = one.submit(echo, 9)
        told: dict[str, dict[str, Any]] = {}

        def both_are_known() -> bool:
            for id in steer(cluster, "tasks", "--json").json()["unassigned"]:
                why = steer(cluster, "tasks", "--explain", id, "--json").json()
                told[why["state"]] = {"id": id, **why}
            return len(told) == 2

        wait_until(both_are_known, 20, "two wait")
        assert told["waiting"]["gathering"] == told["gathering"]["id"] and told["waiting"]["width"] == 1
        counted = [told["waiting"][key] for key in ("engines", "busy", "kept", "equal", "more_urgent")]
        assert counted == [4, 3, 1, 1, 0]
        text = steer(cluster, "tasks", "--explain", told["waiting"]["id"]).out
        assert f"engines are gathered for {told['gathering']['id']}" in text
        gate.open()
        assert [each.result(20) for each in (future, wide, narrow)] == [7, 8, 9]


def test_beside_collective_requests(c: Any) -> None:
    """Both want several engines at once, and come to all of them in one order."""
    c[:].push(n=1)
    with c.executor(width=2) as pairs, c.executor(width=3) as three:
        for i in range(40):
            futures = [pairs.submit(echo, i), three.submit(echo, i)]
            reduced = c[:].reduce_async("n", "sum")
            futures += [pairs.submit(echo, i), three.submit(echo, i)]
            assert [future.result(30) for future in futures] == [i] * 4 and reduced.result(30) == 4


def test_deaths_and_shutdowns_at_any_moment() -> None:
    """Every task has an answer, and those who are left go on."""
    with under_engines(6, check=False) as own, ippmpi.connect(own.connection_file) as c:
        with c.executor(width=3, retries=9) as again, c.executor(width=2) as once:
            ends = [lambda: os.kill(own.ranks()[2], signal.SIGKILL),
                    lambda: steer(own, "kill", "--on", "1"),
                    lambda: os.kill(own.ranks()[5], signal.SIGKILL)]
            for end in ends:
                sure = [again.submit(echo, i) for i in range(60)]
                others = [once.submit(echo, i) for i in range(60)]
                wait_until(lambda: sure[10].done(), 30, "some have run")
                end()
                assert [future.result(60) for future in sure] == list(range(60))
                for i, future in enumerate(others):
                    failed = future.exception(60)
                    assert failed is None and future.result() == i or isinstance(failed, ippmpi.EngineError)
            wait_until(lambda: len(c) == 3, 20, "three are left")
            assert again.submit(echo, 1).result(30) == 1


def test_death_of_one(gate: Gate) -> None:
    with under_engines(4, check=False) as own, ippmpi.connect(own.connection_file) as c:
        with c.executor(width=3) as three, c.executor(width=2, retries=1) as again:
            lost = three.submit(pass_gate, gate.path, 1)
            wait_until(lambda: steer(own, "status", "--json").json()["tasks"] == 1, 20, "it runs")
            queues = steer(own, "tasks", "--json").json()["engines"]
            (busy,) = [int(engine) for engine in queues if queues[engine]["tasks"]]
            waits = again.submit(pass_gate, gate.path, 2)
            os.kill(own.ranks()[busy + 2], signal.SIGKILL)
            with pytest.raises(ippmpi.EngineError):
                lost.result(20)
            gate.open()
            assert waits.result(20) == 2
            assert three.submit(echo, 3).result(20) == 3

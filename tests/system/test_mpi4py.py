# SPDX-License-Identifier: BSD-3-Clause
"""mpi4py in engines: COMM_WORLD is the engines' world, and waiting in MPI stops nobody."""
from __future__ import annotations

import os
import signal
from typing import Any

import pytest
from ipyparallel import Client, error, interactive

import remote
from cluster import under_engines
from ipp_cluster import MPI

pytestmark = [
    pytest.mark.ours_only("the original's engines are not started by MPI here"),
    pytest.mark.skipif(MPI == "mpich", reason="Debian's mpi4py is built for Open MPI"),
]


def test_world(rc: Client) -> None:
    @interactive
    def world():
        from mpi4py import MPI

        return MPI.COMM_WORLD.Get_rank(), MPI.COMM_WORLD.Get_size()

    assert rc[:].apply_async(world).get(30) == [(engine, 4) for engine in range(4)]


def test_allreduce_in_executed_code(rc: Client) -> None:
    code = (
        "from mpi4py import MPI\nimport numpy as np\ncomm = MPI.COMM_WORLD\n"
        "total = np.zeros(1)\ncomm.Allreduce(np.array([float(comm.rank)]), total)\nprint(total[0])"
    )
    result = rc[:].execute(code, silent=False, block=False)
    result.get(30)
    assert result.wait_for_output(20)
    assert list(result.stdout) == ["6.0\n"] * 4
    assert rc[:].apply_sync(remote.echo, 1) == [1] * 4


def test_communicators_of_their_own(rc: Client) -> None:
    @interactive
    def split():
        from mpi4py import MPI

        half = MPI.COMM_WORLD.Split(MPI.COMM_WORLD.rank % 2)
        value = half.allreduce(MPI.COMM_WORLD.rank)
        half.Free()
        return value

    assert rc[:].apply_async(split).get(30) == [2, 4, 2, 4]


def test_large_messages_beside_our_own_traffic(rc: Client) -> None:
    @interactive
    def exchange(block):
        import numpy as np
        from mpi4py import MPI

        comm = MPI.COMM_WORLD
        mine = np.full(2_000_000, comm.rank)
        theirs = np.empty_like(mine)
        for _ in range(5):
            comm.Sendrecv(
                mine,
                (comm.rank + 1) % comm.size,
                recvbuf=theirs,
                source=(comm.rank - 1) % comm.size,
            )
        return int(theirs[0]), len(block)

    result = rc[:].apply_async(exchange, bytes(5_000_000))
    assert result.get(40) == [((engine - 1) % 4, 5_000_000) for engine in range(4)]


def test_engine_blocked_in_recv(rc: Client, soon: Any) -> None:
    """It still streams what was printed, takes in the next request, and tells its queue."""

    @interactive
    def blocked():
        from mpi4py import MPI

        print("before Recv")
        return MPI.COMM_WORLD.recv(source=0, tag=77)

    @interactive
    def send():
        from mpi4py import MPI

        MPI.COMM_WORLD.send("through MPI", dest=2, tag=77)

    result = rc[2].apply_async(blocked)
    soon(lambda: result.stdout == "before Recv\n", 20, "output of a blocked engine")
    behind = rc[2].apply_async(remote.echo, "behind")
    soon(lambda: rc.queue_status(2)["queue"] == 2, 20, "two requests in the queue")
    aborted = rc[2].apply_async(remote.echo, "aborted")
    rc.abort(aborted, targets=2, block=True)
    assert rc[3].apply_async(remote.echo, 3).get(20) == 3
    rc[0].apply_sync(send)
    assert result.get(20) == "through MPI" and behind.get(20) == "behind"
    with pytest.raises(error.TaskAborted):
        aborted.get(20)


def test_finalize_is_not_the_users(rc: Client) -> None:
    @interactive
    def initialized():
        from mpi4py import MPI

        return MPI.Is_initialized(), MPI.Is_finalized(), MPI.Query_thread() == MPI.THREAD_MULTIPLE

    assert rc[:].apply_async(initialized).get(20) == [(True, False, True)] * 4


@pytest.mark.limit(120)
def test_collectives_of_the_survivors(soon: Any) -> None:
    """The engines' communicator is rebuilt without the dead, and user code sees it from its next request on."""

    @interactive
    def total():
        from mpi4py import MPI

        return MPI.COMM_WORLD.size, MPI.COMM_WORLD.allreduce(1)

    with under_engines(3) as cluster:
        rc = cluster.client()
        assert rc[:].apply_async(total).get(30) == [(3, 3)] * 3
        os.kill(rc[1].apply_async(remote.getpid).get(20), signal.SIGKILL)
        soon(lambda: rc.ids == [0, 2], 20, "engine 1 unregistered")

        @interactive
        def size():
            from mpi4py import MPI

            return MPI.COMM_WORLD.size

        soon(lambda: rc[[0, 2]].apply_async(size).get(20) == [2, 2], 20, "the new communicator")
        assert rc[[0, 2]].apply_async(total).get(30) == [(2, 2)] * 2

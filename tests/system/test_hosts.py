# SPDX-License-Identifier: BSD-3-Clause
"""A job that spans two hosts (network namespaces): bells by UDP, lifelines by TCP, a host that falls silent."""
from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from typing import Any, Iterator

import pytest

import procs
from ipp_cluster import MPI, IppCluster
from ippmpi_client import changed_file, environment

TESTBED = os.path.join(os.path.dirname(os.path.abspath(__file__)), "hosts_testbed")
NETWORK = "10.78.0.0/24"
ENGINES_HERE = 2  # on the first host, beside bridge and balancer; four on the second


def hosts(*words: str) -> None:
    subprocess.run([TESTBED, *words], check=True, timeout=30)


def _can_make_hosts() -> bool:
    if os.geteuid() != 0 or shutil.which("ip") is None:
        return False
    made = subprocess.run(["ip", "netns", "add", "ipphprobe"], capture_output=True, timeout=10)
    if made.returncode != 0:
        return False
    entered = subprocess.run(["ip", "netns", "exec", "ipphprobe", "true"], capture_output=True, timeout=10)
    subprocess.run(["ip", "netns", "delete", "ipphprobe"], check=True, timeout=10)
    return entered.returncode == 0  # not so in a chroot whose root is no mount point


pytestmark = [
    pytest.mark.ours_only("how our ranks talk"),
    pytest.mark.skipif(MPI != "openmpi", reason="the launch agent is Open MPI's"),
    pytest.mark.skipif(not _can_make_hosts(), reason="needs root, iproute2 and network namespaces"),
    pytest.mark.limit(120),
]


class SpanningCluster(IppCluster):
    """Six engines on two hosts."""

    def spawn(self, argv: Any, **options: Any) -> Any:
        variables = ("IPYTHONDIR", "TMPDIR", procs.MARK, "PATH", "IPPMPI_PYTHON")
        exports = [word for name in variables if name in self.env for word in ("-x", name)]
        mca = {
            "plm_rsh_agent": f"{TESTBED} agent",
            "btl": "tcp,self",
            "btl_tcp_if_include": NETWORK,
            "oob_tcp_if_include": NETWORK,
        }
        settings = [word for key, value in mca.items() for word in ("--mca", key, value)]
        where = ["--host", "10.78.0.1:4,10.78.0.2:4"]
        return super().spawn(
            [TESTBED, "run", "1", argv[0], *settings, *where, *exports, *argv[1:]], **options
        )


@pytest.fixture
def spanning() -> Iterator[SpanningCluster]:
    hosts("down")
    hosts("up", "2")
    cluster = SpanningCluster(6, args=["--ip", "10.78.0.1"])
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop(check=False)
        hosts("down")


class FirstHostCluster(IppCluster):
    """All of it on the first host."""

    def spawn(self, argv: Any, **options: Any) -> Any:
        return super().spawn([TESTBED, "run", "1", *argv], **options)


@pytest.fixture
def distant() -> Iterator[FirstHostCluster]:
    hosts("down")
    hosts("up", "2")
    cluster = FirstHostCluster(2, args=["--ip", "10.78.0.1", "--log-level", "info"])
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop(check=False)
        hosts("down")


def client_on_first_host(cluster: SpanningCluster, code: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [TESTBED, "run", "1", sys.executable, "-W", "ignore", "-c", code, cluster.connection_file],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "LC_ALL": "C.UTF-8"},
    )


def lines_of(client: subprocess.Popen[str], said: str = "") -> list[str]:
    """What a client prints to its end, after it was told `said`."""
    try:
        out, err = client.communicate(said, timeout=90)
    finally:
        client.kill()
    assert client.returncode == 0, err
    return out.splitlines()


BOTH = """
import sys, numpy as np, ipyparallel
rc = ipyparallel.Client(sys.argv[1])
def where():
    import socket
    from mpi4py import MPI
    return socket.gethostname(), MPI.COMM_WORLD.allreduce(1)
print(rc[:].apply_sync(where))
a = np.arange(5_000_000.0)
rc.broadcast_view().push(dict(a=a), block=True)
print([bool((b == a).all()) for b in rc[:].pull("a", block=True)])
"""


def test_both_hosts_work(spanning: SpanningCluster) -> None:
    seen, arrays = lines_of(client_on_first_host(spanning, BOTH))
    assert seen == str([("ipph1", 6)] * ENGINES_HERE + [("ipph2", 6)] * 4)
    assert arrays == str([True] * 6)


SILENT = """
import sys, ipyparallel
rc = ipyparallel.Client(sys.argv[1])
def pause():
    import time
    time.sleep(600)
held = rc[5].apply_async(pause)
rc[5].execute("pass", block=False)
print("pausing", flush=True)
sys.stdin.readline()
try:
    held.get(60)
except ipyparallel.error.RemoteError as lost:
    print(lost.ename)
print(rc[:2].apply_sync(lambda: "alive"))
"""


def test_a_host_falls_silent(spanning: SpanningCluster) -> None:
    """No word of its end reaches anybody: TCP keepalive finds out, and the others go on."""
    client = client_on_first_host(spanning, SILENT)
    assert client.stdout is not None and client.stdout.readline() == "pausing\n"
    hosts("cut", "2")
    ename, others = lines_of(client, "cut\n")
    assert ename == "EngineError"
    assert others == str(["alive"] * ENGINES_HERE)
    hosts("mend", "2")  # those given up for dead find the bridge gone and leave


STEERING = """
import os, sys, ippmpi
c = ippmpi.connect(sys.argv[1])
folder, gate = sys.argv[2:]
def work(i):
    import os, time
    while i >= 5000 and not os.path.exists(gate):
        time.sleep(0.005)
    with open(os.path.join(folder, str(os.getpid())), "a") as file:
        file.write(f"{i}\\n")
    return i
with c.executor() as executor:
    futures = [executor.submit(work, i) for i in range(10_000)]
    futures[1000].result()
    print("on its way", flush=True)
    print([future.result() for future in futures] == list(range(10_000)))
"""


@pytest.mark.parametrize("seconds", [2, 20])
def test_every_answer_once_through_a_network_that_loses_all(
    distant: FirstHostCluster, gate: Any, tmp_path: Any, seconds: float
) -> None:
    """Nobody is told. 2 s: TCP sends again. 20 s: the client makes a new connection, while the bridge
    has still got the old one."""
    ran = tmp_path / "ran"
    ran.mkdir()
    path = changed_file(distant, "tcp.json", ipc="")
    client = subprocess.Popen(
        [TESTBED, "run", "2", sys.executable, "-c", STEERING, path, str(ran), gate.path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    try:
        assert client.stdout is not None and client.stdout.readline() == "on its way\n"
        hosts("cut", "2")
        gate.open()  # what ends now has its answer lost
        time.sleep(seconds)
        hosts("mend", "2")
    finally:
        lines = lines_of(client)
    assert lines == ["True"]
    numbers = [int(line) for file in ran.iterdir() for line in file.read_text().splitlines()]
    assert sorted(numbers) == list(range(10_000))
    assert ("owner (owner, 10.78.0.2) is back" in distant.log()) == (seconds > 15)

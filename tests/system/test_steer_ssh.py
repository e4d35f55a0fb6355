# SPDX-License-Identifier: BSD-3-Clause
"""libippsteer through ssh://: a real sshd, tunnels that break, logins that fail."""
from __future__ import annotations

import errno
import getpass
import json
import os
import signal
import socket
import subprocess
import tempfile
from typing import Any, Iterator

import pytest
from ipyparallel import interactive

import procs
from cluster import Cluster
from ippmpi_client import ippmpi
from sshd import SSHD, Sshd
from steer_cli import environment, ipp_steer, steer
from steer_client import OK, Steer, SteerError

pytestmark = [
    pytest.mark.ours_only("the steering socket is ours alone"),
    pytest.mark.skipif(SSHD is None, reason="no sshd is installed"),
]


@pytest.fixture
def sshd(cluster: Cluster, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sshd]:
    """The cluster's profile is the far side's; nothing of it is known on the near side."""
    made = Sshd(str(tmp_path), {"IPYTHONDIR": cluster.ipython_dir})
    monkeypatch.setenv("PATH", made.path)
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "nothing"))
    with tempfile.TemporaryDirectory(prefix="ipp-", dir="/tmp") as short:  # tmp_path is too long
        monkeypatch.setenv("TMPDIR", short)
        with made.running():
            yield made
        assert os.listdir(short) == [], "the tunnel's folder is left"
    assert not tunnels(), "ssh is left"


def tunnels() -> list[int]:
    """Our children that are ssh."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat") as file:
                text = file.read()
        except OSError:
            continue
        comm, fields = text[text.index("(") + 1:text.rindex(")")], text[text.rindex(")"):].split()
        if comm == "ssh" and int(fields[2]) == os.getpid():
            found.append(int(name))
    return found


def test_tunnel(cluster: Cluster, sshd: Sshd) -> None:
    with Steer(sshd.url(), timeout_ms=0) as steer:
        assert len(steer.engines()) == cluster.n
        assert {status for _, status, _ in steer.execute("pass").answers()} == {OK}
        assert len(tunnels()) == 1


@pytest.mark.parametrize("length", [60, 72, 73, 90, 500])
def test_any_folder_for_temporary_files(
    sshd: Sshd, tmp_path: Any, monkeypatch: pytest.MonkeyPatch, length: int
) -> None:
    """Those of batch systems are long; a socket's name is not."""
    with tempfile.TemporaryDirectory(prefix="ipp-", dir="/tmp") as short:
        folder = short + "/" + "x" * 40 + "/" + "y" * 200 + "/" + "z" * 250
        folder = folder[:length].rstrip("/")
        os.makedirs(folder, exist_ok=True)
        monkeypatch.setenv("TMPDIR", folder)
        with Steer(sshd.url()) as steer:
            inside = os.listdir(folder)
            assert bool(inside) == (len(folder) <= 72)
            assert [status for _, status, _ in steer.execute("pass", "0").answers()] == [OK]
            os.kill(tunnels()[0], signal.SIGKILL)
            assert [status for _, status, _ in steer.execute("pass", "0").answers()] == [OK]
        assert os.listdir(folder) == []


def test_tunnel_that_breaks_is_made_again(sshd: Sshd) -> None:
    with Steer(sshd.url()) as steer:
        futures = []
        for i in range(500):
            futures.append(steer.execute("pass", "0"))
            if i in (100, 300):
                (pid,) = tunnels()
                os.kill(pid, signal.SIGKILL)
                procs.wait_until(lambda: steer.progress(20) is not None and tunnels() != [pid], 20,
                                 "another ssh runs")
                procs.wait_until(lambda: steer.progress(20) is not None and futures[-1].done(), 20,
                                 "answers come again")
        for future in futures:
            assert [status for _, status, _ in future.answers()] == [OK]


@interactive
def note(folder: str, x: int) -> int:
    """Says in a file of this engine's that it ran."""
    import os

    with open(os.path.join(folder, str(os.getpid())), "a") as file:
        file.write(f"{x}\n")
    return x


@pytest.mark.limit(120)
def test_every_answer_once_through_tunnels_that_break(sshd: Sshd, tmp_path: Any) -> None:
    count = 10_000
    ran = tmp_path / "ran"
    ran.mkdir()
    with ippmpi.connect(sshd.url(), timeout=30) as c, c.executor() as executor:
        futures = [executor.submit(note, str(ran), i) for i in range(count)]
        for share in (0.1, 0.5):
            procs.wait_until(lambda: futures[int(count * share)].done(), 60, f"{share} of it")
            (pid,) = tunnels()
            os.kill(pid, signal.SIGKILL)
            assert share > 0.1 or not futures[-1].done()
            procs.wait_until(lambda: tunnels() not in ([], [pid]), 20, "another ssh runs")
        assert [future.result(60) for future in futures] == list(range(count))
    lines = [int(line) for path in ran.iterdir() for line in path.read_text().splitlines()]
    assert sorted(lines) == list(range(count))


def test_tunnel_that_is_not_let_in_again(sshd: Sshd) -> None:
    with Steer(sshd.url()) as steer:
        sshd.refuse_all()
        os.kill(tunnels()[0], signal.SIGKILL)
        with pytest.raises(SteerError, match="not let in again.*Permission denied") as caught:
            while True:
                steer.progress(20000)
        assert caught.value.errno == errno.ECONNRESET


@pytest.fixture
def guest(cluster: Cluster, tmp_path: Any) -> Iterator[str]:
    """An invitation, far from the cluster; it names the cluster's loopback address alone."""
    path = str(tmp_path / "ippmpi-guest.json")
    told = steer(cluster, "invite", "guest", "--role", "operator", "-o", path, "--json").json()
    assert told["interface"].startswith("tcp://127.") and told["ssh"] == socket.gethostname()
    yield path
    steer(cluster, "invite", "--revoke", "guest")


def test_an_invitation_through_ssh(cluster: Cluster, sshd: Sshd, guest: str) -> None:
    with Steer(sshd.url(guest)) as client:
        assert client.about()["role"] == "operator" and client.about()["name"] == "guest"
        assert {status for _, status, _ in client.execute("pass").answers()} == {OK}
        (pid,) = tunnels()
        os.kill(pid, signal.SIGKILL)
        procs.wait_until(lambda: client.progress(20) is not None and tunnels() not in ([pid], []), 20,
                         "another ssh runs")
        assert {status for _, status, _ in client.execute("pass").answers()} == {OK}


def test_an_invitation_that_is_not_there(sshd: Sshd) -> None:
    with pytest.raises(SteerError, match="no-such.json") as caught:
        Steer(sshd.url("/no-such.json"))
    assert caught.value.errno == errno.ENOENT


def test_ipp_steer_with_an_invitation_through_ssh(cluster: Cluster, sshd: Sshd, guest: str) -> None:
    """Neither the far profile nor the cluster's own address is of use: a connection file of another
    host, a far side without profiles."""
    login = f"{getpass.getuser()}@127.0.0.1:{sshd.port}"
    for file, cwd in ((guest, "/"), ("ippmpi-guest.json", os.path.dirname(guest))):
        done = subprocess.run(
            [ipp_steer(), "--ssh", login, "--connection-file", file, "status", "--json"],
            env={**environment(cluster), "PATH": sshd.path}, text=True, capture_output=True,
            timeout=60, stdin=subprocess.DEVNULL, cwd=cwd)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["name"] == "guest"


def test_no_such_cluster(sshd: Sshd) -> None:
    with pytest.raises(SteerError, match="ipcontroller-nobody's-client.json: no such file") as caught:
        Steer(sshd.url("nobody's"))
    assert caught.value.errno == errno.ENOENT


def test_login_that_fails(sshd: Sshd) -> None:
    sshd.refuse_all()
    with pytest.raises(SteerError, match="Permission denied") as caught:
        Steer(sshd.url())
    assert caught.value.errno == errno.EHOSTUNREACH


def test_nobody_listens(sshd: Sshd) -> None:
    sshd.port = Sshd._free_port()
    with pytest.raises(SteerError, match="Connection refused") as caught:
        Steer(sshd.url())
    assert caught.value.errno == errno.EHOSTUNREACH

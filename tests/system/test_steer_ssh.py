# SPDX-License-Identifier: BSD-3-Clause
"""libippsteer through ssh://: a real sshd, tunnels that break, logins that fail."""
from __future__ import annotations

import errno
import os
import signal
from typing import Any, Iterator

import pytest

import procs
from cluster import Cluster
from sshd import SSHD, Sshd
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
    monkeypatch.setenv("TMPDIR", str(tmp_path / "t"))
    os.mkdir(tmp_path / "t")
    with made.running():
        yield made
    assert os.listdir(tmp_path / "t") == [], "the tunnel's folder is left"
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


def test_tunnel_that_is_not_let_in_again(sshd: Sshd) -> None:
    with Steer(sshd.url()) as steer:
        sshd.refuse_all()
        os.kill(tunnels()[0], signal.SIGKILL)
        with pytest.raises(SteerError, match="not let in again.*Permission denied") as caught:
            while True:
                steer.progress(20000)
        assert caught.value.errno == errno.ECONNRESET


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

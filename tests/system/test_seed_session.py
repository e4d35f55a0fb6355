# SPDX-License-Identifier: BSD-3-Clause
"""The session that the product comes from, by a client that knows nothing but IPYTHONDIR."""
from __future__ import annotations

import subprocess
from textwrap import dedent

import pytest

from cluster import Cluster, python, under_engines

SEED = dedent(
    """
    import ipyparallel
    rc = ipyparallel.Client()
    rc.block = True
    assert rc.ids == list(range({n})), rc.ids

    def mul(a, b):
        return a * b

    def summary():
        import os
        import socket
        import sys
        return {{
            "cwd": os.getcwd(),
            "Python": sys.version,
            "hostname": socket.gethostname(),
            "pid": os.getpid(),
        }}

    assert rc[0].apply(mul, 5, 6) == mul(5, 6) == 30
    here, there = summary(), rc[0].apply(summary)
    assert here["Python"] == there["Python"] and here["hostname"] == there["hostname"]
    assert here["pid"] != there["pid"]
    assert rc[:].apply(mul, 5, 6) == [30] * {n}
    assert len(dict((s["pid"], s) for s in rc[:].apply(summary))) == {n}
    products = list(map(mul, range(1, 10), range(2, 11)))
    assert list(rc[:].map(mul, range(1, 10), range(2, 11))) == products
    view = rc.load_balanced_view()
    view.block = True
    assert list(view.map(mul, range(1, 10), range(2, 11))) == products
    print("the seed's session works")
"""
)


def run_session(cluster: Cluster, text: str) -> str:
    done = subprocess.run(
        [python(), "-W", "ignore", "-c", text],
        env=cluster.env,
        text=True,
        timeout=50,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_seed_session(cluster: Cluster) -> None:
    assert "the seed's session works" in run_session(cluster, SEED.format(n=cluster.n))


def test_px_prints_from_every_engine(cluster: Cluster) -> None:
    """--no-stream: the client begins to listen after it has sent the cell, which may be too late."""
    text = dedent(
        """
        from IPython.terminal.interactiveshell import TerminalInteractiveShell
        import ipyparallel
        shell = TerminalInteractiveShell.instance(simple_prompt=True, colors="NoColor")
        rc = ipyparallel.Client()
        while not rc[0].apply_async(int).wait_for_output(0.5):  # its subscription may come late
            pass
        rc.activate()
        cell = "%%px --no-stream\\nimport os, socket\\nprint(os.getpid())\\nprint(socket.gethostname())"
        shell.run_cell(cell)
        print("pids", *rc[:].apply_sync(os_getpid))
    """
    ).replace("os_getpid", "__import__('os').getpid")
    out = run_session(cluster, text)
    pids = out.rsplit("pids", 1)[1].split()
    assert len(set(pids)) == cluster.n
    for engine, pid in enumerate(pids):
        assert f"[stdout:{engine}]" in out
        assert out.count(pid) == 2, out


@pytest.mark.ours_only("says where our connection file goes when nothing is asked")
def test_default_connection_file() -> None:
    with under_engines(2, default_file=True) as cluster:
        assert "the seed's session works" in run_session(cluster, SEED.format(n=2))


@pytest.mark.ours_only("the options --profile and --cluster-id are ours")
def test_profile_and_cluster_id() -> None:
    with under_engines(
        1, default_file=True, args=["--profile", "mpi", "--cluster-id", "two"]
    ) as cluster:
        text = SEED.format(n=1).replace("Client()", "Client(profile='mpi', cluster_id='two')")
        assert "the seed's session works" in run_session(cluster, text)

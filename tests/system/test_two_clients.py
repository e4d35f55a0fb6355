# SPDX-License-Identifier: BSD-3-Clause
"""Two clients at once do not hear each other's answers, and share the engines."""
from __future__ import annotations

import threading
from typing import Any

import numpy as np
from ipyparallel import Client

import remote
from cluster import Cluster


def test_same_engines_same_namespace(cluster: Cluster, rc: Client) -> None:
    other = cluster.client()
    assert other.ids == rc.ids and other._engines == rc._engines
    rc[:].push({"shared": 11}, block=True)
    assert other[:].pull("shared", block=True) == [11] * len(rc)
    cluster.drop(other)


def test_output_goes_to_the_one_that_asked(cluster: Cluster, rc: Client) -> None:
    other = cluster.client()
    mine = rc[:].execute("print('mine')", silent=False, block=False)
    theirs = other[:].execute("print('theirs')", silent=False, block=False)
    for result, word in ((mine, "mine\n"), (theirs, "theirs\n")):
        result.get(20)
        assert result.wait_for_output(20)
        assert list(result.stdout) == [word] * len(rc)
    cluster.drop(other)


def test_many_requests_from_both(cluster: Cluster, rc: Client) -> None:
    other = cluster.client()
    failures: list[Any] = []

    def work(client: Client, base: int) -> None:
        try:
            direct = [
                client[i % len(client)].apply_async(remote.echo, base + i) for i in range(300)
            ]
            tasks = client.load_balanced_view().map_async(remote.echo, range(base, base + 300))
            assert [r.get(40) for r in direct] == list(range(base, base + 300))
            assert list(tasks.get(40)) == list(range(base, base + 300))
            array = np.full(500_000, base)
            assert np.array_equal(client[1].apply_async(remote.echo, array).get(40), array)
        except BaseException as problem:
            failures.append(problem)

    threads = [
        threading.Thread(target=work, args=(client, base))
        for client, base in ((rc, 0), (other, 10**6))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    cluster.drop(other)


def test_one_leaves_with_requests_in_flight(cluster: Cluster, rc: Client, gate: Any) -> None:
    other = cluster.client()
    other[0].apply_async(remote.pass_gate, gate.path)
    for i in range(50):
        other[0].apply_async(remote.echo, i)
    mine = rc[0].apply_async(remote.echo, "mine")
    cluster.drop(other)
    gate.open()
    assert mine.get(20) == "mine"


def test_a_client_that_comes_and_goes(cluster: Cluster, rc: Client) -> None:
    for i in range(10):
        other = cluster.client()
        assert other[0].apply_async(remote.echo, i).get(20) == i
        cluster.drop(other)
    assert rc[:].apply_async(remote.echo, 0).get(20) == [0] * len(rc)

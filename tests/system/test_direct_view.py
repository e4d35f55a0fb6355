# SPDX-License-Identifier: BSD-3-Clause
"""DirectView: push, pull, scatter, gather, and the order of requests."""
from __future__ import annotations

import numpy as np
import pytest
from ipyparallel import Client, Reference, interactive

import remote


def test_push_and_pull(rc: Client) -> None:
    view = rc[:]
    view.push({"a": 5, "name": "x" * 5000}, block=True)
    assert view.pull("a", block=True) == [5] * len(rc)
    assert rc[1].pull(["a", "name"], block=True) == [5, "x" * 5000]
    view["b"] = [1, 2]
    rc.wait(timeout=20)
    assert rc[0]["b"] == [1, 2]


def test_arrays_arrive_unchanged(rc: Client) -> None:
    arrays = {
        "empty": np.zeros(0),
        "small": np.arange(3, dtype="i2"),
        "fortran": np.asfortranarray(np.arange(600.0).reshape(20, 30)),
        "record": np.zeros(500, dtype=[("x", "f8"), ("n", "i4")]),
        "big": np.random.default_rng(1).random((1000, 1000)),
    }
    rc[1].push(arrays, block=True)
    for name, array in arrays.items():
        back = rc[1].pull(name, block=True)
        assert back.dtype == array.dtype and np.array_equal(back, array), name


def test_many_buffers_in_one_request(rc: Client) -> None:
    parts = [np.full(2000, i) for i in range(60)]
    back = rc[2].apply_sync(remote.echo, parts)
    assert all(np.array_equal(a, b) for a, b in zip(parts, back)) and len(back) == 60


def test_received_arrays_can_be_computed_with(rc: Client) -> None:
    @interactive
    def mean(a):
        return float((a * 2).mean())

    assert rc[0].apply_sync(mean, np.ones(100_000)) == 2.0


def test_scatter_and_gather(rc: Client) -> None:
    view, data = rc[:], np.arange(1003.0)
    view.scatter("part", data, block=True)
    sizes = view.apply_sync(len, Reference("part"))
    assert sum(sizes) == 1003 and max(sizes) - min(sizes) <= 1
    assert np.array_equal(view.gather("part", block=True), data)
    view.scatter("flat", range(len(rc)), flatten=True, block=True)
    assert view.pull("flat", block=True) == list(range(len(rc)))


def test_map_keeps_order(rc: Client) -> None:
    assert list(rc[:].map_sync(remote.mul, range(50), range(50))) == [i * i for i in range(50)]


def test_requests_of_one_client_keep_their_order(rc: Client) -> None:
    @interactive
    def note(i):
        globals().setdefault("seen", []).append(i)

    view = rc[:]
    view.execute("seen = []", block=True)
    for i in range(200):
        (view if i % 2 else rc[i % len(rc)]).apply_async(note, i)
    for engine, seen in enumerate(view.pull("seen", block=True)):
        expected = [i for i in range(200) if i % 2 or i % len(rc) == engine]
        assert seen == expected, engine


def test_small_request_behind_a_large_one(rc: Client) -> None:
    view = rc[0]
    large = view.push({"large": np.ones(10_000_000)}, block=False)
    size = view.apply_async(len, Reference("large"))
    assert size.get(30) == 10_000_000
    assert large.ready()


def test_ids_and_targets(rc: Client) -> None:
    assert rc[-1].apply_sync(remote.getpid) == rc[len(rc) - 1].apply_sync(remote.getpid)
    assert len(set(rc[::2].apply_sync(remote.getpid))) == 2
    assert len(set(rc[[3, 1]].apply_sync(remote.getpid))) == 2
    pids = rc[:].apply_async(remote.getpid).get_dict(20)
    assert sorted(pids) == rc.ids


def test_thousands_in_flight(rc: Client) -> None:
    results = [rc[i % len(rc)].apply_async(remote.echo, i) for i in range(2000)]
    assert [r.get(60) for r in results] == list(range(2000))


@pytest.mark.slow
@pytest.mark.limit(300)
def test_one_gigabyte(rc: Client) -> None:
    data = np.arange(2**27, dtype="f8")
    data[-1] = -1
    rc[0].push({"data": data}, block=True)
    assert rc[0].apply_sync(len, Reference("data")) == 2**27
    back = rc[0].pull("data", block=True)
    assert np.array_equal(back, data)
    del back
    rc[0].execute("del data", block=True)


@pytest.mark.slow
@pytest.mark.limit(300)
def test_scatter_one_gigabyte(rc: Client) -> None:
    data = np.arange(2**27, dtype="f8")
    rc[:].scatter("part", data, block=True)
    back = rc[:].gather("part", block=True)
    assert np.array_equal(back, data)
    del back
    rc[:].execute("del part", block=True)


@pytest.mark.ours_only("the original sends large results while the next request runs")
def test_a_result_is_of_its_moment(rc: Client) -> None:
    """A request that follows at once does not change the answer to the one before."""
    rc[1].execute("import numpy; a = numpy.zeros(50_000_000, 'u1')", block=True)
    for _ in range(3):
        result = rc[1].pull("a", block=False)
        changed = rc[1].execute("a[:] = 1", block=False)
        assert not result.get(20).any()
        changed.get(20)
        rc[1].execute("a[:] = 0", block=True)

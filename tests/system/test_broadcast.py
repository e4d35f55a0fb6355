# SPDX-License-Identifier: BSD-3-Clause
"""BroadcastView: one message to many engines, answers apart or together."""
from __future__ import annotations

import uuid

import numpy as np
import pytest
from ipyparallel import BroadcastView, Client, Reference, error, interactive

import remote
from cluster import Cluster
from raw import RawClient

BOTH = pytest.mark.parametrize("coalescing", [False, True], ids=["apart", "together"])


def view_of(rc: Client, coalescing: bool, targets: object = "all") -> BroadcastView:
    view = rc.broadcast_view(targets)
    view.is_coalescing = coalescing
    return view


@BOTH
def test_apply(rc: Client, coalescing: bool) -> None:
    result = view_of(rc, coalescing).apply_async(remote.getpid)
    pids = result.get(20)
    assert len(set(pids)) == len(rc)
    assert set(pids) == set(rc[:].apply_sync(remote.getpid))


@BOTH
def test_results_are_in_the_order_of_the_engines(rc: Client, coalescing: bool) -> None:
    rc[:].scatter("me", rc.ids, flatten=True, block=True)
    result = view_of(rc, coalescing).apply_async(remote.echo, Reference("me"))
    values = result.get(20)
    if not coalescing:
        assert values == rc.ids
        return
    # Together: values[i] belongs to engine_id[i].
    assert sorted(values) == rc.ids and list(result.engine_id) == values


@BOTH
def test_some_targets(rc: Client, coalescing: bool) -> None:
    pids = rc[:].apply_async(remote.getpid).get_dict(20)
    got = view_of(rc, coalescing, [1, 3]).apply_async(remote.getpid).get(20)
    assert sorted(got) == sorted([pids[1], pids[3]])


@BOTH
def test_push_and_pull(rc: Client, coalescing: bool) -> None:
    view, data = view_of(rc, coalescing), np.random.default_rng(2).random(300_000)
    view.push({"data": data}, block=False).get(30)
    assert rc[:].apply_sync(len, Reference("data")) == [300_000] * len(rc)
    for back in view.pull("data", block=False).get(30):
        assert np.array_equal(back, data)


def test_errors_apart(rc: Client) -> None:
    @interactive
    def odd_fails(i):
        if i % 2:
            raise ValueError(i)
        return i

    rc[:].scatter("me", rc.ids, flatten=True, block=True)
    result = view_of(rc, False).apply_async(odd_fails, Reference("me"))
    with pytest.raises(error.CompositeError) as caught:
        result.get(20)
    assert sorted(info["engine_id"] for _, _, _, info in caught.value.elist) == [1, 3]


@pytest.mark.ours_only("the original loses errors of coalescing broadcasts")
def test_errors_together(rc: Client) -> None:
    @interactive
    def one_fails(i):
        if i == 2:
            raise ValueError("on engine two")
        return i

    rc[:].scatter("me", rc.ids, flatten=True, block=True)
    result = view_of(rc, True).apply_async(one_fails, Reference("me"))
    with pytest.raises(error.RemoteError, match="on engine two"):
        result.get(20)


@pytest.mark.ours_only("the original loses errors of coalescing broadcasts")
def test_all_errors_together(rc: Client) -> None:
    """Nothing of them is cut: not the first one's words, not the others."""

    @interactive
    def all_but_zero_fail(i):
        if i > 0:
            raise ValueError(f"on {i}: " + "\u00e4" * 3000 + "\0" + "end")

    rc[:].scatter("me", rc.ids, flatten=True, block=True)
    result = view_of(rc, True).apply_async(all_but_zero_fail, Reference("me"))
    with pytest.raises(error.RemoteError) as caught:
        result.get(20)
    said = "\u00e4" * 3000 + "\0" + "end"
    assert caught.value.ename == "ValueError" and caught.value.engine_info["engine_id"] == 1
    assert caught.value.evalue == f"on 1: {said} (and errors on 2 more of 4 engines)"
    assert caught.value.traceback.splitlines()[-2:] == [
        f"[{i}:apply]: ValueError: on {i}: {said}" for i in (2, 3)
    ]


def test_execute(rc: Client) -> None:
    view = view_of(rc, False)
    result = view.execute("print('hello'); x = 7", silent=False, block=False)
    result.get(20)
    assert result.wait_for_output(20)
    assert list(result.stdout) == ["hello\n"] * len(rc)
    assert rc[:].pull("x", block=True) == [7] * len(rc)


def test_execute_error(rc: Client) -> None:
    with pytest.raises(error.CompositeError, match="NameError"):
        view_of(rc, False).execute("nothing_of_this_name", block=False).get(20)


@BOTH
def test_in_order(rc: Client, coalescing: bool) -> None:
    view = view_of(rc, coalescing)
    view.execute("seen = []", block=True)

    @interactive
    def note(i):
        globals()["seen"].append(i)

    for result in [view.apply_async(note, i) for i in range(30)]:
        result.get(20)
    for seen in rc[:].pull("seen", block=True):
        assert seen == list(range(30))


@BOTH
@pytest.mark.slow
@pytest.mark.limit(180)
def test_hundred_megabytes(rc: Client, coalescing: bool) -> None:
    data = np.arange(100 * 2**17, dtype="f8")
    view_of(rc, coalescing).push({"data": data}, block=False).get(120)

    @interactive
    def total(a):
        return float(a.sum())

    sums = rc[:].apply_sync(total, Reference("data"))
    assert sums == [float(data.sum())] * len(rc)
    rc[:].execute("del data", block=True)


@pytest.mark.ours_only("the original loses broadcasts to engines that it does not know")
@BOTH
def test_unknown_engine(cluster: Cluster, coalescing: bool) -> None:
    """A client that believes in an engine which is not there gets its answers all the same."""
    rc = cluster.client()
    rc._engines[9] = "no-such-engine"
    rc._ids.append(9)
    result = view_of(rc, coalescing, [1, 9]).apply_async(remote.echo, 1)
    with pytest.raises(error.RemoteError, match="no-such-engine"):
        result.get(20)
    assert not set(result.msg_ids) & rc.outstanding
    cluster.drop(rc)


@pytest.mark.ours_only("the original leaves such messages to its own client")
@pytest.mark.parametrize("length", [36, 219, 220, 256, 5000])
def test_message_ids_of_any_length(cluster: Cluster, rc: Client, length: int) -> None:
    """A copy's id is the original's, whole, and the engine's uuid: engines and bridge agree on it."""
    raw = RawClient(cluster.connection_file)
    try:
        engines = raw.engines()
        msg_id = uuid.uuid4().hex.ljust(length, "m")
        metadata = {"targets": [[engines[i], i] for i in (0, 3)], "is_broadcast": True}
        frames = raw.apply_frames(remote.echo, 1, to="", metadata=metadata, msg_id=msg_id)[1:]
        raw.send("broadcast", frames)
        answers = [raw.receive("broadcast") for _ in range(2)]
        assert all(answer["content"]["status"] == "ok" for answer in answers)
        assert {answer["parent_header"]["msg_id"] for answer in answers} == {
            f"{msg_id}_{engines[i]}" for i in (0, 3)
        }
    finally:
        raw.close()

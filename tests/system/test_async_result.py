# SPDX-License-Identifier: BSD-3-Clause
"""AsyncResult: progress, waiting, time limits, and the dates in its metadata."""
from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from ipyparallel import Client, error

import remote


def test_get_with_time_limit(rc: Client, gate: Any) -> None:
    result = rc[0].apply_async(remote.pass_gate, gate.path, "value")
    with pytest.raises(TimeoutError):
        result.get(0.05)
    assert not result.ready()
    gate.open()
    assert result.get(20) == "value" and result.r == "value"


def test_ready_and_successful(rc: Client) -> None:
    good, bad = rc[0].apply_async(remote.echo, 1), rc[0].apply_async(remote.fail)
    good.wait(20)
    bad.wait(20)
    assert good.ready() and good.successful()
    assert bad.ready() and not bad.successful()


def test_progress(rc: Client, gate: Any, soon: Any) -> None:
    view = rc.load_balanced_view(targets=[0])
    quick = view.map_async(remote.echo, range(3))
    quick.get(20)
    assert quick.progress == len(quick) == 3
    held = rc[[0, 1]].map_async(remote.pass_gate, [gate.path] * 2)
    assert held.progress == 0
    gate.open()
    soon(lambda: held.progress == 2, 20, "progress 2")


def test_wait_interactive(rc: Client, capfd: Any) -> None:
    result = rc.load_balanced_view().map_async(remote.nap, [0.02] * 20)
    result.wait_interactive(interval=0.02, timeout=20)
    assert result.ready()
    assert "20/20" in "".join(capfd.readouterr())


def test_dates(rc: Client) -> None:
    result = rc[1].apply_async(remote.nap, 0.2)
    result.get(20)
    md = result.metadata
    for key in ("submitted", "started", "completed", "received"):
        assert isinstance(md[key], datetime) and md[key].tzinfo is not None, key
    assert md["submitted"] <= md["started"] < md["completed"] <= md["received"]
    assert 0.15 < result.serial_time < 5 and 0.15 < result.wall_time < 5
    assert result.elapsed == result.wall_time
    assert (md["completed"] - md["started"]).total_seconds() >= 0.19


def test_metadata(rc: Client) -> None:
    result = rc[:].apply_async(remote.echo, 1)
    result.get(20)
    assert result.engine_id == rc.ids
    assert result.engine_uuid == [rc._engines[i] for i in rc.ids]
    assert result.status == ["ok"] * len(rc)
    assert result.get_dict() == {i: 1 for i in rc.ids}


def test_serial_time_of_many(rc: Client) -> None:
    result = rc[:].map_async(remote.nap, [0.05] * 8)
    result.get(20)
    assert 0.4 <= result.serial_time < 8


def test_callbacks_and_iteration(rc: Client) -> None:
    called: list[Any] = []
    result = rc.load_balanced_view().map_async(remote.echo, range(10))
    result.add_done_callback(called.append)
    assert list(result) == list(range(10))
    result.wait(20)
    assert called == [result]


def test_client_wait_and_history(rc: Client) -> None:
    results = [rc[i].apply_async(remote.echo, i) for i in rc.ids]
    assert rc.wait(results, timeout=20)
    assert not rc.outstanding
    assert [r.msg_ids[0] for r in results] == rc.history[-len(rc) :]


@pytest.mark.ours_only("the original answers an abort only when the engine is idle again")
def test_abort_from_the_result(rc: Client, gate: Any) -> None:
    held = rc[0].apply_async(remote.pass_gate, gate.path)
    queued = rc[0].apply_async(remote.echo, 1)
    rc.abort(queued, targets=0, block=True)
    gate.open()
    held.get(20)
    with pytest.raises(error.TaskAborted):
        queued.get(20)


def test_return_exceptions(rc: Client) -> None:
    result = rc[:].apply_async(remote.fail)
    errors = result.get(20, return_exceptions=True)
    assert [e.ename for e in errors] == ["ValueError"] * len(rc)

# SPDX-License-Identifier: BSD-3-Clause
"""An engine whose main thread is stuck in C and holds the GIL is still a member of the cluster."""
from __future__ import annotations

import os
import time
from typing import Any

import pytest
from ipyparallel import Client, error, interactive

import remote

pytestmark = pytest.mark.ours_only(
    "the original's engine answers nothing while C code holds the GIL"
)
STUCK_SECONDS = 3


@interactive
def stuck(path: str, seconds: int) -> str:
    """Sleeps in C with the GIL held (ctypes.PyDLL does not give it away)."""
    import ctypes

    print("going down")
    with open(path, "w"):
        pass
    ctypes.PyDLL(None).sleep(seconds)
    return "back"


@pytest.fixture
def stuck_result(rc: Client, soon: Any, tmp_path: Any) -> Any:
    path = str(tmp_path / "stuck")
    result = rc[1].apply_async(stuck, path, STUCK_SECONDS)
    soon(lambda: os.path.exists(path), 20, "engine 1 stuck")
    return result


def test_output_is_sent(rc: Client, soon: Any, stuck_result: Any) -> None:
    soon(
        lambda: stuck_result.stdout == "going down\n", STUCK_SECONDS - 1, "output of a stuck engine"
    )
    assert not stuck_result.ready()
    assert stuck_result.get(20) == "back"


def test_requests_are_taken_in_and_aborted(rc: Client, soon: Any, stuck_result: Any) -> None:
    aborted = [rc[1].apply_async(remote.echo, bytes(100_000)) for _ in range(5)]
    kept = rc[1].apply_async(remote.echo, "kept")
    rc.abort(aborted, targets=1, block=True)
    for result in aborted:
        with pytest.raises(error.TaskAborted):
            result.get(1)
    assert rc.queue_status(1)["queue"] == 2
    assert not stuck_result.ready()
    assert kept.get(20) == "kept" and stuck_result.get(1) == "back"


def test_large_requests_do_not_wait_in_the_bridge(rc: Client, stuck_result: Any) -> None:
    """A push to a stuck engine does not hold up what goes to others."""
    large = rc[1].push({"x": bytes(50_000_000)}, block=False)
    began = time.monotonic()
    assert rc[[0, 2, 3]].apply_async(remote.echo, 1).get(20) == [1, 1, 1]
    assert time.monotonic() - began < STUCK_SECONDS - 1
    assert not stuck_result.ready()
    large.get(20)
    assert stuck_result.get(20) == "back"


def test_liveness_is_not_lost(rc: Client, stuck_result: Any) -> None:
    assert stuck_result.get(20) == "back"
    assert rc.ids == [0, 1, 2, 3]

# SPDX-License-Identifier: BSD-3-Clause
"""--idle-timeout ends a job that nobody uses, and none that is used."""
from __future__ import annotations

import time

import pytest

import remote
from cluster import under_engines

pytestmark = pytest.mark.ours_only("our option")


def test_idle_job_ends_by_itself() -> None:
    with under_engines(2, args=["--idle-timeout=2"], recovery=False) as cluster:
        began = time.monotonic()
        assert cluster.join(15) == [0]
        assert time.monotonic() - began > 1.0
        cluster.check_clean()


def test_idle_after_use() -> None:
    with under_engines(2, args=["--idle-timeout=2"], recovery=False) as cluster:
        rc = cluster.client()
        assert rc[:].apply_async(remote.echo, 1).get(20) == [1, 1]
        assert cluster.join(15) == [0]
        cluster.check_clean()


def test_busy_job_goes_on() -> None:
    with under_engines(1, args=["--idle-timeout=2"]) as cluster:
        rc = cluster.client()
        assert rc[0].apply_async(remote.nap, 4).get(20) == 4
        assert rc[0].apply_async(remote.echo, 1).get(20) == 1
        cluster.join(15)

# SPDX-License-Identifier: BSD-3-Clause
"""The original: ipcontroller and ipengines, to validate tests against and to measure beside us."""
from __future__ import annotations

import os
import signal

import procs
from cluster import Cluster, python

START_SECONDS = 60.0


class PeerCluster(Cluster):
    """ipyparallel's own controller and engines on this machine."""

    def start(self) -> None:
        self.spawn(
            [
                python(),
                "-m",
                "ipyparallel.controller",
                "--ip=127.0.0.1",
                "--log-level=30",
                *self.args,
            ]
        )
        for _ in range(self.n):
            self.spawn(
                [
                    python(),
                    "-m",
                    "ipyparallel.engine",
                    "--log-level=30",
                    "--IPEngine.wait_for_url_file=60",
                ]
            )
        procs.wait_until(
            lambda: os.path.exists(self.connection_file) or not self.alive(),
            START_SECONDS,
            "connection file of the controller",
        )
        assert self.alive(), self.log()
        rc = self.client(timeout=START_SECONDS)
        rc.wait_for_engines(self.n, timeout=START_SECONDS)
        self.drop(rc)

    def end(self) -> None:
        for child in reversed(self.children):
            if child.poll() is None:
                child.send_signal(signal.SIGTERM)
        try:
            self.join(8.0)
        except AssertionError:
            procs.kill_all(self.pids())

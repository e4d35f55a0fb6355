# SPDX-License-Identifier: BSD-3-Clause
"""ipp-steer as tests start it: once, or at a terminal of its own."""
from __future__ import annotations

import json
import os
import subprocess
from typing import Any, Mapping

import pexpect

from cluster import Cluster
from ipp_cluster import ipp_engine

SECONDS = 30.0
OK, FAILED, USAGE, NO_CONNECTION, INTERRUPTED = 0, 1, 2, 3, 130


def ipp_steer() -> str:
    """Path of the program under test."""
    return os.path.join(os.path.dirname(ipp_engine()), "ipp-steer")


def environment(cluster: Cluster, **more: str) -> dict[str, str]:
    """Of a user who has nothing but this cluster."""
    return {**cluster.env, "XDG_STATE_HOME": os.path.join(cluster.dir, "state"), **more}


class Run:
    """What a run of ipp-steer has said."""

    def __init__(self, done: subprocess.CompletedProcess[str]) -> None:
        self.code, self.out, self.err = done.returncode, done.stdout, done.stderr

    def json(self) -> Any:
        return json.loads(self.out)

    def lines(self) -> list[str]:
        return self.out.splitlines()


def command(cluster: Cluster, *args: str, file: str | None = None) -> list[str]:
    return [ipp_steer(), "--connection-file", file or cluster.connection_file, *args]


def steer(cluster: Cluster, *args: str, code: int | None = OK, text: str | None = None,
          file: str | None = None, cwd: str | None = None) -> Run:
    """Runs it to its end with `text` on standard input, and checks the exit code."""
    done = Run(subprocess.run(
        command(cluster, *args, file=file), env=environment(cluster), input=text or "",
        capture_output=True, text=True, errors="replace", timeout=SECONDS,
        cwd=cwd or cluster.dir))
    assert code is None or done.code == code, (args, done.code, done.out, done.err)
    return done


def start(cluster: Cluster, *args: str, **options: Any) -> subprocess.Popen[str]:
    """Starts it with pipes; the caller waits for it."""
    return subprocess.Popen(
        command(cluster, *args), env=environment(cluster), text=True, cwd=cluster.dir,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)


def at_terminal(cluster: Cluster, *args: str, env: Mapping[str, str] | None = None) -> pexpect.spawn:
    """Starts it at a terminal of 24 x 100 without colours."""
    full = {**environment(cluster), "TERM": "xterm", "NO_COLOR": "1", **(env or {})}
    first, *rest = command(cluster, *args)
    return pexpect.spawn(first, rest, env=full, encoding="utf-8", timeout=SECONDS,
                         dimensions=(24, 100), cwd=cluster.dir)


def unfold(text: str) -> dict[int, list[str]]:
    """{engine: lines} of folded output, which falls apart where engines are not equally fast."""
    lines: dict[int, list[str]] = {}
    for line in text.splitlines():
        label, _, rest = line[1:].partition("] ")
        for part in label.split(","):
            first, _, last = part.partition("-")
            for engine in range(int(first), int(last or first) + 1):
                lines.setdefault(engine, []).append(rest)
    return lines


def warm(cluster: Cluster) -> None:
    """Engines load IPython at their first cell, some sooner than others: equal answers would come
    seconds apart on a busy machine, and not be folded."""
    if cluster.token not in _warm:
        steer(cluster, "exec", "1")
        _warm.add(cluster.token)


_warm: set[str] = set()

# SPDX-License-Identifier: BSD-3-Clause
"""Processes of a cluster, found by an environment marker, and what they hold and use."""
from __future__ import annotations

import glob
import os
import re
import signal
import time
from typing import Callable, Iterable

MARK = "IPP_TEST_CLUSTER"
# What is built is no leftover, wherever it was built.
OWN = (os.path.abspath(os.environ.get("BUILD_DIR", "build")) + os.sep,)
RANK_NAMES = ("OMPI_COMM_WORLD_RANK", "PMI_RANK")


def wait_until(condition: Callable[[], object], seconds: float, what: str) -> object:
    """The first true value of condition(); AssertionError that names `what` after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"after {seconds} s still not: {what}")
        time.sleep(0.01)


def environ_of(pid: int) -> dict[str, str]:
    """The environment a process was started with; empty when it is gone or a zombie."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            entries = file.read().decode(errors="replace").split("\0")
    except OSError:
        return {}
    return dict(entry.split("=", 1) for entry in entries if "=" in entry)


def marked(token: str) -> list[int]:
    """All living processes whose environment has MARK=token, this one excepted."""
    needle = f"{MARK}={token}".encode()
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) == os.getpid():
            continue
        try:
            with open(f"/proc/{name}/environ", "rb") as file:
                if needle in file.read():
                    found.append(int(name))
        except OSError:
            pass
    return found


def program(pid: int) -> str:
    """Base name of the file a process executes; empty when it is gone."""
    try:
        return os.path.basename(os.readlink(f"/proc/{pid}/exe"))
    except OSError:
        return ""


def describe(pid: int) -> str:
    """One line about a process, for a failed test."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return f"{pid} {file.read().replace(bytes(1), b' ').decode(errors='replace')}"
    except OSError:
        return f"{pid} (gone)"


def rank_pids(token: str, name: str = "ipp-engine") -> dict[int, int]:
    """rank -> pid of the ranks alive; what user code has started from a rank does not count."""
    ranks: dict[int, int] = {}
    for pid in sorted(marked(token)):
        env = environ_of(pid)
        rank = next((env[key] for key in RANK_NAMES if key in env), None)
        if rank is not None and name in program(pid):
            ranks.setdefault(int(rank), pid)
    return ranks


def kill_all(pids: Iterable[int], sig: int = signal.SIGKILL) -> None:
    """Signals each of these processes; those already gone are fine."""
    for pid in pids:
        try:
            os.kill(pid, sig)
        except ProcessLookupError:
            pass


def _socket_paths(pids: Iterable[int]) -> set[str]:
    """Paths of Unix sockets that these processes hold (abstract names vanish by themselves)."""
    inodes = set()
    for pid in pids:
        try:
            for fd in os.listdir(f"/proc/{pid}/fd"):
                target = os.readlink(f"/proc/{pid}/fd/{fd}")
                if target.startswith("socket:["):
                    inodes.add(target[8:-1])
        except OSError:
            pass
    paths = set()
    with open("/proc/net/unix") as file:
        for line in file:
            fields = line.split()
            if len(fields) == 8 and fields[6] in inodes and fields[7].startswith("/"):
                paths.add(fields[7])
    return paths


def held_files(pids: Iterable[int]) -> set[str]:
    """Bound sockets, shared memory segments and temporary files of these processes."""
    pids = list(pids)
    paths = _socket_paths(pids)
    for pid in pids:
        try:
            with open(f"/proc/{pid}/maps") as file:
                text = file.read()
        except OSError:
            continue
        paths.update(re.findall(r"(/(?:dev/shm|tmp|var/tmp)/\S+)$", text, re.MULTILINE))
    return {path for path in paths if not path.startswith(OWN)}


def pss_mb(pids: Iterable[int]) -> float:
    """Proportional share of memory of these processes, in MB (2**20)."""
    total_kb = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/smaps_rollup") as file:
                total_kb += sum(int(line.split()[1]) for line in file if line.startswith("Pss:"))
        except OSError:
            pass
    return total_kb / 1024


def cpu_seconds(pids: Iterable[int]) -> float:
    """CPU time of all threads of these processes so far, finer than clock ticks."""
    total_ns = 0
    for pid in pids:
        for path in glob.glob(f"/proc/{pid}/task/*/schedstat"):
            try:
                with open(path) as file:
                    total_ns += int(file.read().split()[0])
            except OSError:
                pass
    return total_ns / 1e9

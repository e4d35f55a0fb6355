# SPDX-License-Identifier: BSD-3-Clause
"""One line starts a whole cluster, ours or the original:

    with under_engines(3) as cluster:
        rc = cluster.client()

Environment: IPP_TEST_BACKEND=ours|peer, IPP_TEST_MPI=openmpi|mpich, BUILD_DIR (of ./ipp-engine)"""
from __future__ import annotations

import collections
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from contextlib import contextmanager
from typing import Any, Iterator, Sequence

import ipyparallel

import procs

BACKEND = os.environ.get("IPP_TEST_BACKEND", "ours")
STOP_SECONDS = 20.0
recent: collections.deque[Cluster] = collections.deque(maxlen=6)


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG: no cluster outlives the tests


class Cluster:
    """A cluster of `n` engines in a private directory. Subclasses start and stop the processes."""

    def __init__(self, n: int, args: Sequence[str] = (), env: dict[str, str] | None = None) -> None:
        self.n = n
        self.args = list(args)
        self.token = uuid.uuid4().hex
        self.dir = tempfile.mkdtemp(prefix="ipp-")
        self.tmp = os.path.join(self.dir, "tmp")
        self.ipython_dir = os.path.join(self.dir, "ipython")
        os.mkdir(self.tmp)
        os.mkdir(self.ipython_dir)
        self.connection_file = os.path.join(
            self.ipython_dir, "profile_default", "security", "ipcontroller-client.json"
        )
        self.env = dict(
            os.environ,
            IPYTHONDIR=self.ipython_dir,
            TMPDIR=self.tmp,
            LC_ALL="C.UTF-8",
            **{procs.MARK: self.token},
            **(env or {}),
        )
        self.clients: list[ipyparallel.Client] = []
        self.children: list[subprocess.Popen[bytes]] = []
        self.stopped_at: float | None = None
        self.log_path = os.path.join(self.dir, "log")
        self._kept_log = ""
        self._held: set[str] = set()
        recent.append(self)

    # What a backend says.
    def start(self) -> None:
        """Starts the processes and returns when the engines may be used."""
        raise NotImplementedError

    def end(self) -> None:
        """Asks for an orderly end and waits for it."""
        raise NotImplementedError

    def leftovers(self) -> list[str]:
        """Files that a cluster which has ended should have removed."""
        return []

    # What both share.
    def spawn(self, argv: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
        with open(self.log_path, "ab") as log:
            child = subprocess.Popen(
                argv,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.dir,
                start_new_session=True,
                preexec_fn=_die_with_parent,
                **options,
            )
        self.children.append(child)
        return child

    def client(self, **options: Any) -> ipyparallel.Client:
        """A new client of this cluster, closed with it. Sees all n engines."""
        options.setdefault("timeout", 20)
        rc = ipyparallel.Client(connection_info=self.connection_file, **options)
        self.clients.append(rc)
        return rc

    def drop(self, rc: ipyparallel.Client) -> None:
        self.clients.remove(rc)
        rc.close(linger=0)

    def pids(self) -> list[int]:
        """Every process of this cluster."""
        return procs.marked(self.token)

    def alive(self) -> bool:
        return bool(self.children) and all(child.poll() is None for child in self.children)

    def log(self, offset: int = 0) -> str:
        """What the processes have written, from a byte offset."""
        try:
            with open(self.log_path, "rb") as file:
                file.seek(offset)
                return file.read().decode(errors="replace")
        except OSError:
            return self._kept_log[offset:]

    def note_held(self) -> None:
        """Remembers what sockets and files the processes hold: none may be left after the end."""
        self._held |= procs.held_files(self.pids())

    def join(self, seconds: float = STOP_SECONDS) -> list[int]:
        """Waits for the end of all processes and returns the exit codes of those we started."""
        try:
            procs.wait_until(lambda: not self._running(), seconds, "cluster ended")
        except AssertionError as late:
            listing = "\n".join(procs.describe(pid) for pid in self.pids())
            raise AssertionError(f"{late}; still there:\n{listing}") from None
        return [child.returncode for child in self.children]

    def _running(self) -> bool:
        polled = [child.poll() for child in self.children]
        return None in polled or bool(self.pids())

    def check_clean(self) -> None:
        """No process, socket or temporary file is left."""
        assert not self.pids(), [procs.describe(pid) for pid in self.pids()]
        left = sorted(path for path in self._held if os.path.exists(path)) + self.leftovers()
        assert not left, f"left behind: {left}"

    def stop(self, check: bool = True) -> None:
        """Ends the cluster; with check, AssertionError when the end is not orderly or not clean."""
        if self.stopped_at is not None:
            return
        for rc in self.clients:
            rc.close(linger=0)
        try:
            if self._running():
                self.note_held()
                self.end()
            self.join()
            if check:
                self.check_clean()
        except BaseException:
            if check:
                raise
        finally:
            self._bury()

    def _bury(self) -> None:
        procs.kill_all(self.pids())
        for child in self.children:
            child.wait(10)
        self._kept_log = self.log()
        self.stopped_at = time.monotonic()
        shutil.rmtree(self.dir, ignore_errors=True)


def make_cluster(n: int, backend: str = BACKEND, **options: Any) -> Cluster:
    """A cluster that has not been started."""
    if backend == "peer":
        from peer_cluster import PeerCluster

        return PeerCluster(n, **options)
    from ipp_cluster import IppCluster

    return IppCluster(n, **options)


@contextmanager
def under_engines(n: int, check: bool = True, **options: Any) -> Iterator[Cluster]:
    """A cluster of n engines for a `with` block; args=[…] and env={…} go to its command."""
    cluster = make_cluster(n, **options)
    try:
        cluster.start()
        yield cluster
    except BaseException:
        cluster.stop(check=False)
        raise
    cluster.stop(check=check)


def python() -> str:
    """The interpreter that runs the tests: engines and clients need the same minor version."""
    return sys.executable

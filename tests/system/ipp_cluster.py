# SPDX-License-Identifier: BSD-3-Clause
"""Ours: mpirun ipp-engine, by the MPI that IPP_TEST_MPI names."""
from __future__ import annotations

import os
import shutil
import signal
import subprocess
from typing import Any, Sequence

import procs
from cluster import Cluster, python
from notify import NotifySocket

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
START_SECONDS = 30.0
MPI = os.environ.get("IPP_TEST_MPI", "openmpi")
# MPICH sends SIGUSR1 to the survivors of a dead rank, and ends the job when a signal kills a rank.
MPICH_GUARD = ["sh", "-c", 'trap "" USR1; trap : TERM INT; "$0" "$@"; exit $?']


def ipp_engine() -> str:
    """Path of the program under test."""
    folder = os.environ.get("BUILD_DIR") or os.path.join(TOP, "build", MPI)
    return os.path.join(os.path.abspath(folder), "ipp-engine")


def mpirun(
    ranks: int, command: Sequence[str], recovery: bool = True, tag: bool = True
) -> list[str]:
    """The command line that runs `command` as an MPI job on this machine."""
    if MPI == "mpich":
        program = shutil.which("mpiexec.mpich") or "mpiexec"
        options = ["-disable-auto-cleanup"] if recovery else []
        options += ["-prepend-rank"] if tag else []
        return [program, *options, "-n", str(ranks), *(MPICH_GUARD if recovery else []), *command]
    program = shutil.which("mpirun.openmpi") or "mpirun"
    options = ["--oversubscribe", "--bind-to", "none"]
    options += ["--enable-recovery"] if recovery else []
    options += ["--tag-output"] if tag else []
    return [program, *options, "-n", str(ranks), *command]


def job_env() -> dict[str, str]:
    """What an MPI job needs in its environment here: root is fine."""
    env = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    if not ipp_engine().startswith(TOP + os.sep):  # a build tree elsewhere cannot find the source
        env["IPPMPI_PYTHON"] = os.path.join(TOP, "python")
    return env


class IppCluster(Cluster):
    """mpirun -n (n + 2) ipp-engine."""

    def __init__(
        self,
        n: int,
        args: Sequence[str] = (),
        env: dict[str, str] | None = None,
        recovery: bool = True,
        default_file: bool = False,
        engine_python: str | None = None,
        parts: Sequence[str] = (),
        application: str | None = None,
    ) -> None:
        super().__init__(n, args, {**job_env(), **(env or {})})
        self.recovery = recovery
        self.engine_python = engine_python or python()
        self.parts = list(parts)  # of an MPMD job, behind the first: [":", "-n", "2", program, ...]
        self.default_file = default_file
        self.application = application  # a program of the build tree, in the place of ipp-engine
        self.notify = NotifySocket(os.path.join(self.dir, "notify"))
        self.env["NOTIFY_SOCKET"] = self.notify.path

    def start(self) -> None:
        assert os.access(ipp_engine(), os.X_OK), f"{ipp_engine()}: not there; set BUILD_DIR"
        command = [ipp_engine(), "--python", self.engine_python, *self.args]
        if self.application:
            command = [os.path.join(os.path.dirname(ipp_engine()), self.application), *self.args]
        elif not self.default_file:
            command[1:1] = ["--connection-file", self.connection_file]
        same = command[1:] if self.parts else []
        self.spawn([*mpirun(self.n + 2, command, self.recovery), *self.parts, *same])
        ready = self.notify.wait("READY=1", START_SECONDS, self.alive)
        assert ready, f"not ready after {START_SECONDS} s:\n{self.log()}"
        self.note_held()

    def ranks(self) -> dict[int, int]:
        """rank -> pid; engine e is rank e + 2."""
        return procs.rank_pids(self.token, os.path.basename(self.application or "ipp-engine"))

    def mpirun_pid(self) -> int:
        return self.children[0].pid

    def end(self) -> None:
        bridge = self.ranks().get(0)
        if bridge is None:
            self.children[0].send_signal(signal.SIGTERM)
            return
        os.kill(bridge, signal.SIGTERM)

    def leftovers(self) -> list[str]:
        left = [self.connection_file] if os.path.exists(self.connection_file) else []
        for folder, _, names in os.walk(self.tmp):
            left += [os.path.join(folder, name) for name in names]
        return left

    def _bury(self) -> None:
        self.notify.close()
        super()._bury()


def run_job(
    ranks: int, *args: str, seconds: float = 30.0, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs an ipp-engine job that is expected to end by itself; kills it when it does not."""
    return run_marked(mpirun(ranks, [ipp_engine(), *args], recovery=False, tag=False), seconds, env)


def run_marked(
    argv: Sequence[str], seconds: float, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """subprocess.run() with a time limit that also ends what the command has started."""
    token = os.urandom(16).hex()
    full: dict[str, Any] = {**os.environ, **job_env(), **(env or {}), procs.MARK: token}
    child = subprocess.Popen(
        argv,
        env=full,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        out, err = child.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        procs.kill_all(procs.marked(token))
        out, err = child.communicate()
        raise AssertionError(f"{argv} did not end in {seconds} s:\n{out}{err}") from None
    finally:
        left = procs.marked(token)
        procs.kill_all(left)
    assert not left, f"{argv} left processes behind"
    return subprocess.CompletedProcess(argv, child.returncode, out, err)

# SPDX-License-Identifier: BSD-3-Clause
"""The job scripts that users copy, under a real Slurm, a real Grid Engine, and what looks like PBS and LSF."""
from __future__ import annotations

import contextlib
import functools
import glob
import os
import re
import shutil
import signal
import subprocess
import tempfile
from typing import Any, Callable, Iterator

import ipyparallel
import pytest

import procs
import remote
from ipp_cluster import HERE, MPI, TOP, ipp_engine, job_env

SCRIPTS = sorted(glob.glob(os.path.join(TOP, "batch", "*", "ipp-engine.*")))
ENGINES = 3
NOBODY = 65534
START_SECONDS = 60.0
END_SECONDS = 40.0
NOT_IN_PATH = "there is no ipp-engine in PATH"

Env = dict[str, str]

needs_openmpi = pytest.mark.skipif(MPI != "openmpi", reason="the scripts are written for Open MPI's mpirun")
ours = pytest.mark.ours_only("they are our scripts")


def script_of(system: str) -> str:
    return glob.glob(os.path.join(TOP, "batch", system, "ipp-engine.*"))[0]


def run(*argv: str, env: Env | None = None, seconds: float = 40.0, **options: Any) -> str:
    done = subprocess.run(argv, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=seconds, **options)
    assert done.returncode == 0, f"{argv}: {done.stdout}"
    return done.stdout


@pytest.mark.parametrize("script", SCRIPTS, ids=os.path.basename)
def test_script_is_valid_shell(script: str) -> None:
    run("bash", "-n", script)


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="no shellcheck")
@pytest.mark.parametrize("script", SCRIPTS, ids=os.path.basename)
def test_script_passes_shellcheck(script: str) -> None:
    # SC2317: does not know that a trap calls its function
    run("shellcheck", "--shell=bash", "--exclude=SC2317", script)


# ---- what all systems have in common ----


def user_env(folder: str, token: str) -> Env:
    """The environment of somebody who submits jobs, with what jobs write below `folder`."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM_", "SGE_", "PBS_", "LSB_"))}
    for name in ("ipython", "tmp"):
        os.mkdir(os.path.join(folder, name))
    env.update(job_env())
    env.update({
        procs.MARK: token,
        "IPYTHONDIR": os.path.join(folder, "ipython"),
        "TMPDIR": os.path.join(folder, "tmp"),
        "PATH": os.path.dirname(ipp_engine()) + os.pathsep + os.environ["PATH"],
    })
    return env


def without_ipp_engine(env: Env) -> Env:
    return {**env, "PATH": env["PATH"].partition(os.pathsep)[2]}


def read(path: str) -> str:
    """What a file says; nothing when there is none (yet)."""
    try:
        with open(path) as file:
            return file.read()
    except FileNotFoundError:
        return ""


class Job:
    """A job that runs one of the scripts, whatever started it."""

    def __init__(self, system: str, number: str, env: Env, log: str, alive: Callable[[], bool]) -> None:
        name = f"ipcontroller-{system}-{number}-client.json"
        self.number = number
        self.connection_file = os.path.join(env["IPYTHONDIR"], "profile_default", "security", name)
        self.log = log
        self.alive = alive
        self.env = env

    def wait_ready(self) -> None:
        def ready() -> bool:
            assert self.alive(), "the job has ended"
            return os.path.exists(self.connection_file)

        try:
            procs.wait_until(ready, START_SECONDS, "connection file of the job")
        except AssertionError as late:
            raise AssertionError(f"{late}; its log:\n{read(self.log)}") from None

    def use(self, id_variable: str, end: Callable[[], object]) -> None:
        """Works with the engines, and sees that a client with a request under way is told of the end."""
        self.wait_ready()
        with ipyparallel.Client(self.connection_file, timeout=20) as rc:
            assert rc.ids == list(range(ENGINES))
            assert [each.partition(".")[0] for each in rc[:].apply_sync(os.getenv, id_variable)] \
                == [self.number] * ENGINES
            started = os.path.join(os.path.dirname(self.env["IPYTHONDIR"]), f"started-{self.number}")
            held = rc[0].apply_async(remote.mark_and_wait, started, "/nowhere")
            procs.wait_until(lambda: os.path.exists(started), 10, "a request under way")
            end()
            with pytest.raises(ipyparallel.error.RemoteError, match="EngineError"):
                held.get(END_SECONDS)

    def wait_ended(self) -> None:
        try:
            procs.wait_until(lambda: not self.alive(), END_SECONDS, "end of the job")
        except AssertionError as late:
            raise AssertionError(f"{late}; its log:\n{read(self.log)}") from None
        assert not os.path.exists(self.connection_file)
        assert os.listdir(self.env["TMPDIR"]) == []


@contextlib.contextmanager
def no_leftovers(folder: str, token: str) -> Iterator[None]:
    """All processes of these jobs are gone at the end, and their folder."""
    try:
        yield
    finally:
        with contextlib.suppress(AssertionError):
            procs.wait_until(lambda: not procs.marked(token), 10, "end of all processes")
        left = [procs.describe(pid) for pid in procs.marked(token)]
        procs.kill_all(procs.marked(token))
        shutil.rmtree(folder)
    assert not left, left


# ---- Slurm ----


@pytest.fixture(scope="module")
def slurm() -> Iterator[Env]:
    """The environment of somebody who may submit jobs to a Slurm of this one machine."""
    if shutil.which("sbatch") is None or shutil.which("slurmctld", path="/usr/sbin:/usr/bin") is None:
        pytest.skip("no Slurm: apt-get install slurm-wlm munge")
    if not os.path.ismount("/sys/fs/cgroup"):
        pytest.skip("slurmd wants control groups below /sys/fs/cgroup, as a chroot often has none")
    folder = tempfile.mkdtemp(prefix="ipp-slurm-")  # not tmp_path: munged wants folders that all may enter
    testbed = os.path.join(HERE, "slurm_testbed")
    token = os.urandom(16).hex()
    env = user_env(folder, token)
    with no_leftovers(folder, token):
        try:
            # Not by run(): the daemons would keep its pipe open.
            subprocess.run([testbed, "start", folder], env=env, timeout=60, check=True, stdin=subprocess.DEVNULL,
                           stdout=subprocess.DEVNULL)
            env["SLURM_CONF"] = os.path.join(folder, "slurm.conf")
            yield env
            run("scancel", "--user", str(os.getuid()), env=env)
        finally:
            subprocess.run([testbed, "stop", folder], env=env, timeout=60, stdin=subprocess.DEVNULL)


def slurm_state(env: Env, number: str) -> dict[str, str]:
    text = run("scontrol", "--oneliner", "show", "job", number, env=env)
    return dict(field.split("=", 1) for field in text.split() if "=" in field)


def slurm_submit(env: Env, folder: str) -> Job:
    log = os.path.join(folder, "job.log")
    number = run("sbatch", "--parsable", f"--ntasks={ENGINES + 2}", f"--output={log}", f"--chdir={folder}",
                 script_of("slurm"), env=env).strip()
    living = ("PENDING", "CONFIGURING", "RUNNING", "COMPLETING")
    return Job("slurm", number, env, log, lambda: slurm_state(env, number)["JobState"] in living)


# A user's lower time limit takes effect when slurmctld next looks, twice a minute; the script is told a minute before.
SLURM_ENDS = {
    "ask the script": (("scancel", "--batch", "--signal=TERM", "{}"), "COMPLETED", "0:0"),
    "time limit": (("scontrol", "update", "jobid={}", "timelimit=1"), "COMPLETED", "0:0"),
    "cancel": (("scancel", "{}"), "CANCELLED", None),
}


@ours
@needs_openmpi
@pytest.mark.limit(150)
@pytest.mark.parametrize("end", SLURM_ENDS)
def test_slurm_job(slurm: Env, tmp_path: object, end: str) -> None:
    command, condition, code = SLURM_ENDS[end]
    job = slurm_submit(slurm, str(tmp_path))
    job.use("SLURM_JOB_ID", lambda: run(*(word.format(job.number) for word in command), env=slurm))
    job.wait_ended()
    state = slurm_state(slurm, job.number)
    assert state["JobState"] == condition and code in (None, state["ExitCode"]), (state, read(job.log))


@ours
@needs_openmpi
@pytest.mark.limit(150)
def test_slurm_job_that_cannot_start(slurm: Env, tmp_path: object) -> None:
    job = slurm_submit(without_ipp_engine(slurm), str(tmp_path))
    job.wait_ended()
    assert NOT_IN_PATH in read(job.log)
    state = slurm_state(slurm, job.number)
    assert (state["JobState"], state["ExitCode"]) == ("FAILED", "127:0")


@ours
@needs_openmpi
@pytest.mark.limit(150)
def test_slurm_job_that_fails_later(slurm: Env, tmp_path: object) -> None:
    """mpirun --enable-recovery ends with 0; the job has the exit code of rank 0."""
    job = slurm_submit({**slurm, "IPPMPI_PYTHON": "/nowhere"}, str(tmp_path))
    job.wait_ended()
    state = slurm_state(slurm, job.number)
    assert (state["JobState"], state["ExitCode"]) == ("FAILED", "1:0"), read(job.log)
    assert "/nowhere holds no ippmpi" in read(job.log)


# ---- Grid Engine ----


def grid_user() -> dict[str, Any]:
    """Who runs Grid Engine and its jobs, for subprocess: it takes none of root's."""
    return {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}


@pytest.fixture(scope="module")
def grid_engine() -> Iterator[Env]:
    """The environment of somebody who may submit jobs to a Grid Engine of this one machine."""
    programs = "/usr/lib/gridengine"
    if not all(os.path.exists(os.path.join(programs, name)) for name in ("sge_qmaster", "sge_execd", "qsub")):
        pytest.skip("no Grid Engine: apt-get install gridengine-master gridengine-exec gridengine-client")
    for needed in (ipp_engine(), os.path.join(HERE, "gridengine_testbed")):
        if subprocess.run(["test", "-x", needed], **grid_user()).returncode != 0:
            pytest.skip(f"Grid Engine runs no jobs of root's, and nobody else may run {needed}")
    folder = tempfile.mkdtemp(prefix="ipp-sge-")
    testbed = os.path.join(HERE, "gridengine_testbed")
    token = os.urandom(16).hex()
    env = user_env(folder, token)
    if os.geteuid() == 0:
        for name in (folder, env["IPYTHONDIR"], env["TMPDIR"]):
            os.chown(name, NOBODY, NOBODY)
    with no_leftovers(folder, token):
        try:
            # Not by run(): the daemons would keep its pipe open.
            subprocess.run([testbed, "start", folder], env=env, timeout=60, check=True, stdin=subprocess.DEVNULL,
                           stdout=subprocess.DEVNULL, cwd=folder, **grid_user())
            lines = read(os.path.join(folder, "environment")).splitlines()
            env.update(line.split("=", 1) for line in lines)
            yield env
        finally:
            subprocess.run([testbed, "stop", folder], env=env, timeout=60, stdin=subprocess.DEVNULL, **grid_user())


def grid_run(env: Env, *argv: str) -> str:
    return run(*argv, env=env, cwd=os.path.dirname(env["IPYTHONDIR"]), **grid_user())


def grid_submit(env: Env, *options: str) -> Job:
    folder = os.path.dirname(env["IPYTHONDIR"])
    number = grid_run(env, "qsub", "-terse", "-V", "-pe", "mpi", str(ENGINES + 2), *options, script_of("sge")).strip()

    def alive() -> bool:
        return re.search(rf"^ *{number} ", grid_run(env, "qstat"), re.MULTILINE) is not None

    return Job("sge", number, env, os.path.join(folder, f"ipp-engine.o{number}"), alive)


def grid_exit_status(env: Env, number: str) -> str:
    """From the accounting, which is written a moment after the job has left."""
    path = os.path.join(env["SGE_ROOT"], "default", "common", "accounting")
    entry = procs.wait_until(
        lambda: os.path.exists(path) and re.search(rf"^(?:[^:]*:){{5}}{number}:.*$", read(path), re.MULTILINE),
        30, "accounting of the job")
    assert isinstance(entry, re.Match)
    return entry.group().split(":")[12]


@ours
@needs_openmpi
@pytest.mark.limit(150)
@pytest.mark.parametrize("end", ["qdel", "time limit"])
def test_grid_engine_job(grid_engine: Env, end: str) -> None:
    limited = ["-l", "h_rt=0:0:10"] if end == "time limit" else []
    job = grid_submit(grid_engine, *limited)
    job.use("JOB_ID", (lambda: None) if limited else functools.partial(grid_run, grid_engine, "qdel", job.number))
    job.wait_ended()
    assert grid_exit_status(grid_engine, job.number) == "0", read(job.log)


@ours
@needs_openmpi
@pytest.mark.limit(150)
def test_grid_engine_job_that_cannot_start(grid_engine: Env) -> None:
    job = grid_submit(without_ipp_engine(grid_engine))
    job.wait_ended()
    assert NOT_IN_PATH in read(job.log)
    assert grid_exit_status(grid_engine, job.number) == "127"


@ours
@needs_openmpi
@pytest.mark.limit(150)
def test_grid_engine_soft_limit_and_suspension_are_no_end(grid_engine: Env) -> None:
    """Both are announced by SIGUSR1."""
    job = grid_submit(grid_engine)
    job.wait_ready()
    shell = next(pid for pid in procs.marked(grid_engine[procs.MARK])
                 if procs.program(pid) == "bash" and procs.environ_of(pid).get("JOB_ID") == job.number
                 and "OMPI_COMM_WORLD_RANK" not in procs.environ_of(pid))
    os.killpg(shell, signal.SIGUSR1)
    job.use("JOB_ID", functools.partial(grid_run, grid_engine, "qdel", job.number))
    job.wait_ended()


# ---- PBS and LSF: only an environment like theirs ----


class Imitated(Job):
    """The script as a batch system would run it: in a session of its own, with its variables and its list of slots."""

    def __init__(self, system: str, folder: str, token: str, **changes: str) -> None:
        env = user_env(folder, token)
        slots = os.path.join(folder, "slots")
        with open(slots, "w") as file:
            file.write("localhost\n" * (ENGINES + 2))
        # No batch system tells this mpirun that there are so many slots.
        env["OMPI_MCA_rmaps_base_oversubscribe"] = "1"
        env.update({"PBS_JOBID": "4711.server", "PBS_NODEFILE": slots, "PBS_O_WORKDIR": folder} if system == "pbs"
                   else {"LSB_JOBID": "4711", "LSB_DJOB_HOSTFILE": slots})
        tools = os.path.join(folder, "bin")
        os.mkdir(tools)
        with open(os.path.join(tools, "qstat"), "w") as file:
            file.write("#!/bin/sh\necho '    Resource_List.walltime = 01:00:00'\n")
        os.chmod(file.name, 0o755)
        env["PATH"] += os.pathsep + tools
        env.update(changes)
        log = os.path.join(folder, "job.log")
        self.token = token
        with open(log, "w") as out:
            self.shell = subprocess.Popen(["bash", script_of(system)], env=env, cwd=folder, stdin=subprocess.DEVNULL,
                                          stdout=out, stderr=out, start_new_session=True)
        super().__init__(system, "4711", env, log, lambda: self.shell.poll() is None)

    def signal_script(self, number: int) -> None:
        self.shell.send_signal(number)

    def signal_all(self, number: int) -> None:
        procs.kill_all(procs.marked(self.token), number)


@pytest.fixture
def imitate() -> Iterator[Callable[..., Imitated]]:
    folder = tempfile.mkdtemp(prefix="ipp-batch-")
    token = os.urandom(16).hex()
    with no_leftovers(folder, token):
        yield lambda system, **changes: Imitated(system, folder, token, **changes)


@ours
@needs_openmpi
@pytest.mark.parametrize("system, variable", [("pbs", "PBS_JOBID"), ("lsf", "LSB_JOBID")])
def test_script_is_asked_to_end(imitate: Callable[..., Imitated], system: str, variable: str) -> None:
    job = imitate(system)
    job.use(variable, lambda: job.signal_script(signal.SIGTERM))
    job.wait_ended()
    assert job.shell.returncode == 0, read(job.log)


@ours
@needs_openmpi
@pytest.mark.parametrize("system, variable, number", [
    ("pbs", "PBS_JOBID", signal.SIGTERM),
    ("lsf", "LSB_JOBID", signal.SIGTERM),
    ("lsf", "LSB_JOBID", signal.SIGINT),
])
def test_all_processes_are_asked_to_end(imitate: Callable[..., Imitated], system: str, variable: str,
                                        number: int) -> None:
    """As qdel and bkill do: also mpirun, which then gives the ranks little time."""
    job = imitate(system)
    job.use(variable, lambda: job.signal_all(number))
    job.wait_ended()


@ours
@needs_openmpi
@pytest.mark.parametrize("system", ["pbs", "lsf"])
def test_script_that_cannot_start(imitate: Callable[..., Imitated], system: str) -> None:
    job = imitate(system, PATH=os.environ["PATH"])
    job.wait_ended()
    assert NOT_IN_PATH in read(job.log)
    assert job.shell.returncode == 127

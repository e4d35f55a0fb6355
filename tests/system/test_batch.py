# SPDX-License-Identifier: BSD-3-Clause
"""The job scripts that users copy: all are valid shell, and the Slurm one runs under a real Slurm."""
from __future__ import annotations

import glob
import os
import shutil
import subprocess
import tempfile
from typing import Iterator

import ipyparallel
import pytest

import procs
from ipp_cluster import HERE, MPI, TOP, ipp_engine, job_env

SCRIPTS = sorted(glob.glob(os.path.join(TOP, "batch", "*", "ipp-engine.*")))
ENGINES = 3


def run(*argv: str, env: dict[str, str] | None = None, seconds: float = 40.0) -> str:
    done = subprocess.run(argv, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=seconds)
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


@pytest.fixture
def slurm() -> Iterator[dict[str, str]]:
    """The environment of somebody who may submit jobs to a Slurm of this one machine."""
    if shutil.which("sbatch") is None or shutil.which("slurmctld", path="/usr/sbin:/usr/bin") is None:
        pytest.skip("no Slurm: apt-get install slurm-wlm munge")
    if not os.path.ismount("/sys/fs/cgroup"):
        pytest.skip("slurmd wants control groups below /sys/fs/cgroup, as a chroot often has none")
    folder = tempfile.mkdtemp(prefix="ipp-slurm-")  # not tmp_path: munged wants folders that all may enter
    testbed = os.path.join(HERE, "slurm_testbed")
    token = os.urandom(16).hex()
    env = {**os.environ, **job_env(), procs.MARK: token, "IPYTHONDIR": os.path.join(folder, "ipython"),
           "PATH": os.path.dirname(ipp_engine()) + os.pathsep + os.environ["PATH"]}
    try:
        # Not by run(): the daemons would keep its pipe open.
        subprocess.run([testbed, "start", folder], env=env, timeout=60, check=True, stdin=subprocess.DEVNULL,
                       stdout=subprocess.DEVNULL)
        env["SLURM_CONF"] = os.path.join(folder, "slurm.conf")
        yield env
        run("scancel", "--user", str(os.getuid()), env=env)
    finally:
        subprocess.run([testbed, "stop", folder], env=env, timeout=60, stdin=subprocess.DEVNULL)
        left = procs.marked(token)
        procs.kill_all(left)
        shutil.rmtree(folder)
    assert not left, [procs.describe(pid) for pid in left]


def job_state(env: dict[str, str], job: str) -> dict[str, str]:
    text = run("scontrol", "--oneliner", "show", "job", job, env=env)
    return dict(field.split("=", 1) for field in text.split() if "=" in field)


@pytest.mark.ours_only("it is our script")
@pytest.mark.skipif(MPI != "openmpi", reason="the script is written for Open MPI's mpirun")
@pytest.mark.limit(150)
def test_slurm_job(slurm: dict[str, str], tmp_path: object) -> None:
    log = os.path.join(str(tmp_path), "job.log")
    script = os.path.join(TOP, "batch", "slurm", "ipp-engine.sbatch")
    job = run("sbatch", "--parsable", f"--ntasks={ENGINES + 2}", f"--output={log}", f"--chdir={tmp_path}", script,
              env=slurm).strip()
    path = os.path.join(slurm["IPYTHONDIR"], "profile_default", "security", f"ipcontroller-slurm-{job}-client.json")

    def started() -> bool:
        state = job_state(slurm, job)
        assert state["JobState"] in ("PENDING", "CONFIGURING", "RUNNING"), (state, open(log).read())
        return os.path.exists(path)

    try:
        procs.wait_until(started, 60, "connection file of the job")
    except AssertionError as late:
        raise AssertionError(f"{late}; its log:\n{open(log).read()}") from None
    with ipyparallel.Client(path, timeout=20) as rc:
        assert rc.ids == list(range(ENGINES))
        assert rc[:].apply_sync(os.getenv, "SLURM_JOB_ID") == [job] * ENGINES
    run("scancel", "--batch", "--signal=TERM", job, env=slurm)
    procs.wait_until(lambda: job_state(slurm, job)["JobState"] not in ("RUNNING", "COMPLETING"), 30, "end of the job")
    state = job_state(slurm, job)
    assert (state["JobState"], state["ExitCode"]) == ("COMPLETED", "0:0"), (state, open(log).read())
    assert not os.path.exists(path)

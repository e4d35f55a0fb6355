# SPDX-License-Identifier: BSD-3-Clause
"""What the command says when it cannot start: one line, once, that says what and what to do."""
from __future__ import annotations

import os
import re
import subprocess
from typing import Any

import pytest
from ipyparallel import error

from cluster import python, under_engines
from ipp_cluster import MPI, ipp_engine, run_job, run_marked

pytestmark = pytest.mark.ours_only("our command line")


def complaint(done: subprocess.CompletedProcess[str]) -> str:
    """The one line that ipp-engine wrote; MPI may have written more around it."""
    assert done.returncode != 0
    lines = [
        line for line in done.stderr.splitlines() if re.match(r"(\S*/)?(lt-)?ipp-engine: ", line)
    ]
    assert len(lines) == 1, done.stderr
    return lines[0]


@pytest.mark.parametrize("ranks", [1, 2])
def test_too_few_ranks(ranks: int) -> None:
    line = complaint(run_job(ranks))
    assert "3" in line and "mpirun" in line


def test_not_under_mpirun() -> None:
    line = complaint(run_marked([ipp_engine()], 20))
    assert "mpirun" in line


def test_unwritable_connection_file(tmp_path: Any) -> None:
    path = str(tmp_path / "not-a-folder" / "file.json")
    (tmp_path / "not-a-folder").write_text("")
    line = complaint(run_job(3, "--connection-file", path))
    assert path in line


def test_address_that_is_not_ours(tmp_path: Any) -> None:
    path = str(tmp_path / "c.json")
    line = complaint(run_job(3, "--connection-file", path, "--ip", "192.0.2.1"))
    assert "192.0.2.1" in line
    assert not os.path.exists(path)


def test_no_such_python(tmp_path: Any) -> None:
    path = str(tmp_path / "c.json")
    line = complaint(run_job(3, "--connection-file", path, "--python", "/no/such/python3"))
    assert "/no/such/python3" in line
    assert not os.path.exists(path)


def test_something_else_as_python(tmp_path: Any) -> None:
    line = complaint(
        run_job(3, "--connection-file", str(tmp_path / "c.json"), "--python", "/bin/true")
    )
    assert "/bin/true" in line


def test_python_without_ipyparallel(tmp_path: Any) -> None:
    """A virtual environment without the system's packages: the client hears of it."""
    folder = str(tmp_path / "bare")
    subprocess.run([python(), "-m", "venv", "--without-pip", folder], check=True, timeout=50)
    with under_engines(1, engine_python=f"{folder}/bin/python3") as cluster:
        rc = cluster.client()
        for result in (rc[0].apply_async(len, "four"), rc[0].execute("1", block=False)):
            with pytest.raises(
                error.RemoteError, match="is not installed in the engines' Python"
            ) as caught:
                result.get(20)
            assert folder in caught.value.evalue


@pytest.mark.skipif(MPI != "mpich", reason="Debian's mpi4py fits Open MPI")
def test_mpi4py_of_another_mpi() -> None:
    with under_engines(1) as cluster:
        result = cluster.client()[0].execute("from mpi4py import MPI", block=False)
        with pytest.raises(error.RemoteError, match="mpi4py was built for openmpi"):
            result.get(20)


@pytest.mark.parametrize(
    "args, said",
    [
        (["--no-such-option"], "unrecognized option '--no-such-option'"),
        (["extra"], "extra: ipp-engine takes options only"),
        (["--max-tasks", "many"], "--max-tasks=many: not a number of tasks"),
        (
            ["--scheme", "psychic"],
            "--scheme=psychic: not leastload, lru, plainrandom, twobin, weighted or locality",
        ),
        (["--session-timeout", "-1"], "--session-timeout=-1: not a number of seconds"),
        (["--idle-timeout", "soon"], "--idle-timeout=soon: not a number of seconds"),
        (["--log-level", "odd"], "--log-level=odd: not error, warning, notice, info or debug"),
        (
            ["--ip", "not an address"],
            "cannot listen on not an address: No such device; give an address of this host with --ip",
        ),
        (["--connection-file"], "option '--connection-file' requires an argument"),
        (["--profile", "a/b"], "profile may not hold '/' or control characters"),
        (["--cluster-id", ".x"], "cluster id may not begin with a dot"),
    ],
)
def test_bad_arguments(args: list[str], said: str) -> None:
    assert complaint(run_job(3, *args)).partition("ipp-engine: ")[2] == said


def test_version_and_help() -> None:
    version = run_marked([ipp_engine(), "--version"], 20)
    assert version.returncode == 0 and re.search(r"\d+\.\d+\.\d+", version.stdout)
    text = run_marked([ipp_engine(), "--help"], 20)
    assert text.returncode == 0
    for option in (
        "--cluster-id",
        "--profile",
        "--ip",
        "--connection-file",
        "--python",
        "--log-level",
        "--idle-timeout",
        "--version",
    ):
        assert option in text.stdout, option


def test_version_under_mpirun() -> None:
    assert run_job(3, "--version").returncode == 0

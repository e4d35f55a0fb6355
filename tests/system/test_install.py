# SPDX-License-Identifier: BSD-3-Clause
"""What make install puts somewhere runs there: no source tree, no variables that say where things are."""
from __future__ import annotations

import os
import subprocess
from typing import Any

import ipyparallel
import pytest

import procs
from cluster import python
from ipp_cluster import ipp_engine, job_env

pytestmark = pytest.mark.ours_only("it is our installation")
NOT_A_USERS = ("IPPMPI_PYTHON", "LD_LIBRARY_PATH", "NOTIFY_SOCKET", "MAKEFLAGS", "MFLAGS", "MAKELEVEL")


def users_env(**more: str) -> dict[str, str]:
    env = {name: value for name, value in {**os.environ, **job_env()}.items() if name not in NOT_A_USERS}
    return {**env, **more}


@pytest.fixture(scope="module")
def bin_folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of the installed programs, moved away from where configure has them."""
    root = str(tmp_path_factory.mktemp("installed"))
    build = os.path.dirname(ipp_engine())
    done = subprocess.run(["make", "-s", "-C", build, "install", f"DESTDIR={root}"], env=users_env(), text=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=50)
    assert done.returncode == 0, done.stdout
    found = [folder for folder, _, names in os.walk(root) if {"ipp-engine", "ipp-cluster"} <= set(names)]
    assert len(found) == 1, found
    return found[0]


def test_installed_cluster_serves(bin_folder: str, tmp_path: Any) -> None:
    token = os.urandom(16).hex()
    env = users_env(**{procs.MARK: token, "IPYTHONDIR": str(tmp_path / "ipython")})

    def ipp_cluster(*args: str) -> None:
        done = subprocess.run([os.path.join(bin_folder, "ipp-cluster"), *args], env=env, cwd=tmp_path, text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=50)
        assert done.returncode == 0, done.stdout

    try:
        ipp_cluster("start", "-n", "2", f"--python={python()}")
        security = tmp_path / "ipython" / "profile_default" / "security"
        with ipyparallel.Client(connection_info=str(security / "ipcontroller-client.json"), timeout=20) as rc:
            assert rc[:].apply_sync(where_engines_are) == [os.path.join(os.path.dirname(bin_folder), "share")] * 2
        folder = os.path.join(os.path.dirname(bin_folder), "share", "ippmpi", "python")
        code = "import ippmpi\nwith ippmpi.connect() as c: print(c[:].apply(lambda x: x + 1, 1))"
        client = subprocess.run([python(), "-c", code], env={**env, "PYTHONPATH": folder}, text=True, cwd=tmp_path,
                                capture_output=True, timeout=20)
        assert client.stdout == "[2, 2]\n", client.stderr
        ipp_cluster("stop")
    finally:
        left = procs.marked(token)
        procs.kill_all(left)
    assert not left, [procs.describe(pid) for pid in left]


@ipyparallel.interactive
def where_engines_are() -> str:
    """The folder above ippmpi/python/ippmpi/engine, whose files the engine runs."""
    import os.path

    import ippmpi.engine

    return os.path.abspath(os.path.join(os.path.dirname(ippmpi.engine.__file__), *[os.pardir] * 4))

# SPDX-License-Identifier: BSD-3-Clause
"""The example of ippsteer(3): the page shows the very program, which a user's compiler takes and which runs."""
from __future__ import annotations

import os
import re
import subprocess

import pytest

from cluster import Cluster
from test_install import bin_folder, users_env  # noqa: F401  (a fixture)

pytestmark = pytest.mark.ours_only("it is our library")
TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SOURCE = os.path.join(TOP, "examples", "steer_client.c")
PRIMES = os.path.join(TOP, "examples", "primes.c")  # make check runs it
ROFF = {"\\e": "\\", "\\-": "-", "\\(aq": "'", "\\(ga": "`", "\\(ha": "^", "\\(ti": "~", "\\&": ""}


@pytest.mark.parametrize("name, example", [("ippsteer.3", SOURCE), ("ippmpi.3", PRIMES)])
def test_page_shows_the_example(name: str, example: str) -> None:
    with open(os.path.join(TOP, "docs", "man", name)) as page, open(example) as source:
        shown = page.read().split("\n.EX\n")[1].split("\n.EE\n")[0] + "\n"
        escape = "|".join(re.escape(each) for each in ROFF)
        assert re.sub(escape, lambda found: ROFF[found.group()], shown) == source.read()


def test_example_runs(cluster: Cluster, bin_folder: str, tmp_path: os.PathLike[str]) -> None:  # noqa: F811
    """With nothing but what make install put there."""
    lib = os.path.join(os.path.dirname(bin_folder), "lib")
    root = bin_folder.removesuffix("/usr/local/bin")
    env = users_env(PKG_CONFIG_PATH=os.path.join(lib, "pkgconfig"), PKG_CONFIG_SYSROOT_DIR=root, LD_LIBRARY_PATH=lib)
    program = os.path.join(tmp_path, "steer_client")

    def run(command: str, *args: str) -> str:
        done = subprocess.run(["sh", "-c", command, "sh", *args], env=env, text=True, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=50)
        assert done.returncode == 0, done.stderr
        return done.stdout

    run('cc -std=c11 -Wall -Wextra -Werror -o "$1" "$2" $(pkg-config --cflags --libs ippsteer)', program, SOURCE)
    assert "mpi" not in run('ldd "$1"', program).replace("ippmpi", "").replace("libippsteer", "")
    shown = run('"$1" "$2" 2>&1', program, cluster.connection_file)
    assert f"{cluster.n} engines\n" in shown
    assert shown.count('"text":"drawn\\n"') + shown.count('"text": "drawn\\n"') == cluster.n
    assert "mean 5.0\n" in shown

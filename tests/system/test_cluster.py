# SPDX-License-Identifier: BSD-3-Clause
"""ipp-cluster: its verbs with the real ipp-engine, its failures with one that misbehaves."""
from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from typing import Any, Iterator

import ipyparallel
import pytest

import procs
from ipp_cluster import HERE, MPI, ipp_engine, job_env
from cluster import python

pytestmark = pytest.mark.ours_only("ipp-cluster starts ipp-engine")
FAKE = os.path.join(HERE, "fake_engine.py")
RUN_SECONDS = 50.0


class Terminal:
    """Runs ipp-cluster in a private IPYTHONDIR; every process that it starts carries a mark."""

    def __init__(self, folder: str) -> None:
        self.token = os.urandom(16).hex()
        self.ipython_dir = os.path.join(folder, "ipython")
        self.program = os.path.join(os.path.dirname(ipp_engine()), "ipp-cluster")
        self.env = {**os.environ, **job_env(), procs.MARK: self.token, "IPYTHONDIR": self.ipython_dir,
                    "LC_ALL": "C.UTF-8"}
        self.env.pop("NOTIFY_SOCKET", None)

    def popen(self, *args: str, **env: str) -> subprocess.Popen[str]:
        return subprocess.Popen([self.program, *args], env={**self.env, **env}, text=True, stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def run(self, *args: str, code: int = 0, **env: str) -> str:
        """What it printed on both streams; AssertionError for another exit code."""
        child = self.popen(*args, **env)
        try:
            out, err = child.communicate(timeout=RUN_SECONDS)
        finally:
            child.kill()
        assert child.returncode == code, f"ipp-cluster {args}: code {child.returncode}\n{out}{err}"
        return out + err

    def fake(self, mode: str, *args: str, code: int = 0, **env: str) -> str:
        """ipp-cluster start with an ipp-engine that misbehaves in the way `mode`."""
        return self.run("start", "--engine-program", FAKE, *args, code=code, FAKE_ENGINE=mode, **env)

    def json(self, *args: str, code: int = 0) -> Any:
        return json.loads(self.run(*args, "--json", code=code))

    def pids(self) -> list[int]:
        return procs.marked(self.token)

    def files(self) -> list[str]:
        """All files but logs and IPython's own, relative to IPYTHONDIR."""
        found = []
        for folder, _, names in os.walk(self.ipython_dir):
            if os.path.basename(folder) in ("pid", "security"):
                found += [os.path.relpath(os.path.join(folder, name), self.ipython_dir) for name in names]
        return sorted(found)


@pytest.fixture
def terminal(tmp_path: Any) -> Iterator[Terminal]:
    made = Terminal(str(tmp_path))
    yield made
    left = made.pids()
    procs.kill_all(left)
    assert not left, "processes left behind"


def assert_nothing_left(terminal: Terminal) -> None:
    procs.wait_until(lambda: not terminal.pids(), 2, "all processes gone")
    assert [name for name in terminal.files() if not name.endswith(".over")] == []


# ---- with the real ipp-engine ----

def test_start_use_stop(terminal: Terminal) -> None:
    said = terminal.run("start", "-n", "2", f"--python={python()}")
    assert re.search(r"^cluster 'default': 2 engines ready in [\d.]+ s; ipyparallel\.Client\(\) connects$", said, re.M)
    status = terminal.json("status")
    assert status["condition"] == "running" and status["engines"] == 2 and status["cluster_id"] == ""
    assert procs.environ_of(status["pid"])[procs.MARK] == terminal.token
    with ipyparallel.Client(connection_info=status["connection_file"], timeout=20) as rc:
        assert rc.ids == [0, 1]
        assert rc[:].apply_sync(int, "7") == [7, 7]
    assert re.search(r"^cluster 'default': stopped in [\d.]+ s$", terminal.run("stop"), re.M)
    assert_nothing_left(terminal)


def test_engine_says_what_is_wrong(terminal: Terminal) -> None:
    said = terminal.run("start", "-n", "1", "--ip=192.0.2.77", "--timeout=20", code=1)
    assert "192.0.2.77" in said
    assert_nothing_left(terminal)


def test_wrong_engine_option_ends_the_start(terminal: Terminal) -> None:
    said = terminal.run("start", "-n", "1", "--bind=moon", "--timeout=20", code=1)
    assert "--bind=moon" in said
    assert_nothing_left(terminal)


def test_client_shutdown_leaves_a_record_that_stop_cleans(terminal: Terminal) -> None:
    terminal.run("start", "-n", "1", f"--python={python()}")
    status = terminal.json("status")
    with ipyparallel.Client(connection_info=status["connection_file"], timeout=20) as rc:
        rc.shutdown(hub=True, block=False)
        procs.wait_until(lambda: not terminal.pids(), 20, "end of the cluster")
    assert terminal.json("status", code=1)["condition"] == "gone"
    assert "had ended before" in terminal.run("stop", code=1)
    assert_nothing_left(terminal)


# ---- verbs ----

def test_two_clusters_and_list(terminal: Terminal) -> None:
    assert "no clusters" in terminal.run("list")
    terminal.fake("ready", "-n", "1")
    said = terminal.fake("ready", "-n", "2", "--profile=p", "--cluster-id=x")
    assert "cluster 'x' of profile 'p': 2 engines ready" in said
    assert "ipyparallel.Client(profile='p', cluster_id='x') connects" in said
    assert [(c["profile"], c["cluster_id"], c["condition"], c["engines"]) for c in terminal.json("list")] == [
        ("default", "", "running", 1), ("p", "x", "running", 2)]
    lines = terminal.run("list").splitlines()
    assert len(lines) == 2 and lines[1].startswith("cluster 'x' of profile 'p': running, 2 engines")
    assert len(terminal.run("stop", "--all").splitlines()) == 2
    assert_nothing_left(terminal)


def test_second_start_is_refused(terminal: Terminal) -> None:
    terminal.fake("ready", "-n", "1")
    said = terminal.fake("ready", "-n", "1", code=1)
    assert "cluster 'default' runs already (1 engines" in said and len(said.splitlines()) == 1
    terminal.run("stop")


def test_only_one_of_two_starts_at_once(terminal: Terminal) -> None:
    both = [terminal.popen("start", "-n", "1", "--engine-program", FAKE) for _ in range(2)]
    said = [child.communicate(timeout=RUN_SECONDS) for child in both]
    assert sorted(child.returncode for child in both) == [0, 1], said
    terminal.run("stop")
    assert_nothing_left(terminal)


def test_logs(terminal: Terminal) -> None:
    assert "no log" in terminal.run("logs", code=1)
    terminal.fake("ready", "-n", "1")
    # mpirun passes on what ranks print in its own time; the engine told ipp-cluster itself that it is ready.
    procs.wait_until(lambda: "fake engine: 1 engines ready" in terminal.run("logs"), 10, "the line of rank 0")
    assert len(terminal.run("logs", "-n", "1").splitlines()) == 1
    follower = terminal.popen("logs", "-f")
    terminal.run("stop")
    out, _ = follower.communicate(timeout=20)
    assert follower.returncode == 0 and "fake engine" in out


def test_stop_and_status_of_nothing(terminal: Terminal) -> None:
    assert "cluster 'default' does not run: nothing to stop" in terminal.run("stop", code=1)
    assert "nothing to stop" in terminal.run("stop", "--all")
    assert "not started" in terminal.run("status", code=1)
    assert terminal.json("status", code=1)["condition"] == "none"


# ---- ends that are not orderly ----

def test_stubborn_engines_are_ended_by_force(terminal: Terminal) -> None:
    terminal.fake("stubborn", "-n", "2")
    assert "ended by force" in terminal.run("stop", "--grace=1")
    assert_nothing_left(terminal)


def test_killed_mpirun(terminal: Terminal) -> None:
    terminal.fake("stubborn", "-n", "2")
    mpirun = terminal.json("status")["pid"]
    os.kill(mpirun, signal.SIGKILL)
    procs.wait_until(lambda: mpirun not in terminal.pids(), 5, "end of mpirun")
    # Open MPI's ranks stay, MPICH's proxy may end them.
    broken = terminal.json("status", code=1)["condition"] == "broken"
    said = terminal.run("stop", code=0 if broken and terminal.pids() else 1)
    assert "mpirun was gone already" in said or "had ended before" in said
    assert_nothing_left(terminal)


def test_start_cleans_up_after_a_killed_cluster(terminal: Terminal) -> None:
    terminal.fake("ready", "-n", "1")
    procs.kill_all(terminal.pids())
    procs.wait_until(lambda: not terminal.pids(), 5, "all killed")
    assert terminal.json("status", code=1)["condition"] == "gone"
    terminal.fake("ready", "-n", "1")
    assert terminal.json("status")["condition"] == "running"
    terminal.run("stop")


def test_another_process_with_the_recorded_pid_is_left_alone(terminal: Terminal) -> None:
    terminal.fake("ready", "-n", "1")
    status = terminal.json("status")
    procs.kill_all(terminal.pids())
    procs.wait_until(lambda: not terminal.pids(), 5, "all killed")
    path = os.path.join(terminal.ipython_dir, "profile_default", "pid", "ipp-cluster.json")
    with subprocess.Popen(["sleep", "100"], env={**os.environ, procs.MARK: ""}) as bystander:
        with open(path) as file:
            record = json.load(file)
        assert record["pid"] == status["pid"]
        with open(path, "w") as file:
            json.dump({**record, "pid": bystander.pid}, file)
        terminal.run("stop", code=1)
        assert bystander.poll() is None
        bystander.kill()


def test_cluster_of_another_host(terminal: Terminal) -> None:
    terminal.fake("ready", "-n", "1")
    path = os.path.join(terminal.ipython_dir, "profile_default", "pid", "ipp-cluster.json")
    with open(path) as file:
        text = file.read()
    with open(path, "w") as file:
        json.dump({**json.loads(text), "host": "elsewhere.example.org"}, file)
    assert "started on elsewhere.example.org: stop it there" in terminal.run("stop", code=1)
    assert "started on elsewhere.example.org" in terminal.fake("ready", "-n", "1", code=1)
    assert terminal.json("status", code=1)["condition"] == "elsewhere"
    with open(path, "w") as file:
        file.write(text)
    terminal.run("stop")


# ---- starts that fail ----

def test_engines_that_end_at_once(terminal: Terminal) -> None:
    said = terminal.fake("exit", "-n", "1", code=1)
    assert "ended before its engines were ready" in said and "fake engine: rank 0 of 3" in said
    assert_nothing_left(terminal)


def test_refusal_comes_with_its_reason(terminal: Terminal) -> None:
    said = terminal.fake("refuse", "-n", "1", code=1)
    assert "cluster 'default' could not start: cannot listen on 192.0.2.1" in said
    assert_nothing_left(terminal)


def test_time_limit(terminal: Terminal) -> None:
    said = terminal.fake("silent", "-n", "1", "--timeout=1", "--grace=1", code=1)
    assert "not ready after 1 s and has been stopped" in said
    assert_nothing_left(terminal)


def test_interrupt_stops_what_was_started(terminal: Terminal) -> None:
    child = terminal.popen("start", "-n", "1", "--engine-program", FAKE, FAKE_ENGINE="silent")
    procs.wait_until(lambda: len(terminal.pids()) >= 4, 10, "ranks started")
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=RUN_SECONDS)
    assert child.returncode == 1 and "interrupted" in err
    assert_nothing_left(terminal)


@pytest.mark.parametrize("args, code, words", [
    (["start"], 1, "how many engines"),
    (["start", "-n", "0"], 1, "how many engines"),
    (["start", "-n", "-1"], 2, "-n -1: not a whole number"),
    (["start", "-n", "four"], 2, "-n four: not a whole number"),
    (["start", "-n", "1", "--engine-program=/no/such"], 1, "no program /no/such (--engine-program)"),
    (["start", "-n", "1", "--mpirun=/no/such"], 1, "no program /no/such (--mpirun)"),
    (["start", "-n", "1", "--mpirun-args=$(id)"], 1, "--mpirun-args=$(id): quote it"),
    (["start", "-n", "1", "--cluster-id=a/b"], 1, "cluster id"),
    (["start", "-n", "1", "--profile=../x"], 1, "profile"),
    (["start", "-n", "1", "four"], 2, "what is 'four'?"),
    (["sart"], 2, "no verb 'sart'"),
    ([], 2, "Usage: ipp-cluster VERB"),
])
def test_typed_wrong(terminal: Terminal, args: list[str], code: int, words: str) -> None:
    said = terminal.run(*args, code=code)
    assert words in said
    assert code == 2 or len(said.splitlines()) == 1


def test_folder_that_cannot_be_made(terminal: Terminal, tmp_path: Any) -> None:
    (tmp_path / "file").write_text("")
    said = terminal.fake("ready", "-n", "1", code=1, IPYTHONDIR=str(tmp_path / "file"))
    assert "cannot make the folder" in said and "IPYTHONDIR" in said and len(said.splitlines()) == 1


def test_record_that_is_none(terminal: Terminal) -> None:
    folder = os.path.join(terminal.ipython_dir, "profile_default", "pid")
    os.makedirs(folder)
    with open(os.path.join(folder, "ipp-cluster.json"), "w") as file:
        file.write("{}")
    for verb in (["stop"], ["status"], ["start", "-n", "1", "--engine-program", FAKE]):
        said = terminal.run(*verb, code=1)
        assert "is not a record of ipp-cluster: remove it" in said and len(said.splitlines()) == 1


@pytest.mark.skipif(os.geteuid() != 0 or MPI != "openmpi", reason="only Open MPI minds root")
def test_root_is_told(terminal: Terminal) -> None:
    for name in ("OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"):
        terminal.env.pop(name)
    said = terminal.fake("ready", "-n", "1")
    assert "you are root" in said and "OMPI_ALLOW_RUN_AS_ROOT=1" in said
    terminal.run("stop")


def test_help_and_version(terminal: Terminal) -> None:
    assert "First steps" in terminal.run("--help")
    assert re.fullmatch(r"ipp-cluster of ippmpi \d+\.\d+\.\d+\n", terminal.run("--version"))
    assert "--engine-program" in terminal.run("start", "--help")


# ---- groups ----


@pytest.mark.parametrize("args, groups", [
    (("--group", "ocean=2", "--group=ice=1"), ["ocean", "ocean", "ice"]),
    (("-n", "3", "--group", "ocean=2"), ["", "ocean", "ocean"]),
])
def test_groups(terminal: Terminal, args: tuple[str, ...], groups: list[str]) -> None:
    terminal.run("start", *args)
    engines = json.loads(subprocess.run(
        [os.path.join(os.path.dirname(ipp_engine()), "ipp-steer"), "engines", "--json"], env=terminal.env,
        check=True, capture_output=True, text=True, timeout=RUN_SECONDS).stdout)
    assert [engine["group"] for engine in engines] == groups
    terminal.run("stop")


@pytest.mark.parametrize("args, said", [
    (("--group", "ocean"), "ocean: not NAME=N"), (("--group", "ocean=0"), "ocean=0: a group has engines"),
    (("--group", "ocean=x"), "x: not a whole number"), (("--group", "all=2"), 'not "all"'),
    (("--group", "2d=2"), "begins with a letter"), (("--group", "a=1", "--group", "a=2"), "a: it is there twice"),
    (("-n", "1", "--group", "ocean=2"), "-n 1: the groups are of 2 engines"),
])
def test_groups_that_make_no_sense(terminal: Terminal, args: tuple[str, ...], said: str) -> None:
    assert said in terminal.run("start", *args, code=2)

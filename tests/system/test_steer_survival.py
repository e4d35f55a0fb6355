# SPDX-License-Identifier: BSD-3-Clause
"""ippmpi when things break: networks, engines, clusters, versions, keyboards, forks, ends."""
from __future__ import annotations

import os
import pty
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import Any

import numpy as np
import pytest

from cluster import Cluster, under_engines
from conftest import Gate
from ippmpi_client import Network, changed_file, environment, ippmpi
from remote import echo, mark, mark_and_wait, pass_gate
from procs import wait_until

pytestmark = pytest.mark.ours_only("ippmpi speaks to no other cluster")


# ---- networks ----


def test_every_answer_once_over_a_network_that_breaks(
    remote: Any, network: Network, tmp_path: Any
) -> None:
    count = 10_000
    with remote.executor() as executor:
        futures = [executor.submit(mark, str(tmp_path), i) for i in range(count)]
        for share in (0.1, 0.3, 0.5, 0.8):
            wait_until(lambda: futures[int(count * share)].done(), 30, f"{share} of it")
            network.cut()
        assert [future.result(30) for future in futures] == list(range(count))
    assert network.connections >= 3
    files = os.listdir(tmp_path)
    assert len(files) == count and all(os.path.getsize(tmp_path / name) == 1 for name in files)


def test_blocking_calls_over_a_network_that_breaks(remote: Any, network: Network) -> None:
    for i in range(30):
        cut = threading.Timer(0.001 * (i % 7), network.cut)
        cut.start()
        assert remote[:].apply(echo, i) == [i] * len(remote)
        cut.join()


def test_large_arrays_over_a_network_that_breaks(remote: Any, network: Network) -> None:
    array = np.random.default_rng(3).random(4_000_000)
    cut = threading.Timer(0.05, network.cut)
    cut.start()
    remote[0].push(a=array)
    cut.join()
    cut = threading.Timer(0.05, network.cut)
    cut.start()
    assert np.array_equal(remote[0].pull("a"), array)
    cut.join()


# ---- engines and clusters ----


def test_an_engine_that_dies(gate: Gate, tmp_path: Any) -> None:
    with under_engines(3, check=False) as cluster:
        with ippmpi.connect(cluster.connection_file) as c, c.executor() as executor:
            c.echo = False
            mark_path = str(tmp_path / "begun")
            held = c[1].apply_async(pass_gate, gate.path)
            both = c[:].apply_async(echo, 1)
            c[0].apply(echo, mark_path)
            futures = [executor.submit(pass_gate, gate.path, i) for i in range(30)]
            os.kill(c.engines.about[1]["pid"], signal.SIGKILL)
            assert isinstance(held.exception(30), ippmpi.EngineError)
            assert held.exception().engine == 1
            error = both.exception(30)
            assert isinstance(error, ippmpi.EngineError) and error.engine == 1
            wait_until(lambda: c.engines == [0, 2], 20, "known to be dead")
            gate.open()
            outcomes = [f.exception(30) for f in futures]
            lost = [e for e in outcomes if e is not None]
            assert len(lost) <= 3 and all(isinstance(e, ippmpi.EngineError) for e in lost)
            for error in lost:
                assert str(error) == "[1] EngineError: engine 1 died while it had this task"
            assert c[:].apply(echo, 2) == [2, 2]
            with pytest.raises(IndexError):
                c[1]
            assert list(executor.map(echo, range(1000))) == list(range(1000))


@pytest.mark.parametrize("how", ["task", "request"])
@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGSEGV])
def test_the_last_engine_dies(gate: Gate, tmp_path: Any, signum: int, how: str) -> None:
    """Who has asked it for something is told so, and not that the cluster was shut down."""
    begun = tmp_path / "begun"
    with under_engines(1, check=False) as cluster:
        with ippmpi.connect(cluster.connection_file) as c, c.executor() as executor:
            pid = c.engines.about[0]["pid"]
            run = executor.submit if how == "task" else c[0].apply_async
            future = run(mark_and_wait, str(begun), gate.path)
            wait_until(begun.exists, 20, "begun")
            os.kill(pid, signum)
            error = future.exception(30)
            assert isinstance(error, ippmpi.EngineError) and error.engine == 0, error
            assert "engine 0" in str(error) and "died" in str(error)


def test_tasks_of_an_engine_that_dies_may_be_retried(gate: Gate) -> None:
    with under_engines(3, check=False) as cluster:
        with ippmpi.connect(cluster.connection_file) as c:
            with c.executor(retries=2) as executor:
                futures = [executor.submit(pass_gate, gate.path, i) for i in range(30)]
                c[0].barrier_async()
                os.kill(c.engines.about[1]["pid"], signal.SIGKILL)
                wait_until(lambda: c.engines == [0, 2], 20, "known to be dead")
                gate.open()
                assert [f.result(30) for f in futures] == list(range(30))


def test_a_cluster_that_ends(gate: Gate) -> None:
    with under_engines(2, check=False) as cluster:
        c = ippmpi.connect(cluster.connection_file)
        executor = c.executor()
        futures = [executor.submit(pass_gate, gate.path, i) for i in range(500)]
        held = c[0].apply_async(pass_gate, gate.path)
        failed: list[BaseException] = []

        def block() -> None:
            try:
                c[1].apply(pass_gate, gate.path)
            except Exception as error:
                failed.append(error)

        thread = threading.Thread(target=block)
        thread.start()
        c[:].apply_async(echo)
        cluster.end()
        for future in (held, *futures):
            assert isinstance(future.exception(30), (ippmpi.EngineError, ConnectionError))
        thread.join(20)
        assert isinstance(failed[0], (ippmpi.EngineError, ConnectionError))
        with pytest.raises((OSError, ippmpi.EngineError, IndexError)):
            for _ in range(1000):
                c[0].apply(echo, 1)
        executor.shutdown()
        c.close()


def test_a_file_of_a_cluster_that_is_gone(tmp_path: Any) -> None:
    with under_engines(1, check=False) as cluster:
        path = changed_file(cluster, "kept.json")
        kept = tmp_path / "kept.json"
        kept.write_bytes(open(path, "rb").read())
        kept.chmod(0o600)
        bridge = cluster.ranks()[0]
        os.kill(bridge, signal.SIGKILL)
        wait_until(lambda: not os.path.exists(f"/proc/{bridge}"), 20, "dead")
    began = time.monotonic()
    with pytest.raises(OSError):
        ippmpi.connect(str(kept), timeout=3)
    assert time.monotonic() - began < 10


# ---- versions ----


def test_another_python_version_is_said_before_anything_is_sent(
    cluster: Cluster, monkeypatch: Any
) -> None:
    from ippmpi.session import Session

    about = Session.about
    monkeypatch.setattr(Session, "about", lambda self: {**about(self), "python": "3.4.1"})
    with ippmpi.connect(cluster.connection_file) as c:
        for call in (
            lambda: c[0].apply(echo, 1),
            lambda: c[0].apply_async(echo, 1),
            lambda: c[0].push(a={1}),
            lambda: c[:].reduce("a", max),
            lambda: c.executor().submit(echo, 1),
            lambda: c.executor().map(echo, [1]),
        ):
            with pytest.raises(ippmpi.PythonVersionError, match="engines run Python 3.4.1"):
                call()
        assert c[0].execute("6 * 7").value_text == "42"
        c[0].push(a=np.arange(3), n=1)
        assert c[0].pull("n") == 1 and c[0].pull("a").tolist() == [0, 1, 2]


# ---- keyboards ----


def script(cluster: Cluster, body: str) -> subprocess.Popen[str]:
    """A Python of its own with `c` connected, `echo` and `pass_gate`; prints what the test reads."""
    code = f"""
import os, signal, sys, threading, time
import ippmpi
c = ippmpi.connect({cluster.connection_file!r})
c.echo = False
def echo(x=None): return x
def pass_gate(path, value=None):
    import os, time
    while not os.path.exists(path): time.sleep(0.005)
    return value
def say(*words): print(*words, flush=True)
{body}
"""
    return subprocess.Popen(
        [sys.executable, "-c", code],
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(child: subprocess.Popen[str], code: int = 0) -> str:
    try:
        out, err = child.communicate(timeout=30)
    except subprocess.TimeoutExpired:
        child.send_signal(signal.SIGABRT)
        out, err = child.communicate()
        raise AssertionError(f"it hangs:\n{out}{err}") from None
    assert child.returncode == code, out + err
    return out + (err if code else "")


WAITS = {
    "blocking": "c[0].apply(pass_gate, gate)",
    "future": "c[0].apply_async(pass_gate, gate).result()",
    "beside a future": "f = c[1].apply_async(pass_gate, gate); c[0].apply(pass_gate, gate)",
    "map": "next(c.executor().map(pass_gate, [gate]))",
    "barrier of another thread's": "start = threading.Thread(target=c[0].apply, args=(pass_gate, gate)).start\n"
    "    start()\n    time.sleep(0.2)\n    c[0].barrier()",
}


@pytest.mark.parametrize("how", WAITS)
def test_ctrl_c_ends_the_waiting_at_once(
    cluster: Cluster, tmp_path: Any, gate: Gate, how: str
) -> None:
    child = script(
        cluster,
        f"""
gate = {gate.path!r}
try:
    say("waiting")
    {WAITS[how]}
except KeyboardInterrupt:
    say("interrupted")
open(gate, "w").close()
say(c[0].apply(echo, 1), c[:].apply(echo, 2))
""",
    )
    assert child.stdout and child.stdout.readline() == "waiting\n"
    time.sleep(0.5)  # it is to be inside the wait; there is nothing to see from outside
    sent = time.monotonic()
    child.send_signal(signal.SIGINT)
    assert child.stdout.readline() == "interrupted\n"
    assert time.monotonic() - sent < 2
    assert finish(child) == f"1 {[2] * cluster.n}\n"


def test_ctrl_c_ends_connecting(cluster: Cluster) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        path = changed_file(cluster, "silent.json", ipc="", port=silent.getsockname()[1])
        child = script(
            cluster,
            f"""
say("connecting")
try:
    ippmpi.connect({path!r}, timeout=60)
except KeyboardInterrupt:
    say("interrupted")
""",
        )
        assert child.stdout and child.stdout.readline() == "connecting\n"
        silent.settimeout(20)
        silent.accept()
        child.send_signal(signal.SIGINT)
        sent = time.monotonic()
        assert finish(child) == "interrupted\n"
        assert time.monotonic() - sent < 5


def test_ctrl_c_at_any_moment_loses_nothing(cluster: Cluster) -> None:
    child = script(
        cluster,
        """
def on_sigint(*_):
    global armed, hits
    if armed:
        armed = False
        hits += 1
        raise KeyboardInterrupt
def kill():
    while not over:
        time.sleep(0.003)
        os.kill(os.getpid(), signal.SIGINT)
armed = over = False
hits = 0
futures = []
executor = c.executor()
signal.signal(signal.SIGINT, on_sigint)
killer = threading.Thread(target=kill)
killer.start()
end = time.monotonic() + 4
while time.monotonic() < end:
    try:
        armed = True
        for i in range(100):
            assert c[i % 2].apply(echo, i) == i
            futures.append((i, c[:].apply_async(echo, i)))
            futures.append((i, executor.submit(echo, i)))
        armed = False
    except KeyboardInterrupt:
        pass
over = True
killer.join()
for i, future in futures:
    assert future.result(20) in (i, [i] * len(c)), (i, future)
executor.shutdown()
say(hits > 50, len(futures) > 100, c[0].apply(echo, 3))
""",
    )
    assert finish(child) == "True True 3\n"


def test_px_interrupts_the_engines(cluster: Cluster, tmp_path: Any) -> None:
    begun = f"open({str(tmp_path)!r} + f'/{{engine_id}}', 'w').close()"
    code = f"from _ippmpi_engine import engine_id\n{begun}\nwhile True: pass"
    child = script(
        cluster,
        f"""
from ippmpi.magics import _interruptible
view = c[:2]
say("waiting")
try:
    _interruptible(view, {code!r}, False)
except ippmpi.CompositeError as error:
    say(error)
say(view.apply(echo, 1))
""",
    )
    wait_until(lambda: sorted(os.listdir(tmp_path)) == ["0", "1"], 20, "begun on both")
    child.send_signal(signal.SIGINT)
    out = finish(child)
    assert out == "waiting\n[0-1] KeyboardInterrupt: \n[1, 1]\n"


# ---- forks and ends ----


def test_a_forked_child_is_told(cluster: Cluster) -> None:
    child = script(
        cluster,
        """
future = c[0].apply_async(time.sleep, 0.5)
view = c[0]
pid = os.fork()
if pid == 0:
    told = 0
    for call in (lambda: view.apply(echo, 1), lambda: c.engines, lambda: future.result(),
                 lambda: view.apply_async(echo, 1), lambda: c.executor()):
        try:
            call()
        except RuntimeError as error:
            told += "parent process" in str(error)
    c.close()
    with ippmpi.connect(c_file) as mine:
        ok = mine[0].apply(echo, 5) == 5
    sys.exit(10 + told if ok else 1)
_, status = os.waitpid(pid, 0)
say(os.waitstatus_to_exitcode(status), future.result(), c[0].apply(echo, 2))
""".replace(
            "c_file", repr(cluster.connection_file)
        ),
    )
    assert finish(child) == "15 None 2\n"


@pytest.mark.parametrize(
    "left",
    [
        "c[0].apply_async(pass_gate, '/nowhere-at-all')",
        "f = c[0].apply_async(time.sleep, 0.2); f.add_done_callback(lambda f: None)",
        "e = c.executor(); e.map(time.sleep, [0.1] * 50)",
        "threading.Thread(target=c[0].apply, args=(pass_gate, '/nowhere-at-all'),"
        " daemon=True).start()",
        "import gc; keep = [c]; keep.append(keep)",
    ],
)
def test_the_interpreter_ends(left: str) -> None:
    with under_engines(2, check=False) as cluster:
        child = script(cluster, f"{left}\ntime.sleep(0.1)\nsay('end')")
        assert finish(child) == "end\n"


def test_works_in_ipython_with_magics(cluster: Cluster, tmp_path: Any) -> None:
    code = f"""
%load_ext ippmpi
%pxon --connect {cluster.connection_file}
%px a = 1
%pxon 0-1
get_ipython().run_cell_magic('px', '', 'print("hi", a)')
get_ipython().run_cell_magic('px', '--on 2 --out r --quiet', 'a + 41')
print(r)
%px nonsense
"""
    env = {**environment(), "IPYTHONDIR": str(tmp_path), "TERM": "dumb"}
    main, other = pty.openpty()
    command = [
        sys.executable,
        "-m",
        "IPython",
        "--simple-prompt",
        "--no-banner",
        "--colors=NoColor",
    ]
    child = subprocess.Popen(command, env=env, stdin=other, stdout=other, stderr=other)
    os.close(other)
    os.write(main, code.encode() + b"exit\n")
    seen = b""
    while select.select([main], [], [], 20)[0]:
        try:
            data = os.read(main, 65536)
        except OSError:
            break
        seen += data
    os.close(main)
    assert child.wait(20) == 0
    text = seen.decode().replace("\r", "")
    assert "[0] hi 1\n" in text and "[1] hi 1\n" in text and "[2] hi" not in text
    assert "[2] 42\n" in text
    assert "[0-1] NameError: name 'nonsense' is not defined" in text

# SPDX-License-Identifier: BSD-3-Clause
"""ippmpi for Python against a cluster: every verb and its future, values, output, errors."""
from __future__ import annotations

import asyncio
import errno
import inspect
import operator
import os
import re
import subprocess
import sys
import threading
import time
import traceback
from concurrent.futures import CancelledError, as_completed, wait
from typing import Any, Iterator

import numpy as np
import pytest
from ipyparallel import interactive

from cluster import Cluster, under_engines
from conftest import SHARED_ENGINES, Gate
from ipp_cluster import ipp_engine
from ippmpi_client import changed_file, environment, ippmpi
from remote import pass_gate

pytestmark = pytest.mark.ours_only("ippmpi speaks to no other cluster")
IDS = list(range(SHARED_ENGINES))


@pytest.fixture
def c(cluster: Cluster) -> Iterator[Any]:
    with ippmpi.connect(cluster.connection_file) as client:
        client.echo = False
        yield client
        client[:].execute("%reset -f")


@interactive
def double(x: Any) -> Any:
    return 2 * x


@interactive
def die(message: str) -> None:
    raise ValueError(message)


@interactive
def note(x: Any) -> None:
    log.append(x)  # noqa: F821


# ---- finding engines ----


def test_engines_are_listed_and_tell_of_themselves(c: Any) -> None:
    assert c.engines == IDS and len(c) == SHARED_ENGINES
    assert {int(c.engines.about[i]["pid"]) for i in IDS} == set(c[:].apply(os.getpid))
    assert c.about["role"] == "owner"
    assert [v.targets for v in c] == [str(i) for i in IDS]


def test_brackets_choose_engines(c: Any) -> None:
    who = "from _ippmpi_engine import engine_id as me"
    c[:].execute(who)
    for key, ids in (
        (slice(None), IDS),
        (slice(1, 3), [1, 2]),
        (slice(None, None, 2), [0, 2]),
        ([0, 3], [0, 3]),
        ("1-2", [1, 2]),
        ("0,2-3", [0, 2, 3]),
    ):
        assert c[key].pull("me") == ids and c[key].ids == ids
    assert c[2].pull("me") == c["2"].pull("me") == 2
    assert c[-1].pull("me") == IDS[-1]


@pytest.mark.parametrize("key", [99, -9, slice(7, 9), [0, 99]])
def test_engines_that_are_not_there(c: Any, key: Any) -> None:
    with pytest.raises(IndexError):
        c[key]


def test_a_group_that_is_not_there(c: Any) -> None:
    with pytest.raises(IndexError, match="ocean"):
        c["ocean"].apply(int)
    with pytest.raises(IndexError, match="no group 'ocean'"):
        c["1,ocean"].scatter("a", [1])


def test_other_keys_are_refused_in_words(c: Any) -> None:
    with pytest.raises(TypeError, match="by an id, a slice"):
        c[1.5]
    with pytest.raises(TypeError, match="not by bool"):
        c[True]


def test_ids_are_in_a_client(c: Any) -> None:
    assert all(i in c for i in IDS) and np.int64(2) in c
    for other in (SHARED_ENGINES, -1, True, "2", None, 0.5, [0]):
        assert other not in c


# ---- functions ----


def test_apply_to_one_and_to_all(c: Any) -> None:
    assert c[0].apply(double, 21) == 42
    assert c[:].apply(double, "ab") == ["abab"] * SHARED_ENGINES
    assert c[1:3].apply(divmod, 7, 3) == [(2, 1)] * 2
    assert c[0].apply(dict, a=1, b=[2]) == {"a": 1, "b": [2]}


def test_functions_of_main_travel_with_closures_and_defaults(c: Any) -> None:
    base = 10

    def add(x: int, y: int = 5) -> int:
        return base + x + y

    assert c[0].apply(add, 1) == 16
    base = 20
    assert c[0].apply(add, 1, y=0) == 21
    assert c[:].apply(lambda: (lambda z: z + base)(1)) == [21] * SHARED_ENGINES


def test_scripts_functions_use_names_of_the_engine(cluster: Cluster) -> None:
    script = """
import ippmpi
with ippmpi.connect(WHERE) as c:
    c[:].push(here=7)
    def use(): return here + 1
    print(c[0].apply(use), c[:].apply(lambda: here))
    class Point:
        def __init__(self, x): self.x = x
        def __eq__(self, other): return self.x == other.x
    assert c[0].apply(lambda p: p, Point(3)) == Point(3)
"""
    out = run_script(cluster, script)
    assert out == f"8 {[7] * SHARED_ENGINES}\n"


def run_script(cluster: Cluster, script: str, code: int = 0, stdin: str = "") -> str:
    """What a Python of its own prints; stderr too when it fails."""
    done = subprocess.run(
        [sys.executable, "-c", script.replace("WHERE", repr(cluster.connection_file))],
        env=environment(),
        text=True,
        input=stdin,
        capture_output=True,
        timeout=30,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + (done.stderr if code else "")


def test_arguments_and_values_of_any_kind(c: Any) -> None:
    array = np.arange(100_000.0)
    value = {"a": array, "b": [None, (1, "x")], "c": {1, 2}}
    back = c[0].apply(double, array)
    assert np.array_equal(back, 2 * array) and back.flags.writeable
    got = c[1].apply(lambda v: v, value)
    assert np.array_equal(got.pop("a"), array) and got == {"b": value["b"], "c": {1, 2}}


# ---- source code ----


def test_execute_returns_what_was_printed_and_shown(c: Any) -> None:
    result = c[0].execute("import sys\nprint('out')\nprint('err', file=sys.stderr)\n6 * 7")
    assert (result.stdout, result.stderr, result.value_text) == ("out\n", "err\n", "42")
    assert result.engine == 0 and result.execution_count >= 1
    assert {output.type for output in result.outputs} == {"stream", "execute_result"}
    results = c[:].execute("print('one')")
    assert results.stdout == {i: "one\n" for i in IDS}
    assert repr(results) == f"[0-{IDS[-1]}] one"


def test_what_goes_to_a_pager_is_shown(c: Any, capsys: Any) -> None:
    result = c[0].execute("len?", echo=True)
    assert [output.type for output in result.outputs] == ["display_data"]
    told = capsys.readouterr().out
    assert "Return the number of items in a container" in told and "\033" not in told


def test_run_sends_a_file(c: Any, tmp_path: Any) -> None:
    path = tmp_path / "code.py"
    path.write_text("# -*- coding: latin-1 -*-\nword = 'caf\xe9'\nprint(word)\n", "latin-1")
    assert c[:].run(path).stdout == {i: "caf\xe9\n" for i in IDS}
    assert c[2].run_async(str(path)).result(20).stdout == "caf\xe9\n"


def test_output_is_echoed_by_line_with_ids(c: Any, capsys: Any) -> None:
    c[:2].execute("print('a\\nb')", echo=True)
    lines = capsys.readouterr().out.splitlines()
    assert sorted(lines) == ["[0] a", "[0] b", "[1] a", "[1] b"]
    c[0].options(echo=True).apply(exec, "import sys; print('x', end=''); sys.stderr.write('y')")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("[0] x\n", "[0] y\n")
    c[0].execute("print('quiet')")
    assert capsys.readouterr().out == ""


def test_output_is_echoed_while_code_runs(c: Any, gate: Gate, soon: Any, capsys: Any) -> None:
    code = (
        f"import os, time\nprint('begun')\nwhile not os.path.exists({gate.path!r}): time.sleep(.01)"
    )
    future = c[0].execute_async(code, echo=True)
    seen = ""

    def begun() -> bool:
        nonlocal seen
        seen += capsys.readouterr().out
        return "[0] begun\n" in seen

    soon(begun, 20, "echoed before the end")
    assert not future.done()
    gate.open()
    assert future.result(20).stdout == "begun\n"


# ---- values ----


ARRAYS = [
    np.arange(6.0).reshape(2, 3),
    np.asfortranarray(np.arange(6).reshape(2, 3)),
    np.arange(10)[::3],
    np.array(7),
    np.zeros((0, 3), "c16"),
    np.array(["2020-01-01", "NaT"], "M8[D]"),
    np.array([(1, 2.5)], [("n", "<i4"), ("x", "<f8")]),
    np.array([True, False]),
    np.array(["a", "bcd"]),
]


@pytest.mark.parametrize("array", ARRAYS, ids=lambda a: f"{a.dtype}{a.shape}")
def test_arrays_come_back_as_they_were(c: Any, array: Any) -> None:
    c[0].push(a=array)
    back = c[0].pull("a")
    assert back.dtype == array.dtype and back.shape == array.shape
    assert np.array_equal(back, array, equal_nan=array.dtype.kind in "fcM")
    assert back.flags.writeable and back.flags.c_contiguous
    told = c[0].execute("type(a).__name__, a.flags.writeable").value_text
    assert told == "('ndarray', True)"


@pytest.mark.parametrize(
    "value", [None, True, -3, 2**80, 2.5, float("inf"), "t\xe4xt\0", [1], {2}]
)
def test_other_values_come_back_as_they_were(c: Any, value: Any) -> None:
    c[:].push(v=value, w=1)
    got = c[:].pull("v", "w")
    assert got == [(value, 1)] * SHARED_ENGINES and type(got[0][0]) is type(value)


def test_large_arrays_travel_in_chunks(c: Any) -> None:
    array = np.random.default_rng(1).random(5_000_000)
    c[:].push(big=array, small=1)
    assert c[1].apply(interactive(lambda: float(big.sum()))) == float(array.sum())  # noqa: F821
    back = c[0].pull("big")
    assert np.array_equal(back, array)
    back[0] = 5.0
    assert c[0].pull("big")[0] == array[0]


def test_a_pulled_array_outlives_its_client(cluster: Cluster) -> None:
    with ippmpi.connect(cluster.connection_file) as client:
        client[0].push(a=np.arange(300_000))
        array = client[0].pull("a")
    array += 1
    assert array.sum() == np.arange(300_001).sum()


def test_names_that_are_none(c: Any) -> None:
    with pytest.raises(ippmpi.RemoteError, match="NameError.*'nothing'"):
        c[0].pull("nothing")
    with pytest.raises(ValueError, match="no name of a variable"):
        c[0].pull("a b")


@pytest.mark.parametrize("shape", [(10, 3), (3,), (1, 2), (0,)])
def test_scatter_and_gather(c: Any, shape: tuple[int, ...]) -> None:
    array = np.arange(np.prod(shape)).reshape(shape)
    c[:].scatter("part", array)
    parts = c[:].pull("part")
    expected = np.array_split(array, SHARED_ENGINES)
    assert all(np.array_equal(a, b) for a, b in zip(parts, expected))
    assert np.array_equal(c[:].gather("part"), array)


def test_scatter_to_some_and_lists(c: Any) -> None:
    c["1,3"].scatter("some", range(5))
    assert c[[1, 3]].pull("some") == [[0, 1, 2], [3, 4]]
    assert c[[1, 3]].gather("some") == [0, 1, 2, 3, 4]


def test_gather_of_numbers(c: Any) -> None:
    c[:].execute("from _ippmpi_engine import engine_id as me")
    assert c[:].gather("me").tolist() == IDS


def test_gather_of_parts_that_do_not_fit(c: Any) -> None:
    c[:].push(a=np.zeros((2, 3)))
    c[1].push(a=np.zeros((2, 4)))
    c[2].push(a=np.zeros((2, 3), "f4"))
    with pytest.raises(ValueError, match=re.escape("[1] float64 (2, 4), [2] float32 (2, 3)")):
        c[:].gather("a")


def test_objects_where_raw_bytes_are_needed(c: Any) -> None:
    objects = np.array([1, "a"], object)
    with pytest.raises(TypeError, match="dtype object has no raw bytes"):
        c[:].scatter("a", objects)
    c[:].push(a=objects)
    with pytest.raises(TypeError, match="engine 0 is an array of dtype object"):
        c[:].gather("a")
    with pytest.raises(TypeError, match="engine 0 is dict"):
        c[:].push(a={})
        c[:].gather("a")
    with pytest.raises(TypeError, match="not str: push it"):
        c[:].scatter("a", "text")


def test_reduce(c: Any) -> None:
    c[:].execute(
        "import numpy\nfrom _ippmpi_engine import engine_id as me\na = numpy.arange(3) + me"
    )
    stack = np.array([np.arange(3) + i for i in IDS])
    for op, expected in (
        ("sum", stack.sum(0)),
        ("prod", stack.prod(0)),
        ("min", stack.min(0)),
        ("max", stack.max(0)),
        (np.maximum, stack.max(0)),
        (lambda x, y: x + 10 * y - 9 * y, stack.sum(0)),
    ):
        assert np.array_equal(c[:].reduce("a", op), expected)
    assert c[:].reduce("me") == sum(IDS)
    assert c[1:3].reduce_async("me", "max").result(20) == 2
    with pytest.raises(ValueError, match="not 'mean'"):
        c[:].reduce("a", "mean")
    c[1].push(a=np.zeros(5))
    with pytest.raises(ippmpi.RemoteError):
        c[:].reduce("a")


# ---- order, interrupts ----


def test_barrier_waits_for_what_was_sent_before(c: Any, gate: Gate) -> None:
    held = c[1].apply_async(pass_gate, gate.path, 1)
    barrier = c[:].barrier_async()
    with pytest.raises(TimeoutError):
        c[:].options(timeout=0.2).barrier()
    assert not barrier.done() and not held.done()
    gate.open()
    assert barrier.result(20) is None and held.done()
    c[:].barrier()


def test_requests_run_in_the_order_in_which_they_were_sent(c: Any) -> None:
    c[:].push(log=[])
    futures = [c[i % 2 if i % 3 else slice(None)].apply_async(note, i) for i in range(60)]
    wait(futures)
    for future in futures:
        future.result()
    for engine in (0, 1):
        mine = [i for i in range(60) if not i % 3 or i % 2 == engine]
        assert c[engine].pull("log") == mine


def test_interrupt(c: Any, gate: Gate, soon: Any, tmp_path: Any) -> None:
    mark = str(tmp_path / "mark")
    future = c[0].execute_async(f"open({mark!r}, 'w').close()\nwhile True: pass")
    soon(lambda: os.path.exists(mark), 20, "begun")
    c[0].interrupt()
    with pytest.raises(ippmpi.RemoteError, match="KeyboardInterrupt"):
        future.result(20)
    assert c[0].apply(double, 1) == 2


# Engines wait in the middle of making their IPython shell.
SLOW_SHELL = """
import os, sys, time

class Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == "ipykernel.zmqshell":
            open(MARK, "w").close()
            while not os.path.exists(GATE):
                time.sleep(0.005)

sys.meta_path.insert(0, Finder)
"""


@pytest.mark.limit(120)
def test_interrupt_of_a_cold_engines_first_cell(gate: Gate, soon: Any, tmp_path: Any) -> None:
    mark = tmp_path / "mark"
    source = SLOW_SHELL.replace("MARK", repr(str(mark))).replace("GATE", repr(gate.path))
    (tmp_path / "sitecustomize.py").write_text(source)
    with under_engines(1, env={"PYTHONPATH": str(tmp_path)}) as cluster:
        with ippmpi.connect(cluster.connection_file) as c:
            future = c[0].execute_async("ran = True\nwhile True: pass")
            soon(mark.exists, 30, "making the shell")
            c[0].interrupt()
            gate.open()
            with pytest.raises(ippmpi.RemoteError, match="KeyboardInterrupt"):
                future.result(30)
            assert c[0].execute("'ran' in globals()").value_text == "False"


# ---- futures ----


def test_futures_of_every_verb(c: Any, tmp_path: Any) -> None:
    view = c[:]
    array = np.arange(8)
    assert view.push_async(a=1).result(20) is None
    assert view.pull_async("a").result(20) == [1] * SHARED_ENGINES
    assert view.scatter_async("p", array).result(20) is None
    assert np.array_equal(view.gather_async("p").result(20), array)
    assert view.execute_async("print(a)").result(20).stdout == {i: "1\n" for i in IDS}
    assert view.barrier_async().result(20) is None
    assert view.interrupt_async().result(20) is None
    future = view.apply_async(double, 1)
    assert future.result(20) == [2] * SHARED_ENGINES and future.exception() is None
    assert isinstance(future, ippmpi.Future)


def test_futures_with_wait_and_callbacks(c: Any) -> None:
    futures = [c[i % SHARED_ENGINES].apply_async(double, i) for i in range(200)]
    called: list[int] = []
    for future in futures:
        future.add_done_callback(lambda done: called.append(done.result()))
    assert sorted(f.result() for f in as_completed(futures, 20)) == [2 * i for i in range(200)]
    c[0].barrier_async().result(20)
    assert sorted(called) == [2 * i for i in range(200)]


def test_a_callback_may_use_the_client(c: Any) -> None:
    got: list[Any] = []
    done = threading.Event()

    def then(future: Any) -> None:
        got.append(c[1].apply(double, future.result()))
        got.append(c[2].apply_async(double, 5).result(10))
        with c.executor() as executor:
            got.append(list(executor.map(double, [7])))
        done.set()

    c[0].apply_async(double, 1).add_done_callback(then)
    assert done.wait(20) and got == [4, 10, [14]]


def test_a_future_is_awaited(c: Any) -> None:
    async def both() -> Any:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0.01)

        ticking = asyncio.ensure_future(tick())
        values = await asyncio.gather(
            *(c[i].apply_async(double, i) for i in IDS), c[0].apply_async(time.sleep, 0.3)
        )
        ticking.cancel()
        with pytest.raises(ippmpi.RemoteError, match="no luck"):
            await c[0].apply_async(die, "no luck")
        return values, ticks

    values, ticks = asyncio.run(both())
    assert values == [*(2 * i for i in IDS), None] and ticks > 5


def test_a_blocking_verb_inside_a_running_loop(c: Any) -> None:
    async def inside() -> Any:
        return c[:].apply(double, 2)

    assert asyncio.run(inside()) == [4] * SHARED_ENGINES


def test_cancel_takes_it_off_the_queue(c: Any, gate: Gate, tmp_path: Any) -> None:
    mark = str(tmp_path / "ran")
    held = c[0].apply_async(pass_gate, gate.path)
    waiting = c[0].apply_async(exec, f"open({mark!r}, 'w').close()")
    assert waiting.cancel() and waiting.cancelled()
    c[1].barrier()
    gate.open()
    held.result(20)
    c[0].barrier()
    assert not os.path.exists(mark)
    with pytest.raises(CancelledError):
        waiting.result()
    assert not held.cancel()


# ---- errors ----


def test_errors_of_one_and_of_several(c: Any) -> None:
    with pytest.raises(ippmpi.RemoteError) as caught:
        c[2].apply(die, "no luck")
    error = caught.value
    assert (error.ename, error.evalue, error.engine) == ("ValueError", "no luck", 2)
    assert any("die" in line for line in error.traceback)
    with pytest.raises(ippmpi.CompositeError) as several:
        c[:].execute("1/0")
    assert str(several.value) == f"[0-{IDS[-1]}] ZeroDivisionError: division by zero"
    assert [e.engine for e in several.value.errors] == IDS
    with pytest.raises(ippmpi.RemoteError, match="no luck"):
        c[0].apply_async(die, "no luck").result(20)


def test_an_error_on_one_of_several(c: Any) -> None:
    c[1].push(odd=1)
    with pytest.raises(
        ippmpi.CompositeError if SHARED_ENGINES > 2 else ippmpi.RemoteError
    ) as caught:
        c[:].apply(interactive(lambda: odd))  # noqa: F821
    assert sorted(e.engine for e in caught.value.errors) == [0, 2, 3]


def test_values_that_cannot_travel(c: Any) -> None:
    with pytest.raises(TypeError):
        c[0].apply(double, threading.Lock())
    with pytest.raises(ippmpi.RemoteError, match="pickle"):
        c[0].apply(lambda: __import__("threading").Lock())
    assert c[0].apply(double, 1) == 2


def test_a_timeout_leaves_the_request_alone(c: Any, gate: Gate) -> None:
    with pytest.raises(TimeoutError):
        c[0].options(timeout=0.1).apply(pass_gate, gate.path)
    with pytest.raises(TimeoutError):
        c[0].apply_async(double, 1).result(0.1)
    gate.open()
    assert c[0].apply(double, 3) == 6


# ---- connecting ----


def test_discovery_is_ipyparallels(cluster: Cluster, monkeypatch: Any) -> None:
    monkeypatch.setenv("IPYTHONDIR", cluster.ipython_dir)
    for options in ({}, {"profile": "default"}, {"where": cluster.connection_file}):
        with ippmpi.connect(**options) as client:
            assert client.engines == IDS
    with pytest.raises(FileNotFoundError, match="ipcontroller-nobody-client.json"):
        ippmpi.connect(cluster_id="nobody")
    with pytest.raises(ValueError, match="not both"):
        ippmpi.connect("a", cluster_id="b")


@pytest.mark.parametrize("options, told", [
    ({}, "no cluster 'default' runs here (cannot read FOLDER/profile_default/security/"
         "ipcontroller-client.json: No such file or directory): start one with `ipp-cluster start`"),
    ({"where": "mine"}, "start one with `ipp-cluster start --cluster-id=mine`"),
    ({"profile": "mpi", "cluster_id": "a"}, "`ipp-cluster start --profile=mpi --cluster-id=a`"),
    ({"where": "./gone.json"}, "no cluster runs behind this file: cannot read ./gone.json"),
])
def test_no_cluster(options: Any, told: str, monkeypatch: Any, tmp_path: Any) -> None:
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    with pytest.raises(FileNotFoundError) as caught:
        ippmpi.connect(**options)
    said = "".join(traceback.format_exception(caught.value))
    assert told.replace("FOLDER", str(tmp_path)) in str(caught.value)
    assert caught.value.errno == errno.ENOENT and "Errno" not in str(caught.value)
    assert said.count("Traceback") == 1 and "session.py" not in said


def test_a_wrong_key_is_refused(cluster: Cluster) -> None:
    import zmq

    public, secret = zmq.curve_keypair()
    keys = {"public_key": public.decode(), "secret_key": secret.decode(), "ipc": ""}
    with pytest.raises(PermissionError):
        ippmpi.connect(changed_file(cluster, "wrong.json", **keys))


def test_over_tcp_with_curve(cluster: Cluster) -> None:
    with ippmpi.connect(changed_file(cluster, "tcp.json", ipc="")) as client:
        assert client[:].apply(double, 4) == [8] * SHARED_ENGINES
        array = np.random.default_rng(2).random(2_000_000)
        client[0].push(a=array)
        assert np.array_equal(client[0].pull("a"), array)


def test_close_fails_what_is_not_answered(cluster: Cluster, gate: Gate) -> None:
    client = ippmpi.connect(cluster.connection_file)
    future = client[0].apply_async(pass_gate, gate.path)
    threads = len(threading.enumerate())
    client.close()
    client.close()
    with pytest.raises(ConnectionError):
        future.result(10)
    with pytest.raises(OSError, match="closed"):
        client[0].apply(double, 1)
    assert client.closed and "closed" in repr(client)
    assert len(threading.enumerate()) == threads - 1


def test_a_client_that_nobody_keeps_closes(cluster: Cluster, soon: Any) -> None:
    client = ippmpi.connect(cluster.connection_file)
    client[0].apply_async(double, 1).result(20)
    connection = client._session.connection
    del client
    import gc

    gc.collect()
    soon(lambda: connection.closed, 10, "closed")


def test_a_future_keeps_its_client(cluster: Cluster) -> None:
    future = ippmpi.connect(cluster.connection_file)[0].apply_async(double, 8)
    assert future.result(20) == 16


# ---- reduce's other side: plain operators ----


def test_functions_of_modules_are_imported_there(c: Any) -> None:
    assert c[0].apply(operator.add, 1, 2) == 3
    assert c[0].apply(os.path.join, "a", "b") == "a/b"


# ---- groups ----


def test_a_group_is_a_view_like_others() -> None:
    more = [":", "-n", "2", ipp_engine(), "--group=ocean"]
    with under_engines(2, parts=more) as cluster:
        with ippmpi.connect(cluster.connection_file) as c:
            ocean = c["ocean"]
            ocean.push(name="ocean")
            assert ocean.ids == [2, 3] and ocean.pull("name") == ["ocean"] * 2
            ocean.scatter("part", np.arange(5))
            assert [len(part) for part in c[2:].pull("part")] == [3, 2]
            assert np.array_equal(ocean.gather("part"), np.arange(5))
            assert c["0,ocean"].apply(double, 2) == [4, 4, 4]
            host = c.engines.about[0]["host"]
            assert c[host].ids == [0, 1, 2, 3] and c[host].apply(double, 1) == [2] * 4
            with c.executor("ocean") as executor:
                me = interactive(lambda _: __import__("_ippmpi_engine").engine_id)
                assert set(executor.map(me, range(200))) <= {2, 3}

# ---- what is public is documented ----


def test_public_names_have_docstrings() -> None:
    missing = []
    for name in ippmpi.__all__:
        thing = getattr(ippmpi, name)
        if not (inspect.isclass(thing) or inspect.isfunction(thing)):
            continue
        members = vars(thing).items() if inspect.isclass(thing) else ()
        for label, member in [("", thing), *((f".{n}", m) for n, m in members if n[0] != "_")]:
            if not (label == "" or callable(member) or isinstance(member, property)):
                continue
            if not inspect.getdoc(member):
                missing.append(name + label)
    assert not missing

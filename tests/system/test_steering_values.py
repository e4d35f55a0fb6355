# SPDX-License-Identifier: BSD-3-Clause
"""Calls, values by name, reductions and transfers on real engines, through the steering socket."""
from __future__ import annotations

import os
import pickle
import signal
import sys
import time
from typing import Any, Iterator

import cloudpickle
import numpy as np
import pytest
from steering import ABORTED, ERROR, LAST, Message, Steering

from cluster import BACKEND, Cluster, under_engines
from ipp_cluster import ipp_engine, run_job

pytestmark = pytest.mark.skipif(BACKEND != "ours", reason="ipyparallel has no steering socket")

HERE = "%d.%d" % sys.version_info[:2]
ENGINES = 5
CHUNK = 4 << 20


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with under_engines(ENGINES) as running:
        yield running


@pytest.fixture
def client(cluster: Cluster) -> Iterator[Steering]:
    with Steering(cluster.connection_file, local=True) as steering:
        yield steering


def packed(value: Any) -> list[bytes]:
    buffers: list[Any] = []
    data = cloudpickle.dumps(value, 5, buffer_callback=buffers.append)
    return [data, *(bytes(b.raw()) for b in buffers)]


def say_call(client: Steering, targets: str, function: Any, *args: Any) -> int:
    frames = packed((function, args, {}))
    return client.say("engines", "call_request", {"python": HERE}, {"targets": targets}, frames)


def values(answers: list[Message]) -> dict[int, Any]:
    """What each engine returned."""
    failed = [m.content for m in answers if m.flags & (ERROR | ABORTED)]
    assert not failed, failed
    return {m.engine: pickle.loads(m.buffers[0], buffers=m.buffers[1:]) for m in answers}


def call(client: Steering, targets: str, function: Any, *args: Any) -> dict[int, Any]:
    return values(client.answers(say_call(client, targets, function, *args)))


def push(client: Steering, targets: str, name: str, array: np.ndarray) -> None:
    kind = {"array": {"dtype": array.dtype.str, "shape": array.shape}}
    content = {"names": [{"name": name, **kind}]}
    answers = client.ask(
        "engines", "push_request", content, {"targets": targets}, [array.tobytes()]
    )
    assert not any(m.flags & ERROR for m in answers), answers


def array_of(message: Message) -> np.ndarray:
    told = message.content["names"][0]["array"]
    return np.frombuffer(message.buffers[0], told["dtype"]).reshape(told["shape"])


def say_reduce(client: Steering, name: str, op: str, targets: str = "all", *frames: bytes) -> int:
    content = {"name": name, "op": op, "python": HERE}
    return client.say("engines", "reduce_request", content, {"targets": targets}, frames)


def run(client: Steering, code: str, targets: str = "all") -> None:
    content = {"code": code, "silent": False, "user_expressions": {}, "allow_stdin": False}
    answers = client.ask("engines", "execute_request", content, {"targets": targets})
    assert not any(m.flags & ERROR for m in answers), [m.content for m in answers]


def rank_code(source: str) -> str:
    return f"import _ippmpi_engine\nrank = _ippmpi_engine.engine_id\n{source}"


def test_call(client: Steering) -> None:
    assert call(client, "all", len, "four") == dict.fromkeys(range(ENGINES), 4)
    big = np.arange(1e6)
    for engine, total in call(client, "1,3", np.sum, big).items():
        assert engine in (1, 3) and total == big.sum()
    twice = eval("lambda a: a * 2", {"__name__": "__main__"})
    (message,) = client.answers(say_call(client, "2", twice, big))
    assert message.flags == LAST and len(message.buffers) == 2
    np.testing.assert_array_equal(values([message])[2], big * 2)


def test_call_anyone(client: Steering) -> None:
    frames = packed((sum, ([1, 2],), {}))
    (message,) = client.ask("task", "call_request", {"python": HERE}, {}, frames)
    assert list(values([message]).values()) == [3]
    frames = [pickle.dumps(abs), pickle.dumps([(-1,), ("x",)])]
    (message,) = client.ask("task", "map_request", {"python": HERE, "items": 2}, {}, frames)
    ((good, failed),) = values([message]).values()
    assert good == (True, 1) and failed[0] is False and failed[1]["ename"] == "TypeError"


def test_every_engine_may_write_to_what_was_pushed(client: Steering) -> None:
    """Inner ranks of a broadcast's tree pass on what they have: their copy is their own."""
    push(client, "all", "a", np.arange(100000.0))
    run(client, rank_code("a += rank"))
    answers = client.ask("engines", "pull_request", {"names": ["a"]}, {"targets": "all"})
    assert len(answers) == ENGINES
    for message in answers:
        np.testing.assert_array_equal(array_of(message), np.arange(100000.0) + message.engine)


def test_barrier(client: Steering) -> None:
    slow = say_call(client, "1", time.sleep, 0.3)
    barrier = client.say("engines", "barrier_request", {}, {"targets": "all"})
    assert len(client.answers(barrier)) == ENGINES
    assert any(m.request == slow for m in client.waiting)  # what was sent before has been answered
    values(client.answers(slow))


# ---- reductions ----


@pytest.mark.parametrize("size", [3, 1000, 300000])
@pytest.mark.parametrize("targets", ["all", "1-3", "4", "0,2,4"])
def test_sum(client: Steering, size: int, targets: str) -> None:
    run(client, rank_code(f"import numpy as np\nv = np.arange({size}.) * (rank + 1)"))
    answers = client.answers(say_reduce(client, "v", "sum", targets))
    chosen = {"all": range(ENGINES), "1-3": (1, 2, 3), "4": (4,), "0,2,4": (0, 2, 4)}[targets]
    assert sorted(m.engine for m in answers) == list(chosen)
    first = next(m for m in answers if m.engine == chosen[0])
    np.testing.assert_array_equal(array_of(first), np.arange(size) * sum(n + 1.0 for n in chosen))
    assert not any(m.buffers for m in answers if m is not first)
    answers = client.ask("engines", "pull_request", {"names": ["v"]}, {"targets": targets})
    for message in answers:  # nobody's own has changed
        np.testing.assert_array_equal(array_of(message), np.arange(size) * (message.engine + 1))


def test_function_in_order(client: Steering) -> None:
    run(client, rank_code("v = str(rank)"))
    join = eval("lambda a, b: a + b", {"__name__": "__main__"})
    answers = client.answers(say_reduce(client, "v", "function", "all", cloudpickle.dumps(join, 5)))
    first = next(m for m in answers if m.engine == 0)
    assert first.content["names"] == [{"name": "v", "json": "01234"}]


@pytest.mark.parametrize("missing", range(ENGINES))
def test_missing_somewhere(client: Steering, missing: int) -> None:
    run(client, "w = 1")
    run(client, "del w", str(missing))
    answers = {m.engine: m for m in client.answers(say_reduce(client, "w", "sum"))}
    assert sorted(answers) == list(range(ENGINES))
    assert {e for e, m in answers.items() if m.flags & ERROR} == {0, missing}
    assert answers[0].content["ename"] == "NameError"
    assert answers[0].content["engine_info"]["engine_id"] == missing
    run(client, "w = 1")
    answers = {m.engine: m for m in client.answers(say_reduce(client, "w", "sum"))}
    assert answers[0].content["names"] == [{"name": "w", "json": ENGINES}]


def test_many_reductions_with_failures_between(client: Steering) -> None:
    """What failed leaves nothing behind that the next one could take for its own."""
    run(client, rank_code("v = rank; w = 1 if rank != 3 else 'x'"))
    numbers = [say_reduce(client, "v" if n % 3 else "w", "sum") for n in range(60)]
    for n, number in enumerate(numbers):
        first = next(m for m in client.answers(number) if m.engine == 0)
        if n % 3:
            assert first.content["names"][0]["json"] == sum(range(ENGINES))
        else:
            assert first.content["ename"] == "TypeError"


@pytest.mark.parametrize("target", ["all", "0"])
def test_interrupt_ends_the_waiting(client: Steering, target: str, gate: Any) -> None:
    run(client, "v = 1")
    passing = "import os, time\nwhile not os.path.exists({!r}): time.sleep(0.02)"
    busy = say_call(client, "3", exec, passing.format(gate.path))
    number = say_reduce(client, "v", "sum")
    settled = client.say("engines", "barrier_request", {}, {"targets": "1,4"})
    client.answers(settled)  # they have sent what they had; 2 and 0 wait for 3
    client.ask("control", "signal_request", {"sig": "SIGINT"}, {"targets": "0"})
    waiting = [client.receive(20)]
    while not any(m is not None and m.engine == 0 and m.request == number for m in waiting):
        assert waiting[-1] is not None, "the first engine still waits"
        waiting.append(client.receive(20))
    client.waiting[:0] = [m for m in waiting if m is not None]
    if target == "all":
        client.ask("control", "signal_request", {"sig": "SIGINT"}, {"targets": "2"})
    gate.open()
    answers = {m.engine: m for m in client.answers(number)}
    assert answers[0].content["ename"] == "KeyboardInterrupt"
    assert len(answers) == ENGINES
    values(client.answers(busy))
    first = next(m for m in client.answers(say_reduce(client, "v", "sum")) if m.engine == 0)
    assert first.content["names"][0]["json"] == ENGINES


@pytest.mark.parametrize("aborted", [1, 2, 3, 4])
def test_an_aborted_part(client: Steering, aborted: int, gate: Any) -> None:
    """An engine whose part is taken off its queue tells its parent; the others answer."""
    run(client, "v = 1")
    passing = "import os, time\nwhile not os.path.exists({!r}): time.sleep(0.02)"
    busy = say_call(client, str(aborted), exec, passing.format(gate.path))
    number = say_reduce(client, "v", "sum")
    client.ask("control", "abort_request", {"msg_ids": None}, {"targets": str(aborted)})
    answers = {m.engine: m for m in client.answers(number)}  # while that engine is still busy
    assert answers[aborted].flags & ABORTED
    assert answers[0].content["ename"] == "EngineError"
    assert f"engine {aborted}" in answers[0].content["evalue"]
    assert len(answers) == ENGINES
    gate.open()
    client.answers(busy)
    first = next(m for m in client.answers(say_reduce(client, "v", "sum")) if m.engine == 0)
    assert first.content["names"][0]["json"] == ENGINES


@pytest.mark.limit(120)
@pytest.mark.parametrize("dead", [1, 2, 3])
def test_an_engine_that_dies(dead: int, gate: Any) -> None:
    with under_engines(4) as running, Steering(running.connection_file, local=True) as client:
        pids = call(client, "all", os.getpid)
        run(client, "v = 1")
        passing = "import os, time\nwhile not os.path.exists({!r}): time.sleep(0.02)"
        say_call(client, str(dead), exec, passing.format(gate.path))
        number = say_reduce(client, "v", "sum")
        client.answers(client.say("engines", "complete_request", {"code": "v"},
                                  {"targets": "3" if dead != 3 else "1"}))
        os.kill(pids[dead], signal.SIGKILL)
        answers = {m.engine: m for m in client.answers(number, 60)}
        assert answers[0].content["ename"] == "EngineError"
        assert f"engine {dead}" in answers[0].content["evalue"]
        assert len(answers) == 4
        first = next(m for m in client.answers(say_reduce(client, "v", "sum")) if m.engine == 0)
        assert first.content["names"][0]["json"] == 3


@pytest.mark.limit(120)
def test_an_engine_that_was_shut_down() -> None:
    with under_engines(4) as running, Steering(running.connection_file, local=True) as client:
        run(client, "v = 1")
        client.ask("control", "shutdown_request", {"restart": False}, {"targets": "1"})
        while client.output().content.get("event") != "engine_retired":
            pass  # its answer is on another lane, and may be faster
        answers = {m.engine: m for m in client.answers(say_reduce(client, "v", "sum", "0-3"))}
        assert answers[-1 if -1 in answers else 1].content["ename"] == "EngineError"
        assert answers[0].content["names"][0]["json"] == 3


# ---- transfers ----


def transfer(client: Steering, number: int, data: bytes, targets: str, total: int | None = None) -> None:
    total = len(data) if total is None else total
    for offset in range(0, len(data), CHUNK):
        content = {"transfer": number, "total": total, "offset": offset}
        client.say("chunk", "chunk_request", content, {"targets": targets},
                   [data[offset : offset + CHUNK]])


@pytest.mark.parametrize("targets", ["all", "2"])
def test_push_in_chunks(client: Steering, targets: str) -> None:
    arrays = {"a": np.arange(2_000_000.0), "b": np.arange(500_001, dtype="u1"), "c": np.ones(700_000)}
    transfer(client, 7, b"".join(array.tobytes() for array in arrays.values()), targets)
    names = [
        {"name": name, "array": {"dtype": array.dtype.str, "shape": array.shape}}
        for name, array in arrays.items()
    ]
    told = {"id": 7, "sizes": [array.nbytes for array in arrays.values()]}
    metadata = {"targets": targets, "transfer": told}
    answers = client.ask("engines", "push_request", {"names": names}, metadata)
    assert not any(m.flags & ERROR for m in answers), [m.content for m in answers]
    run(client, "import numpy as np\nassert c.flags.aligned and c.all()\na += 1\n"
        "assert a[-1] == 2_000_000 and (b == np.arange(500_001, dtype='u1')).all()", targets)


def test_incomplete_transfers(client: Steering) -> None:
    transfer(client, 1, bytes(1000), "all", total=5000)
    entry = {"name": "a", "array": {"dtype": "|u1", "shape": [1000]}}
    for sizes in ([1000], [5000]):
        metadata = {"targets": "all", "transfer": {"id": 1, "sizes": sizes}}
        answers = client.ask("engines", "push_request", {"names": [entry]}, metadata)
        assert {m.content["ename"] for m in answers} == {"ValueError"}


def test_more_than_there_is(client: Steering) -> None:
    transfer(client, 2, bytes(1000), "all", total=1 << 60)
    metadata = {"targets": "all", "transfer": {"id": 2, "sizes": [1 << 60]}}
    entry = {"name": "a", "array": {"dtype": "|u1", "shape": [1 << 60]}}
    answers = client.ask("engines", "push_request", {"names": [entry]}, metadata)
    assert all(m.flags & ERROR for m in answers)
    assert call(client, "all", len, "x") == dict.fromkeys(range(ENGINES), 1)


# ---- progress ----


def test_progress(client: Steering) -> None:
    client.ask("session", "subscribe_request", {"output": "own", "events": False})
    space: dict[str, Any] = {"__name__": "__main__"}
    exec("def f():\n    from ippmpi.engine import progress\n"
         "    for i in range(101): progress(i, 100, 'steps')", space)
    number = say_call(client, "1", space["f"])
    values(client.answers(number))
    told = [m for m in client.waiting if m.type == "progress"]
    assert told[-1].content == {"done": 100, "total": 100, "text": "steps"}
    assert all(m.request == number and m.engine == 1 for m in told)


# ---- groups ----


@pytest.fixture(scope="module")
def groups() -> Iterator[Cluster]:
    """Engines 0 to 2 of no group, 3 and 4 of `ocean`."""
    more = [":", "-n", "2", ipp_engine(), "--group=ocean"]
    with under_engines(3, parts=more) as running:
        yield running


@pytest.mark.limit(120)
def test_groups(groups: Cluster) -> None:
    with Steering(groups.connection_file, local=True) as client:
        about = client.welcome["engines"]
        assert [about[str(n)]["group"] for n in range(5)] == ["", "", "", "ocean", "ocean"]
        assert call(client, "ocean", len, "x") == {3: 1, 4: 1}
        assert call(client, "ocean,1", len, "x") == {1: 1, 3: 1, 4: 1}
        assert call(client, about["0"]["host"], len, "x") == dict.fromkeys(range(5), 1)
        run(client, "v = 2")
        answers = {m.engine: m for m in client.answers(say_reduce(client, "v", "sum", "ocean"))}
        assert answers[3].content["names"][0]["json"] == 4


@pytest.mark.parametrize("name", ["all", "3", "a,b", "0-3", "-x", "o c"])
def test_names_that_are_no_groups(name: str) -> None:
    ended = run_job(3, "--group", name, seconds=30)
    assert ended.returncode == 2
    assert [f"--group={name}" in line for line in ended.stderr.splitlines() if "ipp-engine:" in line] == [
        True
    ]

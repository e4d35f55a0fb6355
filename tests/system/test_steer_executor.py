# SPDX-License-Identifier: BSD-3-Clause
"""ippmpi's executor against a cluster: batches, errors, cancelling, ends."""
from __future__ import annotations

import os
import threading
import time
from concurrent.futures import CancelledError, Executor, as_completed, wait
from typing import Any, Iterator

import numpy as np
import pytest
from ipyparallel import interactive

from cluster import Cluster, under_engines
from conftest import SHARED_ENGINES, Gate
from ippmpi_client import ippmpi
from remote import echo, mark, pass_gate
from steer_cli import steer

pytestmark = pytest.mark.ours_only("ippmpi speaks to no other cluster")


@pytest.fixture
def c(cluster: Cluster) -> Iterator[Any]:
    with ippmpi.connect(cluster.connection_file) as client:
        client.echo = False
        yield client


@pytest.fixture
def executor(c: Any) -> Iterator[Any]:
    with c.executor() as made:
        yield made


def test_large_functions_travel_once(c: Any) -> None:
    table = np.arange(100_000)
    f = interactive(lambda x, table=table: int(table[x]))
    with c.executor() as executor:
        assert list(executor.map(f, range(500), chunksize=5)) == list(range(500))
        (holders,) = executor._holders.values()
        assert holders == set(range(SHARED_ENGINES))
        assert list(executor.map(f, range(500), chunksize=5)) == list(range(500))
        c[1].apply(lambda: __import__("ippmpi.engine.functions", fromlist=["*"]).forget())
        assert list(executor.map(f, range(500), chunksize=5)) == list(range(500))
    with c.executor(retries=2) as executor:
        assert list(executor.map(f, range(500), chunksize=5)) == list(range(500))


def test_timeout(c: Any, cluster: Cluster, gate: Gate, soon: Any) -> None:
    with c.executor(0) as patient, c.executor(0, timeout=0.3) as other:
        busy = patient.submit(pass_gate, gate.path)
        soon(lambda: steer(cluster, "status", "--json").json()["tasks"] == 1, 20, "one task runs")
        with pytest.raises(ippmpi.RemoteError) as told:
            other.submit(echo, 1).result(20)
        assert told.value.ename == "TaskTimeout"
        gate.open()
        busy.result(20)
        assert other.submit(echo, 2).result(20) == 2


def test_prefer(c: Any, cluster: Cluster, soon: Any) -> None:
    """What engine 2 cannot take at once goes elsewhere."""
    with c.executor(prefer=2) as two:
        for _ in range(5):
            soon(lambda: steer(cluster, "status", "--json").json()["tasks"] == 0, 20, "all are free")
            assert two.submit(os.getpid).result(20) == c[2].apply(os.getpid)
        assert list(two.map(echo, range(1000))) == list(range(1000))
    with pytest.raises(IndexError, match="there is no engine 9"):
        c.executor(prefer=9)


@interactive
def die_late(seconds: float) -> None:
    import os
    import signal
    import time

    time.sleep(seconds)
    os.kill(os.getpid(), signal.SIGKILL)


def test_all_of_its_engines_have_died() -> None:
    with under_engines(2, check=False) as own, ippmpi.connect(own.connection_file) as c:
        with c.executor(1) as executor:
            lost, behind = executor.submit(die_late, 1.5), executor.submit(echo, 1)
            with pytest.raises(ippmpi.EngineError):
                lost.result(20)
            for future in (behind, executor.submit(echo, 2)):
                with pytest.raises(ippmpi.RemoteError, match="no engine that may run the task is alive"):
                    future.result(20)
        assert c[0].apply(echo, 3) == 3


@interactive
def stamp() -> int:
    import time

    return time.monotonic_ns()


def test_priorities(c: Any, cluster: Cluster, gate: Gate, soon: Any) -> None:
    with c.executor(0) as plain, c.executor(0, priority=-5) as low, c.executor(0, priority=9) as high:
        busy = plain.submit(pass_gate, gate.path)
        soon(lambda: steer(cluster, "status", "--json").json()["tasks"] == 1, 20, "one task runs")
        late, usual, soonest = (each.submit(stamp) for each in (low, plain, high))
        soon(lambda: steer(cluster, "status", "--json").json()["unassigned"] == 3, 20, "the others wait")
        gate.open()
        busy.result(20)
        assert soonest.result(20) < usual.result(20) < late.result(20)
    with pytest.raises(ValueError, match="timeout is -1"):
        c.executor(timeout=-1)
    with pytest.raises(ValueError, match="priority is 1001"):
        c.executor(priority=1001)
    with c.executor(scheme="psychic") as odd:
        with pytest.raises(ValueError, match="scheme: 'psychic' is none of leastload"):
            odd.submit(echo, 1).result(20)


@interactive
def odd_fails(x: int) -> int:
    if x % 2:
        raise ValueError(f"odd {x}")
    return x


@interactive
def nap(seconds: float) -> tuple[int, float, float]:
    import time

    from _ippmpi_engine import engine_id

    begun = time.time()
    time.sleep(seconds)
    return engine_id, begun, time.time()


def test_it_is_an_executor(executor: Any) -> None:
    assert isinstance(executor, Executor)
    assert executor.submit(pow, 2, 5).result(20) == 32
    assert executor.submit(dict, a=1).result(20) == {"a": 1}
    assert list(executor.map(pow, [2, 3], [3, 2])) == [8, 9]
    assert list(executor.map(echo, [])) == []


def test_a_map_of_many_is_in_order(executor: Any) -> None:
    assert list(executor.map(echo, range(50_000))) == list(range(50_000))


def test_every_task_runs_once(executor: Any, tmp_path: Any) -> None:
    assert list(executor.map(mark, [str(tmp_path)] * 3000, range(3000))) == list(range(3000))
    files = os.listdir(tmp_path)
    assert len(files) == 3000 and all(os.path.getsize(tmp_path / name) == 1 for name in files)


def test_many_submitted_one_by_one(executor: Any) -> None:
    futures = [executor.submit(echo, i) for i in range(10_000)]
    assert [future.result(30) for future in futures] == list(range(10_000))


def test_different_functions_and_keywords_between_each_other(executor: Any) -> None:
    futures = []
    for i in range(300):
        futures.append(executor.submit(echo, i))
        futures.append(executor.submit(interactive(lambda x, y=i: x + y), i))
        futures.append(executor.submit(divmod, i, 7))
        futures.append(executor.submit(dict, n=i))
    got = [future.result(30) for future in futures]
    assert got == [v for i in range(300) for v in (i, 2 * i, divmod(i, 7), {"n": i})]


def test_each_task_has_its_own_error(executor: Any) -> None:
    futures = [executor.submit(odd_fails, i) for i in range(1000)]
    wait(futures, 30)
    for i, future in enumerate(futures):
        if i % 2:
            error = future.exception()
            assert isinstance(error, ippmpi.RemoteError) and error.evalue == f"odd {i}"
            assert 0 <= error.engine < SHARED_ENGINES
        else:
            assert future.result() == i


def test_a_map_ends_with_its_first_error(executor: Any) -> None:
    got = []
    with pytest.raises(ippmpi.RemoteError, match="odd 1"):
        for value in executor.map(odd_fails, range(2000)):
            got.append(value)
    assert got == [0]
    assert executor.submit(echo, 1).result(20) == 1


def test_arguments_that_cannot_travel_fail_alone(executor: Any, gate: Gate) -> None:
    held = [executor.submit(pass_gate, gate.path, i) for i in range(2 * SHARED_ENGINES + 2)]
    lock = threading.Lock()
    values: list[Any] = [lock if i == 13 else i for i in range(50)]
    futures = [executor.submit(echo, value) for value in values]
    gate.open()
    assert [f.result(20) for f in held] == list(range(2 * SHARED_ENGINES + 2))
    for i, future in enumerate(futures):
        if i == 13:
            assert isinstance(future.exception(20), TypeError)
        else:
            assert future.result(20) == i


class Unloadable:
    """Pickles, and does not unpickle on the other side."""

    def __reduce__(self) -> Any:
        return (int, ("not a number",))


def test_arguments_that_cannot_be_unpickled_fail_alone(executor: Any, gate: Gate) -> None:
    held = [executor.submit(pass_gate, gate.path, i) for i in range(2 * SHARED_ENGINES + 2)]
    futures = [executor.submit(echo, Unloadable() if i in (3, 30) else i) for i in range(50)]
    gate.open()
    wait(held, 20)
    for i, future in enumerate(futures):
        if i in (3, 30):
            assert isinstance(future.exception(20), ippmpi.RemoteError)
        else:
            assert future.result(20) == i
    got = []
    with pytest.raises(ippmpi.RemoteError, match="not a number"):
        for value in executor.map(echo, [Unloadable() if i == 900 else i for i in range(1000)]):
            got.append(value)
    assert got == list(range(900))


def test_a_function_that_cannot_be_unpickled_fails_all(executor: Any) -> None:
    class Bad:
        def __call__(self, x: int) -> int:
            return x

        def __reduce__(self) -> Any:
            return (int, ("not a number",))

    futures = [executor.submit(Bad.__call__.__get__(Bad()), i) for i in range(3)]
    bad = Bad()
    futures += [executor.submit(bad, i) for i in range(500)]
    wait(futures, 30)
    assert all("not a number" in str(future.exception()) for future in futures)


def test_values_that_do_not_pickle_fail_alone(executor: Any) -> None:
    make = interactive(lambda i: __import__("threading").Lock() if i == 5 else i)
    futures = [executor.submit(make, i) for i in range(200)]
    wait(futures, 30)
    assert [i for i, f in enumerate(futures) if f.exception()] == [5]
    assert futures[6].result() == 6


def test_what_was_not_sent_can_be_cancelled(
    executor: Any, gate: Gate, tmp_path: Any, soon: Any
) -> None:
    folder = tmp_path / "ran"
    folder.mkdir()
    held = [executor.submit(pass_gate, gate.path) for _ in range(2 * SHARED_ENGINES + 2)]
    futures = [executor.submit(mark, str(folder), i) for i in range(100)]
    assert all(future.cancel() for future in futures[::2])
    soon(held[0].running, 20, "sent")
    assert not held[0].cancel()
    gate.open()
    done, not_done = wait(futures, 20)
    assert not not_done
    assert sorted(os.listdir(folder)) == sorted(str(i) for i in range(1, 100, 2))
    with pytest.raises(CancelledError):
        futures[0].result()


def test_shutdown_waits(c: Any, gate: Gate) -> None:
    executor = c.executor()
    futures = [executor.submit(pass_gate, gate.path, i) for i in range(40)]
    threading.Timer(0.3, gate.open).start()
    executor.shutdown()
    assert [f.result(0) for f in futures] == list(range(40))
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.submit(echo, 1)
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.map(echo, [1])


def test_shutdown_can_cancel(c: Any, gate: Gate, soon: Any) -> None:
    executor = c.executor()
    futures = [executor.submit(pass_gate, gate.path, i) for i in range(100)]
    mapped = executor.map(echo, range(1000))
    soon(futures[0].running, 20, "sent")
    executor.shutdown(wait=False, cancel_futures=True)
    assert futures[-1].cancelled() and not futures[0].cancelled()
    with pytest.raises(CancelledError):
        list(mapped)
    gate.open()
    executor.shutdown()
    assert futures[0].result(0) == 0
    assert all(f.done() for f in futures) and len(list(as_completed(futures, 1))) == 100


def test_leaving_a_map_cancels_the_rest(executor: Any, tmp_path: Any) -> None:
    slow = interactive(lambda x: (__import__("time").sleep(0.02), x)[1])
    results = executor.map(slow, range(10_000))
    assert next(results) == 0
    results.close()
    began = time.monotonic()
    executor.shutdown()
    assert time.monotonic() - began < 10


def test_a_maps_timeout(executor: Any, gate: Gate) -> None:
    results = executor.map(pass_gate, [gate.path] * 20, timeout=0.3)
    with pytest.raises(TimeoutError):
        next(results)
    gate.open()


def test_long_tasks_are_balanced_one_by_one(executor: Any) -> None:
    list(executor.map(echo, range(5000)))  # it believes in short tasks now
    count = 3 * SHARED_ENGINES
    ran = list(executor.map(nap, [0.3] * count, chunksize=1))
    per_engine = [sum(1 for e, *_ in ran if e == engine) for engine in range(SHARED_ENGINES)]
    assert max(per_engine) <= 4 and min(per_engine) >= 2
    ran = list(executor.map(nap, [0.3] * count))
    spread = max(end for _, _, end in ran) - min(begun for _, begun, _ in ran)
    assert spread < 0.3 * 5


def test_some_engines_only(c: Any) -> None:
    with c.executor([1, 3]) as executor:
        ran = set(engine for engine, *_ in executor.map(nap, [0.01] * 100))
    assert ran == {1, 3}
    assert c["0-1"].map(echo, range(100)) == list(range(100))


def test_large_arguments_and_values(executor: Any) -> None:
    arrays = [np.full(300_000, i, "f8") for i in range(30)]
    for i, back in enumerate(executor.map(echo, arrays)):
        assert back.shape == (300_000,) and back[-1] == i
    assert executor.submit(echo, np.zeros(3_000_000)).result(30).nbytes == 24_000_000


def test_many_threads_submit_and_call(c: Any) -> None:
    wrong: list[Any] = []

    def work(k: int) -> None:
        try:
            with c.executor() as executor:
                for i in range(30):
                    n = 1000 * k + i
                    if c[n % SHARED_ENGINES].apply(echo, n) != n:
                        wrong.append(n)
                    future = c[:].apply_async(echo, n)
                    if list(executor.map(echo, range(n, n + 20))) != list(range(n, n + 20)):
                        wrong.append(("map", n))
                    if future.result(30) != [n] * SHARED_ENGINES:
                        wrong.append(("future", n))
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(50)
    assert not wrong and not any(thread.is_alive() for thread in threads)


def test_progress_is_shown_by_tqdm(c: Any, executor: Any, capsys: Any) -> None:
    pytest.importorskip("tqdm")
    assert list(executor.map(echo, range(100), progress=True)) == list(range(100))
    assert "100/100" in capsys.readouterr().err
    c[:].options(progress=True).apply(echo, 1)
    assert f"{SHARED_ENGINES}/{SHARED_ENGINES}" in capsys.readouterr().err


# ---- bad sizes ----


@pytest.mark.parametrize("size", [0, -1])
def test_chunks_of_nothing(executor: Any, size: int) -> None:
    with pytest.raises(ValueError, match=f"chunksize is {size}"):
        executor.map(echo, [1], chunksize=size)


def test_negative_retries(c: Any) -> None:
    with pytest.raises(ValueError, match="retries is -1"):
        c.executor(retries=-1)
    assert c[:].map(echo, range(5), retries=2) == list(range(5))


# ---- quick tasks and an engine that dies ----


@interactive
def killer(x: int) -> int:
    """Ends the engine with id 1 when it comes to item 500 or a later one."""
    import os
    import signal

    from _ippmpi_engine import engine_id

    if x >= 500 and engine_id == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return x


@pytest.mark.limit(120)
@pytest.mark.parametrize("retries", [0, 1])
def test_quick_tasks_of_an_engine_that_dies(retries: int) -> None:
    with under_engines(3, check=False) as cluster, ippmpi.connect(cluster.connection_file) as c:
        with c.executor(retries=retries) as executor:
            futures = [executor.submit(killer, x) for x in range(5000)]
            lost = [x for x, each in enumerate(futures)
                    if isinstance(each.exception(60), ippmpi.EngineError)]
            assert bool(lost) == (retries == 0)
            assert all(each.result() == x for x, each in enumerate(futures) if x not in set(lost))
            assert executor.submit(echo, 1).result(20) == 1

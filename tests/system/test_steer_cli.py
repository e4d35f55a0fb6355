# SPDX-License-Identifier: BSD-3-Clause
"""ipp-steer's verbs, one run each: what they print, their JSON, their exit codes."""
from __future__ import annotations

import getpass
import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import time
from typing import Any

import numpy as np
import pytest

import procs
from cluster import Cluster, under_engines
from ipp_cluster import TOP
from sshd import SSHD, Sshd
from steer_cli import (FAILED, NO_CONNECTION, OK, USAGE, command, environment, ipp_steer, start,
                       steer, unfold, warm)

pytestmark = pytest.mark.ours_only("our client")
WAIT = "import os, time\nwhile not os.path.exists({!r}): time.sleep(0.005)"


def values(run: Any) -> dict[int, Any]:
    """{engine: value} of a run with --json."""
    return {answer["engine"]: answer["value"] for answer in run.json()}


@pytest.fixture(autouse=True)
def warm_engines(cluster: Cluster) -> None:
    warm(cluster)


# ---- looking ----


def test_status(cluster: Cluster) -> None:
    told = steer(cluster, "status", "--json").json()
    assert told["engines"] == 4 and told["role"] == "owner" and told["groups"] == {"": "0-3"}
    text = steer(cluster, "status").out
    assert "4, Python" in text and "owner" in text


def test_engines(cluster: Cluster) -> None:
    told = steer(cluster, "engines", "--json").json()
    ranks = cluster.ranks()  # type: ignore[attr-defined]
    assert [engine["id"] for engine in told] == [0, 1, 2, 3]
    assert [engine["pid"] for engine in told] == [ranks[e + 2] for e in range(4)]
    assert all({"host", "python", "topology", "load"} <= set(engine) for engine in told)
    lines = steer(cluster, "engines", "--on", "1-2").lines()
    assert "package" in lines[0] and "numa" in lines[0] and len(lines) == 3
    assert str(ranks[3]) in lines[1] and str(ranks[4]) in lines[2]
    assert "no engine 9" in steer(cluster, "engines", "--on", "9", code=FAILED).err


@pytest.mark.limit(120)
def test_engines_that_are_bound(tmp_path: Any) -> None:
    """Where an engine that is not bound runs at the moment says nothing; one that is has its CPUs."""
    for args, bound in (["--bind", "none"], "no"), (["--bind", "core"], "yes"):
        with under_engines(1, args=args) as cluster:
            head, line = steer(cluster, "engines").lines()
            told = dict(zip(head.split(), line.split()))
            assert told["bound"] == bound
            topology = steer(cluster, "engines", "--json").json()[0]["topology"]
            for key in ("package", "core", "numa", "cpus"):
                assert told[key] == (str(topology.get(key, "-")) if bound == "yes" else "-"), told


def test_tasks_that_are_done(cluster: Cluster) -> None:
    steer(cluster, "exec", "1")
    told = steer(cluster, "tasks", "--json", "--on", "2").json()["engines"]["2"]
    assert told["queue"] == told["tasks"] == [] and told["completed"] >= 1
    all_of_it = steer(cluster, "tasks", "--json", "--all").json()["engines"]["2"]
    assert len(all_of_it["completed"]) == told["completed"]
    assert all_of_it["completed"][-1] in steer(cluster, "tasks", "--all").out
    assert all_of_it["completed"][-1] not in steer(cluster, "tasks").out


def test_top_of_some(cluster: Cluster) -> None:
    told = steer(cluster, "top", "--on", "1,3", "--json").json()
    assert [engine["id"] for engine in told["engines"]] == [1, 3]
    assert len(steer(cluster, "top", "--on", "1-2").lines()) == 2 + 1 + 2


def test_tasks_and_top(cluster: Cluster, gate: Any) -> None:
    with start(cluster, "exec", "--on", "1", WAIT.format(gate.path)) as running:
        def queued() -> Any:
            return steer(cluster, "tasks", "--json").json()["engines"]["1"]["queue"]

        ids = procs.wait_until(queued, 20, "a request in engine 1's queue")
        assert len(ids) == 1  # type: ignore[arg-type]
        assert ids[0] in steer(cluster, "tasks").out  # type: ignore[index]
        assert ids[0] not in steer(cluster, "tasks", "--on", "0").out  # type: ignore[index]
        top = {e["id"]: e for e in steer(cluster, "top", "--json").json()["engines"]}
        assert top[1]["queue"] == 1 and top[0]["queue"] == 0
        lines = steer(cluster, "top").lines()
        assert len(lines) == 2 + 1 + 4 and "\033" not in "".join(lines)
        gate.open()
        assert running.wait(20) == OK


# ---- running code ----


def test_equal_answers_fold(cluster: Cluster) -> None:
    assert steer(cluster, "exec", "6 * 7").out == "[0-3] 42\n"
    code = "import os; me = os.getpid() % 1; me + 1"
    assert steer(cluster, "exec", "--on", "0,2-3", code).out == "[0,2,3] 1\n"
    assert steer(cluster, "exec", "--on", "2", "'plain'").out == "'plain'\n"


def test_output_is_grouped_by_engine(cluster: Cluster) -> None:
    steer(cluster, "scatter", "mine=" + save(cluster, "rank.npy", np.arange(4)))
    run = steer(cluster, "exec", "import sys\nprint('all')\nprint(int(mine[0]) // 2)\n"
                                 "print('bad', file=sys.stderr)\nint(mine[0]) % 2")
    assert unfold(run.out) == {e: ["all", str(e // 2), str(e % 2)] for e in range(4)}
    assert unfold(run.err) == {e: ["bad"] for e in range(4)}
    assert len(run.lines()) < 12


def test_output_comes_while_code_runs(cluster: Cluster, gate: Any) -> None:
    code = "print('first')\n" + WAIT.format(gate.path) + "\nprint('second')"
    with start(cluster, "exec", code) as running:
        assert running.stdout is not None
        lines = running.stdout.readline()
        while len(unfold(lines)) < 4:
            lines += running.stdout.readline()
        assert unfold(lines) == {e: ["first"] for e in range(4)}
        gate.open()
        assert unfold(running.stdout.read()) == {e: ["second"] for e in range(4)}
        assert running.wait(20) == OK


def test_what_others_ran_before_does_not_matter(cluster: Cluster) -> None:
    steer(cluster, "exec", "1;")
    assert steer(cluster, "exec", "2").out == "[0-3] 2\n"
    steer(cluster, "exec", "x = '''", code=FAILED)
    assert steer(cluster, "exec", "3").out == "[0-3] 3\n"


def test_exec_json(cluster: Cluster) -> None:
    told = steer(cluster, "exec", "--json", "print('x'); 41 + 1").json()
    assert [answer["engine"] for answer in told] == [0, 1, 2, 3]
    assert all(a["status"] == "ok" and a["stdout"] == "x\n" for a in told)
    assert all(a["result"]["text/plain"] == "42" for a in told)
    told = steer(cluster, "exec", "--json", "--on", "1", "1 / 0", code=FAILED).json()
    assert told[0]["ename"] == "ZeroDivisionError" and told[0]["engine"] == 1
    assert "\033" not in "".join(told[0]["traceback"])


def test_errors_are_said_once(cluster: Cluster) -> None:
    run = steer(cluster, "exec", "%no_such_magic", code=FAILED)
    said = ["UsageError: Line magic function `%no_such_magic` not found."]
    assert unfold(run.err) == {engine: said for engine in range(4)}
    for args, said in ((["apply", "no_func"], "name 'no_func' is not defined"),
                       (["apply", "3"], "cannot be called"), (["exec", "input()"], "nobody sits")):
        run = steer(cluster, *args, code=FAILED)
        assert run.err.count(said) == 1 and ".py" not in run.err, run.err  # no frames of ours
    told = steer(cluster, "exec", "--json", "--on", "1", "%no_such_magic", code=FAILED).json()
    assert told[0]["ename"] == "UsageError"


def test_errors_fold(cluster: Cluster) -> None:
    for _ in range(2):  # engines count their cells, each on its own
        steer(cluster, "exec", "--on", "1", "1")
        run = steer(cluster, "exec", "1 / 0", code=FAILED)
        last = run.err.splitlines()[-1]
        assert last == "[0-3] ZeroDivisionError: division by zero"
    run = steer(cluster, "exec", "1 / int(mine[0] // 2)", code=None)
    assert run.code == FAILED


def test_run(cluster: Cluster) -> None:
    path = os.path.join(cluster.dir, "script.py")
    with open(path, "w") as file:
        file.write("def f(x):\n    return x + 1\n\nprint(f(1))\n")
    assert unfold(steer(cluster, "run", path).out) == {e: ["2"] for e in range(4)}
    assert unfold(steer(cluster, "run", "-", text="print(3)\n").out) == {e: ["3"] for e in range(4)}
    assert steer(cluster, "run", path, "--json").json()[0]["stdout"] == "2\n"
    assert "none.py" in steer(cluster, "run", "none.py", code=USAGE).err
    with open(path, "w") as file:
        file.write("import sys\n[__file__, *sys.argv[1:]]\n")
    run = steer(cluster, "run", "--on", "0", path, "a b", "--", "-x")
    assert run.out == f"[{path!r}, 'a b', '-x']\n"
    assert "NameError" in steer(cluster, "exec", "--on", "0", "__file__", code=FAILED).err
    with open(path, "w") as file:
        file.write("import asyncio, sys\nawait asyncio.sleep(0)\n%time 1\nsys.exit()\n")
    steer(cluster, "run", path)
    with open(path, "w") as file:
        file.write("def broken():\n    return 1 / 0  # here\n\n\nbroken()\n")
    said = steer(cluster, "run", "--on", "0", path, code=FAILED).err
    assert f"{path}:5" in said and f"{path}:2" in said and "# here" in said, said
    assert "terminal" not in said and "__import__" not in said, said
    with open(path, "wb") as file:
        file.write(b"\0\0")
    assert "not text" in steer(cluster, "run", path, code=USAGE).err


@pytest.mark.parametrize("args, shown", [
    (["pow", "2", "10"], "1024"),
    (["math:sqrt", "16"], "4.0"),
    (["math.floor", "-2.5"], "-3"),
    (["lambda *a: list(a)", "x", '"3"', "null", "[1]"], "['x', '3', None, [1]]"),
    (["str.upper", "hello"], "HELLO"),
    (["os.path:basename", "/a/b"], "b"),
])
def test_apply(cluster: Cluster, args: list[str], shown: str) -> None:
    assert steer(cluster, "apply", *args).out == f"[0-3] {shown}\n"


def test_apply_in_the_namespace(cluster: Cluster) -> None:
    steer(cluster, "exec", "class box:\n    @staticmethod\n    def twice(x): return 2 * x")
    assert values(steer(cluster, "apply", "--json", "box.twice", "[1]")) == {
        e: [1, 1] for e in range(4)
    }
    assert "no_such" in steer(cluster, "apply", "no_such", code=FAILED).err
    assert "cannot be called" in steer(cluster, "apply", "3", code=FAILED).err
    said = steer(cluster, "apply", "lambda: 1/0", code=FAILED).err
    assert "division by zero" in said and "terminal" not in said and "__import__" not in said, said
    told = steer(cluster, "apply", "--json", "--on", "0", "object", code=OK).json()
    assert told[0]["text"].startswith("<object") and "value" not in told[0]


# ---- map ----


def test_map_keeps_the_order(cluster: Cluster) -> None:
    lines = "".join(f"{i}\n" for i in range(3000))
    run = steer(cluster, "map", "lambda x: (x * x, __import__('os').getpid())", "--json", text=lines)
    told = [json.loads(line) for line in run.lines()]
    assert [t["index"] for t in told] == list(range(3000))
    assert [t["value"][0] for t in told] == [i * i for i in range(3000)]
    assert len({t["value"][1] for t in told}) > 1


def test_map_of_arguments(cluster: Cluster) -> None:
    assert steer(cluster, "map", "abs", "-1", "-2.5").lines() == ["1", "2.5"]
    assert steer(cluster, "map", "--chunk", "2", "len", "abc", '"42"', "[]").lines() == list("320")
    ranks = cluster.ranks()  # type: ignore[attr-defined]
    where = steer(cluster, "map", "--on", "2", "lambda x: __import__('os').getpid()", "1", "2", "3")
    assert set(where.lines()) == {str(ranks[4])}
    assert steer(cluster, "map", "str", text="").out == ""


def test_map_goes_on_after_an_error(cluster: Cluster) -> None:
    run = steer(cluster, "map", "--chunk", "3", "int", "1", "x", "3", code=FAILED)
    assert run.lines() == ["1", "3"]
    assert "item 1: ValueError" in run.err
    run = steer(cluster, "map", "--json", "int", "1", "x", "3", code=FAILED)
    told = [json.loads(line) for line in run.lines()]
    assert [t["status"] for t in told] == ["ok", "error", "ok"]
    assert told[1]["ename"] == "ValueError" and told[1]["traceback"][-1].startswith("ValueError: ")
    run = steer(cluster, "map", "no_such", text="1\n" * 100000, code=FAILED)
    assert "no_such" in run.err and len(run.err.splitlines()) < 5
    assert re.search(r"items from \d+ on were not run\n$", run.err)
    run = steer(cluster, "map", "no_such", *"123456789", "--on", "1", code=FAILED)
    assert run.err.endswith("items from 4 on were not run\n")


def items_of(run: Any) -> dict[str, list[int]]:
    """{status: [index, ...]} of a map with --json; each index once."""
    found: dict[str, list[int]] = {}
    for item in map(json.loads, run.lines()):
        found.setdefault(item["status"], []).append(item["index"])
    assert sorted(sum(found.values(), [])) == list(range(sum(map(len, found.values()))))
    return found


def test_map_goes_on_after_an_interrupt(cluster: Cluster) -> None:
    steer(cluster, "exec", "def stop(x):\n    if x % 10 == 5: raise KeyboardInterrupt\n    return x\n"
                           "def leave(x):\n    if x == 7: raise SystemExit(3)\n    return x")
    numbers = "".join(f"{i}\n" for i in range(40))
    run = steer(cluster, "map", "--json", "--chunk", "4", "stop", text=numbers, code=FAILED)
    assert items_of(run)["error"] == [5, 15, 25, 35]
    assert items_of(run)["aborted"] == [6, 7, 26, 27]  # the rest of these chunks
    run = steer(cluster, "map", "--chunk", "1", "stop", text=numbers, code=FAILED)
    assert len(run.lines()) == 36
    assert [n for n in range(40) if n % 10 == 5] == \
        [int(n) for line in run.err.splitlines() for n in re.findall(r"\b\d*5\b", line)]
    run = steer(cluster, "map", "leave", text=numbers, code=FAILED)
    assert len(run.lines()) == 39 and "item 7: SystemExit: 3" in run.err


def test_map_goes_on_when_somebody_interrupts(cluster: Cluster, gate: Any) -> None:
    steer(cluster, "push", f"gate={gate.path}")
    code = ("def hold(x):\n    import os, time\n    if x == 2: print('held')\n"
            "    while x == 2 and not os.path.exists(gate): time.sleep(0.005)\n    return x")
    steer(cluster, "exec", code)
    with start(cluster, "map", "--chunk", "2", "--json", "hold", *map(str, range(40))) as running:
        assert running.stderr is not None and running.stdout is not None
        assert "held" in running.stderr.readline()
        steer(cluster, "interrupt")
        out = running.stdout.read()
        assert running.wait(20) == FAILED
    told = [json.loads(line) for line in out.splitlines()]
    assert [t["index"] for t in told] == list(range(40))
    assert [t["index"] for t in told if t["status"] != "ok"] in ([2], [2, 3])


@pytest.mark.limit(120)
def test_map_goes_on_without_a_lost_engine() -> None:
    with under_engines(3) as cluster:
        warm(cluster)
        die = "lambda x: __import__('os')._exit(3) if x == 9 else x"
        numbers = "".join(f"{i}\n" for i in range(60))
        run = steer(cluster, "map", "--json", "--chunk", "2", die, text=numbers, code=FAILED)
        found = items_of(run)
        assert 9 in found["error"] and len(found["error"]) + len(found["ok"]) == 60
        assert "not run" not in run.err


@pytest.mark.limit(120)
def test_map_of_a_cluster_that_ends() -> None:
    with under_engines(2) as cluster:
        warm(cluster)
        with start(cluster, "map", "--chunk", "2", "--json",
                   "lambda x: print('at', x) or __import__('time').sleep(100 * (x > 4))",
                   *map(str, range(40))) as running:
            assert running.stdout is not None and running.stderr is not None
            assert json.loads(running.stdout.readline())["status"] == "ok"
            steer(cluster, "shutdown")
            out, err = running.stdout.read(), running.stderr.read()
            assert running.wait(20) in (FAILED, NO_CONNECTION)
        cluster.join()
        told = [json.loads(line) for line in out.splitlines()]
        assert [t["index"] for t in told] == list(range(1, len(told) + 1))
        rest = re.search(r"items from (\d+) on were not run\n$", err)
        assert rest and int(rest.group(1)) == len(told) + 1
        assert "error" in {t["status"] for t in told}


def test_map_folds_equal_errors(cluster: Cluster) -> None:
    numbers = "".join(f"{i}\n" for i in range(200))
    run = steer(cluster, "map", "lambda x: 1 // (x % 100 > 2)", text=numbers, code=FAILED)
    assert len(run.lines()) == 194
    if len(run.err.splitlines()) == 1:  # a busy machine takes longer than errors are held
        assert "items 0-2,100-102 (6): ZeroDivisionError: integer" in run.err
    assert len(run.err.splitlines()) <= 2 and run.err.count("ZeroDivisionError") <= 2


def test_map_of_what_cannot_be_read(cluster: Cluster) -> None:
    folder = os.open(cluster.dir, os.O_RDONLY)
    try:
        done = subprocess.run(command(cluster, "map", "abs"), stdin=folder, capture_output=True,
                              env=environment(cluster), text=True, timeout=30)
    finally:
        os.close(folder)
    assert done.returncode == USAGE and "Is a directory" in done.stderr


def test_map_reads_as_it_goes(cluster: Cluster) -> None:
    with start(cluster, "map", "lambda x: x + 1") as running:
        assert running.stdin is not None and running.stdout is not None
        for i in range(3):
            running.stdin.write(f"{i}\n")
            running.stdin.flush()
            assert running.stdout.readline() == f"{i + 1}\n"
        running.stdin.close()
        assert running.wait(20) == OK


def test_map_shows_output_apart(cluster: Cluster) -> None:
    run = steer(cluster, "map", "lambda x: print('said', x) or x", "1")
    assert run.out == "1\n" and "said 1" in run.err


# ---- values ----


def save(cluster: Cluster, name: str, array: Any) -> str:
    path = os.path.join(cluster.dir, name)
    np.save(path, array)
    return path


@pytest.mark.parametrize("text, shown, value", [
    ("5", "5", 5), ("hello", "hello", "hello"), ("2.5", "2.5", 2.5), ("true", "True", True),
    ("null", "None", None), ('[1, {"a": "b"}]', "[1, {'a': 'b'}]", [1, {"a": "b"}]), ("", "", ""),
])
def test_push_and_pull_values(cluster: Cluster, text: str, shown: str, value: Any) -> None:
    steer(cluster, "push", f"pushed={text}")
    assert steer(cluster, "pull", "--on", "1", "pushed").out == f"{shown}\n"
    assert values(steer(cluster, "pull", "--json", "pushed")) == {e: value for e in range(4)}


@pytest.mark.parametrize("array", [
    np.arange(12.0).reshape(3, 4),
    np.array(7, dtype=np.int16),
    np.array([], dtype="<U3"),
    np.array(["a", "bcd"]),
    np.array([("x", 1, [2.5, 3])], dtype=[("name", "S4"), ("n", ">i4"), ("v", "<f8", (2,))]),
    np.array(["2026-01-31"], dtype="M8[D]"),
    np.array([True, False]),
], ids=lambda a: str(a.dtype))
def test_arrays_travel_as_they_are(cluster: Cluster, array: Any) -> None:
    path = save(cluster, "there.npy", array)
    steer(cluster, "push", f"array={path}")
    steer(cluster, "pull", "array", "-o", "back%d.npy")
    for engine in range(4):
        back = np.load(os.path.join(cluster.dir, f"back{engine}.npy"))
        assert back.dtype == array.dtype and back.shape == array.shape
        assert (back == array).all()
    assert steer(cluster, "pull", "array").code == OK


def test_large_arrays(cluster: Cluster) -> None:
    array = np.random.default_rng(1).random((3_000_000,))
    path = save(cluster, "large.npy", array)
    steer(cluster, "push", f"large={path}", "small=1")
    steer(cluster, "pull", "--on", "3", "large", "-o", "back.npy")
    assert (np.load(os.path.join(cluster.dir, "back.npy")) == array).all()
    assert "..." in steer(cluster, "pull", "--on", "0", "large").out
    steer(cluster, "exec", "del large")


def test_pull_of_what_is_not_there(cluster: Cluster) -> None:
    run = steer(cluster, "pull", "not_there", code=FAILED)
    assert run.err == "[0-3] NameError: name 'not_there' is not defined\n"
    told = steer(cluster, "pull", "not_there", "--json", code=FAILED).json()
    assert {a["ename"] for a in told} == {"NameError"}
    steer(cluster, "push", "number=5")
    run = steer(cluster, "pull", "number", "-o", "x%d.npy", code=FAILED)
    assert "engine 0: number is no array" in run.err
    path = save(cluster, "a.npy", np.zeros(2))
    steer(cluster, "push", f"a={path}")
    assert "%d" in steer(cluster, "pull", "a", "-o", "x.npy", code=USAGE).err
    assert "/no/such" in steer(cluster, "pull", "--on", "0", "a", "-o", "/no/such/x.npy",
                               code=FAILED).err


@pytest.mark.parametrize("array, said", [
    (np.array([{}], dtype=object), "object"),
    (np.asfortranarray(np.ones((2, 3))), "Fortran"),
])
def test_arrays_that_cannot_travel(cluster: Cluster, array: Any, said: str) -> None:
    path = save(cluster, "bad.npy", array)
    for verb in ("push", "scatter"):
        run = steer(cluster, verb, f"bad={path}", code=USAGE)
        assert said in run.err and path in run.err and len(run.err.splitlines()) == 1
    steer(cluster, "pull", "bad", code=FAILED)  # nothing was sent


def test_files_that_are_none(cluster: Cluster) -> None:
    path = save(cluster, "cut.npy", np.zeros(100))
    with open(path, "r+b") as file:
        file.truncate(500)
    assert "cut off" in steer(cluster, "push", f"a={path}", code=USAGE).err
    with open(path, "w") as text:
        text.write("no array")
    assert "no .npy file" in steer(cluster, "push", f"a={path}", code=USAGE).err
    assert "none.npy" in steer(cluster, "push", "a=none.npy", code=USAGE).err
    for word in ("a", "=1", "9a=1", "a b=1"):
        assert "NAME=" in steer(cluster, "push", word, code=USAGE).err
    assert "None" in steer(cluster, "push", "None=1", code=FAILED).err


@pytest.mark.parametrize("rows", [0, 1, 4, 10])
def test_scatter_and_gather(cluster: Cluster, rows: int) -> None:
    array = np.arange(rows * 3.0).reshape(rows, 3)
    told = steer(cluster, "scatter", "--json", "part=" + save(cluster, "a.npy", array)).json()
    parts = np.array_split(array, 4)
    assert [b - a for a, b in (t["rows"] for t in told)] == [len(part) for part in parts]
    steer(cluster, "gather", "part", "-o", "b.npy")
    back = np.load(os.path.join(cluster.dir, "b.npy"))
    assert back.dtype == array.dtype and back.shape == array.shape and (back == array).all()
    told = steer(cluster, "gather", "part", "--json").json()
    assert told["value"] == array.tolist() and told["shape"] == list(array.shape)
    assert len(steer(cluster, "exec", "part.shape").out.splitlines()) >= 1


def test_scatter_over_some(cluster: Cluster) -> None:
    path = save(cluster, "a.npy", np.arange(6))
    steer(cluster, "scatter", "--on", "1,3", f"some={path}")
    assert steer(cluster, "pull", "--on", "3", "some").out == "[3, 4, 5]\n"
    assert steer(cluster, "gather", "--on", "1,3", "some").out == "[0, 1, 2, 3, 4, 5]\n"
    path = save(cluster, "scalar.npy", np.array(3.0))
    assert "rows" in steer(cluster, "scatter", f"some={path}", code=USAGE).err


@pytest.mark.parametrize("code, said", [
    ("g = np.zeros((2, 3 + (me == 2)))", "engines 0 and 2 do not fit together"),
    ("g = np.zeros(2, dtype='<f4' if me == 1 else '<f8')", "engines 0 and 1 do not fit together"),
    ("g = 'text' if me == 3 else np.zeros(1)", "engine 3: g is no array"),
])
def test_gather_of_what_does_not_fit(cluster: Cluster, code: str, said: str) -> None:
    steer(cluster, "scatter", "ids=" + save(cluster, "ids.npy", np.arange(4)))
    steer(cluster, "exec", f"import numpy as np; me = int(ids[0]); {code}")
    run = steer(cluster, "gather", "g", "-o", "never.npy", code=FAILED)
    assert said in run.err and len(run.err.splitlines()) == 1
    assert not os.path.exists(os.path.join(cluster.dir, "never.npy"))


@pytest.mark.parametrize("op, expected", [
    ("sum", [6, 10]), ("prod", [0, 24]), ("min", [0, 1]), ("max", [3, 4]),
])
def test_reduce(cluster: Cluster, op: str, expected: list[int]) -> None:
    steer(cluster, "scatter", "ids=" + save(cluster, "ids.npy", np.arange(4)))
    steer(cluster, "exec", "import numpy as np; r = np.array([ids[0], ids[0] + 1])")
    assert steer(cluster, "reduce", "r", op).out == f"{expected}\n"
    assert steer(cluster, "reduce", "r", op, "--json").json()["value"] == expected
    steer(cluster, "reduce", "r", op, "-o", "r.npy")
    assert np.load(os.path.join(cluster.dir, "r.npy")).tolist() == expected


@pytest.mark.parametrize("values, function, shown, value", [
    ("['a', 'b', 'c', 'd']", "lambda a, b: a + b", "abcd", "abcd"),
    ("[1, 2, 3, 4]", "operator:mul", "24", 24),
    ("[{0}, {1}, {2}, {3}]", "set.union", "{0, 1, 2, 3}", None),
    ("[1 + 2j] * 4", "sum", "(4+8j)", None),
    ("[np.complex64(1 + 2j)] * 4", "sum", "4.0+8.0j", "4.0+8.0j"),
    ("[datetime.date(2026, 1, d) for d in (3, 9, 1, 4)]", "max", "datetime.date(2026, 1, 9)", None),
    ("[np.datetime64('2026-01-03') + d for d in range(4)]", "max", "2026-01-06", "2026-01-06"),
    ("[[1], [2], [3], [4]]", "lambda a, b: a + b", "[1, 2, 3, 4]", [1, 2, 3, 4]),
])
def test_reduce_with_a_function(
    cluster: Cluster, values: str, function: str, shown: str, value: Any
) -> None:
    steer(cluster, "scatter", "ids=" + save(cluster, "ids.npy", np.arange(4)))
    steer(cluster, "exec", f"import datetime, numpy as np; f = ({values})[int(ids[0])]")
    assert steer(cluster, "reduce", "f", function).out == f"{shown}\n"
    told = steer(cluster, "reduce", "f", function, "--json").json()
    assert told.get("value") == value
    if value is None:
        assert told["text"] == shown


@pytest.mark.parametrize("made, shown, value", [
    ("1 + 2j", "(1+2j)", None), ("np.complex64(1 + 2j)", "1.0+2.0j", "1.0+2.0j"),
    ("np.array([1 + 2j])", "[1.0+2.0j]", ["1.0+2.0j"]),
    ("datetime.datetime(2026, 1, 31)", "datetime.datetime(2026, 1, 31, 0, 0)", None),
    ("np.array(['2026-01-31'], 'M8[D]')", "[2026-01-31]  # <M8[D] (1,)", ["2026-01-31"]),
    ("np.datetime64('2026-01-31T12:00')", "2026-01-31T12:00", "2026-01-31T12:00"),
    ("np.array(['a', 'bcd'])", "['a', 'bcd']", ["a", "bcd"]),
    ("np.array([(1, 2.5)], [('n', 'i4'), ('v', 'f8')])",
     "array([(1, 2.5)], dtype=[('n', '<i4'), ('v', '<f8')])", [[1, 2.5]]),
    ("{1, 2}", "{1, 2}", None), ("range(3)", "range(0, 3)", None),
])
def test_pull_shows_all_kinds(cluster: Cluster, made: str, shown: str, value: Any) -> None:
    steer(cluster, "exec", f"import datetime, numpy as np; shown = {made}")
    assert steer(cluster, "pull", "shown").out == f"[0-3] {shown}\n"
    (told,) = steer(cluster, "pull", "--on", "1", "shown", "--json").json()
    assert told.get("value") == value and ("dtype" in told) == made.startswith("np.")
    if value is None:
        assert told["text"] == shown


def test_pull_to_files_tells_of_them(cluster: Cluster) -> None:
    steer(cluster, "exec", "import numpy as np; kept = np.zeros((2, 3), '<f4')")
    told = steer(cluster, "pull", "kept", "-o", "kept%d.npy", "--json").json()
    for engine, answer in enumerate(told):
        assert answer["dtype"] == "<f4" and answer["shape"] == [2, 3]
        assert answer["file"] == f"kept{engine}.npy"


def test_an_observer_sees_dates(cluster: Cluster, observer: str) -> None:
    code = "import numpy as np; day = np.array(['2026-01-31'], 'M8[D]'); odd = np.zeros(1, [('n', 'i4')])"
    steer(cluster, "exec", code)
    assert "[2026-01-31]" in steer(cluster, "pull", "day", file=observer).out
    assert '<array [["n", "<i4"]] (1,)>' in steer(cluster, "pull", "odd", file=observer).out


def test_reduce_errors(cluster: Cluster) -> None:
    steer(cluster, "exec", "r = 1")
    assert "'average'" in steer(cluster, "reduce", "r", "average", code=FAILED).err
    assert "division by" in steer(cluster, "reduce", "r", "lambda a, b: 1 / 0", code=FAILED).err
    assert "not_there" in steer(cluster, "reduce", "not_there", "sum", code=FAILED).err


# ---- stopping ----


def test_interrupt(cluster: Cluster, gate: Any) -> None:
    with start(cluster, "exec", "--on", "0-1", "print('on')\n" + WAIT.format(gate.path)) as running:
        assert running.stdout is not None and running.stderr is not None
        lines = running.stdout.readline()
        while len(unfold(lines)) < 2:
            lines += running.stdout.readline()
        told = steer(cluster, "interrupt", "--on", "0-1", "--json").json()
        assert [a["status"] for a in told] == ["ok", "ok"]
        assert running.wait(20) == FAILED
        assert "KeyboardInterrupt" in running.stderr.read()
    assert steer(cluster, "interrupt").out == ""


@pytest.mark.limit(120)
def test_kill_and_shutdown() -> None:
    with under_engines(4) as cluster:
        warm(cluster)
        assert "--on" in steer(cluster, "kill", code=USAGE).err
        assert "no such signal" in steer(cluster, "kill", "--on", "1", "--signal", "NO",
                                         code=USAGE).err
        steer(cluster, "kill", "--on", "1")
        steer(cluster, "kill", "--on", "2", "--signal", "KILL", code=None)
        procs.wait_until(lambda: steer(cluster, "status", "--json").json()["groups"] == {"": "0,3"},
                         20, "engines 1 and 2 are gone")
        events = [e["event"] for e in map(json.loads, steer(cluster, "events", "--json").lines())]
        assert "engine_lost" in events and "engine_retired" in events
        assert "engine_lost" in steer(cluster, "events").out
        assert steer(cluster, "exec", "1").out == "[0,3] 1\n"
        for args in (["engines"], ["map", "abs", "1"], ["top"], ["connect"]):
            assert "engine 1 was shut down" in steer(cluster, *args, "--on", "0-1", code=FAILED).err
            assert "engine 2 died" in steer(cluster, *args, "--on", "2", code=FAILED).err
            assert "no engine 7" in steer(cluster, *args, "--on", "7", code=FAILED).err
        run = steer(cluster, "exec", "--on", "0,2", "1", code=FAILED)
        assert run.out == "[0] 1\n" and "EngineError" in run.err
        file = os.path.join(cluster.dir, "kept.json")
        with open(cluster.connection_file) as old, open(file, "w") as kept:
            kept.write(old.read())
        os.chmod(file, 0o600)
        assert steer(cluster, "shutdown", "--json").json()["status"] == "ok"
        cluster.join()
        begin = time.monotonic()
        run = steer(cluster, "status", file=file, code=NO_CONNECTION)
        assert len(run.err.splitlines()) == 1 and time.monotonic() - begin < 20


def test_follow(cluster: Cluster) -> None:
    with start(cluster, "logs", "--follow", "--json") as logs, \
            start(cluster, "events", "--follow") as events:
        assert logs.stdout is not None and events.stdout is not None
        assert logs.stdout.readline() and events.stdout.readline()  # they are listening
        steer(cluster, "exec", "--on", "2", "print('for all to see')")
        for line in logs.stdout:
            told = json.loads(line)
            if told.get("type") == "stream":
                break
        assert told["engine"] == 2 and told["text"] == "for all to see\n"
        logs.send_signal(2)
        assert logs.wait(20) == OK
        events.send_signal(2)
        assert events.wait(20) == OK
        assert "for all to see" not in events.stdout.read()


# ---- the command line ----


@pytest.mark.parametrize("args, said", [
    ([], "Usage"), (["frob"], "no verb 'frob'"), (["exec"], "wants"), (["exec", "1", "2"], "'2'"),
    (["status", "--on", "1"], "takes no --on"), (["exec", "--on", "1-", "1"], "--on 1-"),
    (["exec", "--on", "3-1", "1"], "backwards"), (["exec", "--on", "", "1"], "empty"),
    (["--frob"], "--frob"), (["reduce", "x"], "wants"), (["map", "--chunk", "0", "f"], "--chunk"),
    (["status", "--cluster-id", "x"], "another"), (["invite"], "wants one of"),
    (["invite", "x"], "--role"), (["invite", "x", "--role", "king"], "--role"),
    (["invite", "x", "--role", "observer", "--expires", "soon"], "--expires"),
    (["exec", "\udcff"], "UTF-8"), (["apply", "\udcff"], "UTF-8"), (["map", "\udcff", "1"], "UTF-8"),
    (["map", "abs", "\udcff"], "UTF-8"), (["push", "a=\udcff"], "UTF-8"), (["pull", "\udcff"], "UTF-8"),
    (["push", "\udcff=1"], "NAME="), (["reduce", "\udcff", "sum"], "UTF-8"),
    (["invite", "\udcff", "--role", "observer"], "UTF-8"), (["invite", "--revoke", "\udcff"], "UTF-8"),
])
def test_usage(cluster: Cluster, args: list[str], said: str) -> None:
    run = steer(cluster, *args, code=USAGE)
    assert said in run.err and run.out == ""


def test_help(cluster: Cluster) -> None:
    text = steer(cluster, "--help").out
    for verb in ("connect", "gather", "invite"):
        assert verb in text
        assert f" {verb} " in steer(cluster, verb, "--help").out
    assert "ipp-steer" in steer(cluster, "--version").out


def test_engines_that_are_not_there(cluster: Cluster) -> None:
    for args in (["exec", "1"], ["pull", "x"], ["scatter", "x=" + save(cluster, "a.npy", [1])]):
        for on in ("7", "atmosphere"):
            run = steer(cluster, *args, "--on", on, code=FAILED)
            assert on in run.err and len(run.err.splitlines()) == 1


def edited(cluster: Cluster, **changes: Any) -> str:
    """A copy of the connection file with other values in its `steering`."""
    with open(cluster.connection_file) as file:
        info = json.load(file)
    info["ippmpi"]["steering"].update(changes)
    path = os.path.join(cluster.dir, "edited.json")
    with open(path, "w") as file:
        json.dump(info, file)
    os.chmod(path, 0o600)
    return path


def test_no_connection(cluster: Cluster) -> None:
    assert "none.json" in steer(cluster, "status", file="none.json", code=NO_CONNECTION).err
    other = "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID"
    for changes in ({"protocol": 99}, {"public_key": other, "secret_key": other, "ipc": ""},
                    {"port": 1, "ipc": ""}):
        run = steer(cluster, "--timeout", "5", "status", file=edited(cluster, **changes),
                    code=NO_CONNECTION)
        assert len(run.err.splitlines()) == 1, run.err


@pytest.mark.parametrize("mode, warned", [(0o600, 0), (0o640, 1), (0o644, 1)])
def test_a_key_that_others_may_read(cluster: Cluster, mode: int, warned: int) -> None:
    path = edited(cluster)
    os.chmod(path, mode)
    run = steer(cluster, "status", file=path)
    assert len(run.err.splitlines()) == warned
    assert run.err.count(f"mode {mode:04o}") == warned and run.err.count("chmod 600") == warned


def test_output_that_cannot_be_written(cluster: Cluster) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(command(cluster, "status"), stdout=full, stderr=subprocess.PIPE,
                              env=environment(cluster), text=True, timeout=30)
    assert done.returncode == FAILED and "cannot write" in done.stderr


def test_tcp_is_as_good_as_ipc(cluster: Cluster) -> None:
    assert steer(cluster, "exec", "1", file=edited(cluster, ipc="")).out == "[0-3] 1\n"


# ---- others ----


@pytest.fixture
def observer(cluster: Cluster) -> Any:
    """Connection file of an observer called watcher."""
    path = os.path.join(cluster.dir, "watcher.json")
    told = steer(cluster, "invite", "watcher", "--role", "observer", "-o", path, "--json").json()
    assert told["file"] == path and told["role"] == "observer"
    yield path
    steer(cluster, "invite", "--revoke", "watcher", code=None)


def test_invitations(cluster: Cluster, observer: str) -> None:
    assert stat.S_IMODE(os.stat(observer).st_mode) == 0o600
    with open(observer) as file, open(cluster.connection_file) as owners:
        invited, owner = json.load(file), json.load(owners)
    text = json.dumps(invited)
    assert owner["key"] not in text and "key" not in invited
    assert owner["ippmpi"]["steering"]["secret_key"] not in text
    assert invited["ippmpi"]["invited"]["role"] == "observer"
    assert steer(cluster, "status", "--json", file=observer).json()["name"] == "watcher"
    listed = steer(cluster, "invite", "--list", "--json").json()
    assert [guest["name"] for guest in listed] == ["watcher"]
    assert "watcher" in steer(cluster, "invite", "--list").out
    again = steer(cluster, "invite", "watcher", "--role", "operator", code=FAILED)
    assert "invited already" in again.err
    assert not os.path.exists(os.path.join(cluster.dir, "ippmpi-watcher.json"))
    assert "invited" in steer(cluster, "events").out
    told = steer(cluster, "invite", "--revoke", "watcher", "--json").json()
    assert told == {"revoked": "watcher"}
    refused = steer(cluster, "status", file=observer, code=NO_CONNECTION)
    assert "the invitation of watcher was revoked" in refused.err
    assert "watcher" in steer(cluster, "invite", "--revoke", "watcher", code=FAILED).err
    assert steer(cluster, "invite", "--list").out == ""


def test_an_invitation_says_how_to_come_in(cluster: Cluster) -> None:
    run = steer(cluster, "invite", "far", "--role", "observer", "-o", "far.json")
    host = socket.gethostname()
    assert f"listens on {host} alone (tcp://127.0.0.1)" in run.err
    assert f"ipp-steer --ssh LOGIN@{host} --connection-file far.json status" in run.err
    steer(cluster, "invite", "--revoke", "far")


def test_an_observer_looks(cluster: Cluster, observer: str) -> None:
    steer(cluster, "push", "seen=5", "array=" + save(cluster, "a.npy", np.arange(3)), "deep=[1]")
    assert steer(cluster, "pull", "seen", file=observer).out == "[0-3] 5\n"
    assert steer(cluster, "gather", "--on", "0", "array", file=observer).out == "[0, 1, 2]\n"
    assert "PermissionError" in steer(cluster, "pull", "deep", file=observer, code=FAILED).err
    for verb in ("status", "engines", "tasks", "top", "events"):
        assert steer(cluster, verb, file=observer).out
    assert "ipp-cluster logs" in steer(cluster, "logs", file=observer, code=FAILED).err


@pytest.mark.parametrize("args", [
    ["exec", "1"], ["apply", "abs", "1"], ["map", "abs", "1"], ["push", "a=1"],
    ["reduce", "seen", "sum"], ["interrupt"], ["kill", "--on", "0"],
    ["kill", "--on", "0", "--signal", "TERM"], ["shutdown"], ["invite", "x", "--role", "operator"],
    ["invite", "--list"], ["invite", "--revoke", "watcher"],
], ids=" ".join)
def test_an_observer_does_nothing(cluster: Cluster, observer: str, args: list[str]) -> None:
    run = steer(cluster, *args, file=observer, code=FAILED)
    assert "PermissionError" in run.err and len(run.err.splitlines()) == 1
    assert cluster.alive()


def test_an_operator_runs_and_does_not_invite(cluster: Cluster) -> None:
    path = os.path.join(cluster.dir, "ippmpi-worker.json")
    steer(cluster, "invite", "worker", "--role", "operator", "--expires", "2h")
    assert steer(cluster, "exec", "1", file=path).out == "[0-3] 1\n"
    assert "7" in steer(cluster, "status", file=path).out  # 7200 s or a bit less
    run = steer(cluster, "invite", "y", "--role", "observer", file=path, code=FAILED)
    assert "PermissionError" in run.err
    steer(cluster, "invite", "--revoke", "worker")


def test_an_invitation_expires(cluster: Cluster) -> None:
    path = os.path.join(cluster.dir, "short.json")
    steer(cluster, "invite", "short", "--role", "observer", "--expires", "1s", "-o", path)
    procs.wait_until(lambda: steer(cluster, "status", file=path, code=None).code == NO_CONNECTION,
                     20, "the invitation has expired")
    refused = steer(cluster, "status", file=path, code=NO_CONNECTION)
    assert re.search(r"the invitation of short has expired \(20\S+Z\)\n$", refused.err)
    listed = steer(cluster, "invite", "--list").out
    assert re.search(r"^short .*Z +(in 0 s|\d+ s ago|\d+ min (\d+ s )?ago) .*expired$", listed, re.M), listed
    steer(cluster, "invite", "short", "--role", "observer", "--expires", "2d", "-o", path)
    assert re.search(r"^short .*Z +in (2 d|1 d 23 h)", steer(cluster, "invite", "--list").out, re.M)
    assert steer(cluster, "status", "--json", file=path).json()["name"] == "short"
    steer(cluster, "invite", "--revoke", "short")


def test_keys_that_are_no_pair(cluster: Cluster) -> None:
    with open(cluster.connection_file) as file:
        told = json.load(file)
    keys = told["ippmpi"]["steering"]
    keys["public_key"] = keys["server_key"]
    path = os.path.join(cluster.dir, "no_pair.json")
    with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
        json.dump(told, file)
    assert f"{path}: public_key and secret_key are no pair" in steer(
        cluster, "status", file=path, code=NO_CONNECTION).err


def test_files_that_are_not_pushed(cluster: Cluster) -> None:
    path = os.path.join(cluster.dir, "table.csv")
    with open(path, "w") as file:
        file.write("1,2\n")
    assert f"{path} is a file, and not called .npy" in steer(cluster, "push", f"t={path}", code=USAGE).err
    steer(cluster, "push", f't="{path}"', "--on", "0")
    assert steer(cluster, "pull", "--on", "0", "t").out == path + "\n"


# ---- groups, ssh ----


@pytest.mark.limit(120)
def test_groups() -> None:
    with under_engines(2, args=["--group", "ocean"]) as cluster:
        warm(cluster)
        assert steer(cluster, "status", "--json").json()["groups"] == {"ocean": "0,1"}
        assert "ocean" in steer(cluster, "engines", "--on", "ocean").lines()[1]
        assert steer(cluster, "exec", "--on", "ocean", "1").out == "[0,1] 1\n"
        assert steer(cluster, "exec", "--on", socket.gethostname(), "1").out == "[0,1] 1\n"
        assert steer(cluster, "map", "--on", socket.gethostname(), "abs", "-1").out == "1\n"
        path = save(cluster, "a.npy", np.arange(4))
        steer(cluster, "scatter", "--on", "ocean", f"a={path}")
        assert steer(cluster, "gather", "--on", "ocean", "a").out == "[0, 1, 2, 3]\n"
        assert steer(cluster, "map", "--on", "ocean", "abs", "-1").out == "1\n"
        script = "%on ocean\n'both'\n"
        assert steer(cluster, "connect", text=script).out == "[0,1] 'both'\n"


def write_log(cluster: Cluster, text: str) -> str:
    """As if ipp-cluster had started it."""
    folder = os.path.join(cluster.ipython_dir, "profile_default", "log")
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "ipp-cluster.log"), "w") as file:
        file.write(text)
    return file.name


def tails(path: str) -> list[str]:
    return [name for name in os.listdir("/proc") if name.isdigit() and path in cmdline(name)]


def cmdline(pid: str) -> list[str]:
    try:
        with open(f"/proc/{pid}/cmdline") as file:
            return file.read().split("\0")
    except OSError:
        return []


def check_followed(cluster: Cluster, env: dict[str, str], *where: str) -> None:
    """What is in the log, what comes there, what engines print; then the end, and no tail is left."""
    path = write_log(cluster, "an old line\n")
    with subprocess.Popen([ipp_steer(), *where, "logs", "-f"], env=env, text=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as logs:
        assert logs.stdout is not None
        for line in logs.stdout:
            if line == "an old line\n":
                break
        with open(path, "a") as file:
            file.write("a new line\n")
        steer(cluster, "exec", "--on", "1", "print('said by an engine')")
        missing = {"a new line\n", "[1] said by an engine\n"}
        while missing:
            line = logs.stdout.readline()
            assert line
            missing.discard(line)
        assert tails(path)
        logs.send_signal(signal.SIGINT)
        assert logs.wait(20) == OK
    procs.wait_until(lambda: not tails(path), 20, "tail has ended")


@pytest.mark.limit(120)
def test_logs() -> None:
    with under_engines(2, default_file=True) as cluster:
        def run(*args: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run([ipp_steer(), *args], env=environment(cluster), text=True,
                                  capture_output=True, timeout=30, stdin=subprocess.DEVNULL)

        done = run("logs")
        assert done.returncode == FAILED and "there is no log" in done.stderr
        write_log(cluster, "".join(f"line {i}\n" for i in range(200)))
        done = run("logs")
        assert done.stdout.splitlines() == [f"line {i}" for i in range(100, 200)]
        assert done.returncode == OK and "attached" not in done.stdout
        told = [json.loads(line) for line in run("logs", "--json").stdout.splitlines()]
        assert told[-1] == {"type": "log", "text": "line 199\n"}
        check_followed(cluster, environment(cluster))
        done = run("events")
        assert "attached" in done.stdout and "line" not in done.stdout


@pytest.mark.skipif(not SSHD, reason="no sshd here (Debian: openssh-server)")
@pytest.mark.limit(120)
def test_ssh(tmp_path: Any) -> None:
    with under_engines(2, default_file=True) as cluster:
        server = Sshd(str(tmp_path), {"IPYTHONDIR": cluster.ipython_dir})
        login = f"{getpass.getuser()}@127.0.0.1:{server.port}"
        env = {**environment(cluster), "IPYTHONDIR": str(tmp_path), "PATH": server.path}

        def far(*args: str, login: str = login) -> subprocess.CompletedProcess[str]:
            return subprocess.run([ipp_steer(), "--ssh", login, *args], env=env, text=True,
                                  capture_output=True, timeout=60, stdin=subprocess.DEVNULL)

        with server.running():
            far("exec", "1")
            done = far("exec", "6 * 7")
            assert (done.returncode, done.stdout) == (OK, "[0,1] 42\n"), done.stderr
            done = far("status", "--cluster-id", "another")
            assert done.returncode == NO_CONNECTION and "another" in done.stderr
            done = far("status", login="-oProxyCommand=true")
            assert done.returncode == NO_CONNECTION and done.stderr.startswith("ipp-steer: ")
            done = far("logs")
            assert done.returncode == FAILED and "there is no log" in done.stderr
            write_log(cluster, "from the far side\n")
            assert far("logs").stdout == "from the far side\n"
            check_followed(cluster, env, "--ssh", login)
            server.refuse_all()
            done = far("status")
            assert done.returncode == NO_CONNECTION and len(done.stderr.splitlines()) == 1
        done = far("status")
        assert done.returncode == NO_CONNECTION, done.stderr


# ---- bash ----


@pytest.mark.skipif(not shutil.which("bash"), reason="no bash here")
@pytest.mark.parametrize("line, expected", [
    ("ga", ["gather"]),
    ("--cluster-id x sca", ["scatter"]),
    ("exec --j", ["--json"]),
    ("kill --s", ["--signal", "--ssh"]),
    ("reduce x m", ["max", "min"]),
    ("invite ada --role o", ["observer", "operator"]),
    ("--cluster-id slurm", ["slurm-7"]),
    ("--cluster-id = slurm", ["slurm-7"]),
    ("--profile = d", ["default"]),
    ("--profile x sca", ["scatter"]),
    ("--profile = x sca", ["scatter"]),
    ("push x = profile_", ["profile_default"]),
    ("scatter x =", ["profile_default"]),
    ("push --on = a", ["all"]),
])
def test_completion_in_bash(tmp_path: Any, line: str, expected: list[str]) -> None:
    folder = tmp_path / "profile_default" / "security"
    folder.mkdir(parents=True)
    (folder / "ipcontroller-slurm-7-client.json").write_text("{}")
    assert complete(line, {"IPYTHONDIR": str(tmp_path)}, str(tmp_path)) == expected


def complete(line: str, env: dict[str, str], folder: str) -> list[str]:
    """What a tab gives behind the last word of a line."""
    script = os.path.join(TOP, "src", "steer", "cli", "ipp-steer.bash")
    words = ["ipp-steer", *line.split()]
    code = (f". {script}; COMP_WORDS=({' '.join(words)}); COMP_CWORD={len(words) - 1}; _ipp_steer; "
            'printf "%s\\n" "${COMPREPLY[@]}"')
    path = os.path.dirname(ipp_steer()) + os.pathsep + os.environ["PATH"]
    done = subprocess.run(["bash", "-c", code], env={**env, "PATH": path}, cwd=folder,
                          capture_output=True, text=True, timeout=20)
    assert not done.stderr
    return sorted(done.stdout.split())


@pytest.mark.skipif(not shutil.which("bash"), reason="no bash here")
@pytest.mark.limit(120)
def test_completion_asks_the_cluster() -> None:
    with under_engines(2, args=["--group", "ocean"]) as cluster:
        steer(cluster, "invite", "ada", "--role", "observer")
        env, file = environment(cluster), f"--connection-file {cluster.connection_file}"
        for line, expected in ((f"{file} exec --on o", ["ocean"]), (f"{file} invite --revoke a", ["ada"])):
            procs.wait_until(lambda: complete(line, env, cluster.dir) == expected, 20,
                             "an answer within a second")


# ---- what JSON's readers have no room for ----

LARGE = str(2**64 + 1)


def test_integers_of_any_size(cluster: Cluster) -> None:
    assert steer(cluster, "apply", "--on", "0", "lambda x: x", LARGE).out == LARGE + "\n"
    assert values(steer(cluster, "apply", "--on", "0", "--json", "lambda x: [x, 1]", LARGE)) == {0: [LARGE, 1]}
    assert steer(cluster, "map", "lambda x: -x", LARGE, "1").out == f"-{LARGE}\n-1\n"
    told = steer(cluster, "map", "--json", "lambda x: x", LARGE).json()
    assert told["value"] == told["text"] == LARGE
    steer(cluster, "exec", "--on", "0", f"large = {LARGE}")
    assert steer(cluster, "pull", "--on", "0", "large").out == LARGE + "\n"
    assert values(steer(cluster, "pull", "--on", "0", "--json", "large")) == {0: LARGE}
    assert LARGE in steer(cluster, "push", f"large={LARGE}", code=USAGE).err
    assert steer(cluster, "apply", "--on", "0", "str", "1e400").out == "inf\n"
    assert steer(cluster, "apply", "--on", "0", "str.upper", "nan").out == "NAN\n"


def test_text_with_nuls(cluster: Cluster) -> None:
    told = steer(cluster, "apply", "--on", "0", "--json", r"lambda: 'a\0b'").json()
    assert told[0]["value"] == told[0]["text"] == "a\0b"
    assert steer(cluster, "map", r"lambda x: 'a\0b'", "1").out == "a\0b\n"


# ---- gather: what ippmpi joins ----


def test_gather_numbers_and_lists(cluster: Cluster) -> None:
    steer(cluster, "scatter", "ids=" + save(cluster, "ids.npy", np.arange(4)))
    steer(cluster, "exec", "me = int(ids[0]); half = me / 2; words = ['of', me]; mixed = me if me else 'a'")
    assert steer(cluster, "gather", "me").out == "[0, 1, 2, 3]\n"
    steer(cluster, "exec", "point = ids[0] if me else ids.sum()")
    assert steer(cluster, "gather", "point").out == "[0, 1, 2, 3]\n"
    told = steer(cluster, "gather", "half", "--json").json()
    assert told == {"dtype": "<f8", "shape": [4], "value": [0, 0.5, 1, 1.5]}
    assert steer(cluster, "gather", "words", "--json").json()["value"] == ["of", 0, "of", 1, "of", 2, "of", 3]
    assert '["of", 0, ' in steer(cluster, "gather", "words").out
    assert "mixed" in steer(cluster, "gather", "mixed", code=FAILED).err
    file = os.path.join(cluster.dir, "me.npy")
    steer(cluster, "gather", "me", "-o", file)
    assert np.load(file).tolist() == [0, 1, 2, 3]


# ---- failures as JSON ----


def test_failures_are_json(cluster: Cluster) -> None:
    steer(cluster, "scatter", "ids=" + save(cluster, "ids.npy", np.arange(4)))
    steer(cluster, "exec", "import numpy; ragged = numpy.zeros((2, ids[0] + 1))")
    for code, args in ((FAILED, ("gather", "ragged")), (USAGE, ("pull",)), (USAGE, ("gather", "--follow", "x")),
                       (FAILED, ("engines", "--on", "9")), (USAGE, ("push", "1=2"))):
        run = steer(cluster, *args, "--json", code=code)
        told = run.json()
        assert told["status"] == "error" and told["error"] in run.err, (args, told, run.err)
    gone = steer(cluster, "status", "--json", code=NO_CONNECTION, file="/nonexistent/file.json")
    assert "/nonexistent/file.json" in gone.json()["error"]


def test_version(cluster: Cluster) -> None:
    assert re.fullmatch(r"ipp-steer of ippmpi \d+\.\d+\.\d+\n", steer(cluster, "--version").out)


# ---- a full queue ----


@pytest.mark.limit(120)
def test_map_gives_way_to_a_full_queue() -> None:
    with under_engines(2, args=["--max-tasks", "3"]) as cluster:
        warm(cluster)
        numbers = "".join(f"{i}\n" for i in range(300))
        squares = [str(i * i) for i in range(300)]
        running = [start(cluster, "map", "--chunk", "1", "lambda x: x * x") for _ in range(2)]
        for each in running:
            assert each.stdin is not None
            each.stdin.write(numbers)
            each.stdin.close()
        for each in running:
            assert each.stdout is not None and each.stderr is not None
            assert each.stdout.read().split() == squares
            assert each.stderr.read() == "" and each.wait(20) == OK
            each.stdout.close()
            each.stderr.close()

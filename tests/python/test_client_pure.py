# SPDX-License-Identifier: BSD-3-Clause
"""Parts of the Python client that need no cluster: targets, pace, errors, output, pickles."""

import json
import pickle
import random
import re
import sys
import traceback
import types

import pytest

from ippmpi import errors, packing, pace, remote
from ippmpi.outputs import Collector, Result, Results
from ippmpi.targets import compress, select

IDS = [0, 1, 2, 4, 7]


@pytest.mark.parametrize(
    "key, spec, one",
    [
        (0, "0", True),
        (-1, "7", True),
        (slice(None), "all", False),
        (slice(0, 3), "0-2", False),
        (slice(None, None, 2), "0,2,7", False),
        (slice(1, 2), "1", False),
        ([7, 0], "0,7", False),
        ((4,), "4", False),
        (range(3), "0-2", False),
        ("ocean", "ocean", False),
        (" 0-2,ocean ", "0-2,ocean", False),
        ("all", "all", False),
        ("2d", "2d", False),
        ("4", "4", True),
        ("", "all", False),
    ],
)
def test_what_brackets_mean(key, spec, one):
    assert select(key, IDS, {"ocean", "2d"}) == (spec, one)


@pytest.mark.parametrize("key", [3, 8, -6, slice(5, 9), [], [0, 3], "3", "0-3", "6-9", "0,8"])
def test_no_such_engine(key):
    with pytest.raises(IndexError, match="no engine"):
        select(key, IDS, {"ocean"})


@pytest.mark.parametrize("key", ["lake", "0,lake", "2-", "1-2-3", "3d", "0 1", "\u0663"])
def test_no_such_group(key):
    with pytest.raises(IndexError, match="no group"):
        select(key, IDS, {"ocean"})


@pytest.mark.parametrize("key, said", [
    ("2-0", "'2-0' .* backwards"), ("0,,1", "empty"), (",", "empty"), ("-1", "negative"),
])
def test_no_list_of_engines(key, said):
    with pytest.raises(ValueError, match=said):
        select(key, IDS)


def test_no_engine_is_left():
    with pytest.raises(IndexError, match="^there is no engine 0: none is alive$"):
        select(0, [])


@pytest.mark.parametrize("key", [1.0, None, {"a": 1}.items, [0.5], True, [False, True]])
def test_no_key_at_all(key):
    with pytest.raises(TypeError):
        select(key, IDS)


def test_compressed_ids_are_the_same_ids():
    for seed in range(200):
        ids = random.Random(seed).sample(range(30), seed % 20 + 1)
        spelled = [part.split("-") for part in compress(ids).split(",")]
        spread = [i for part in spelled for i in range(int(part[0]), int(part[-1]) + 1)]
        assert spread == sorted(ids)
    assert compress([]) == ""


# ---- pace ----


def simulate(durations, engines, trip_s=0.0003, paced=None):
    """Seconds until all tasks are done, and how many batches; engines take batches in order."""
    paced = paced or pace.Pace()
    waiting = list(durations)
    waiting.reverse()
    free = [0.0] * engines
    under_way = []  # (end, engine, items, sent)
    now, batches = 0.0, 0
    while waiting or under_way:
        while waiting and len(under_way) < paced.in_flight(engines):
            count = paced.size(len(waiting), engines)
            assert 1 <= count <= pace.ITEMS_AT_MOST
            items = [waiting.pop() for _ in range(min(count, len(waiting)))]
            engine = min(range(engines), key=lambda e: free[e])
            begin = max(now, free[engine])
            free[engine] = begin + trip_s + sum(items)
            under_way.append((free[engine], engine, len(items), now))
            batches += 1
        under_way.sort()
        now, engine, count, sent = under_way.pop(0)
        paced.done(engine, count, 100 * count, sent, now)
    return now, batches


def test_short_tasks_travel_by_thousands():
    taken, batches = simulate([5e-6] * 200_000, 2)
    assert batches < 300 and taken < 1.2 * 200_000 * 5e-6 / 2


def test_long_tasks_travel_one_by_one():
    taken, batches = simulate([5.0] * 11, 3)
    assert batches == 11 and taken < 4 * 5.0 + 0.1


def test_the_last_batches_are_small():
    taken, _ = simulate([0.001] * 3000, 8)
    assert taken < 1.1 * 3000 * 0.001 / 8


def test_tasks_that_turn_long_are_noticed():
    paced = pace.Pace()
    simulate([1e-5] * 50_000, 4, paced=paced)
    assert paced.size(10_000, 4) >= 10
    simulate([0.5] * 12, 4, paced=paced)
    assert paced.size(10_000, 4) == 1


def test_large_tasks_travel_in_small_batches():
    paced = pace.Pace()
    paced.done(0, 1, 1 << 20, 0.0, 1e-5)
    assert paced.size(10_000, 2) == 1
    paced = pace.Pace()
    paced.done(0, 100, 100 << 10, 0.0, 1e-5)
    assert paced.size(10_000, 2) <= 1024


def test_a_clock_that_stands_still():
    paced = pace.Pace()
    paced.done(0, 10, 0, 1.0, 1.0)
    assert 1 <= paced.size(1_000_000, 1) <= pace.ITEMS_AT_MOST


# ---- errors ----


def test_an_error_keeps_what_it_was_told_and_pickles():
    content = {"ename": "ValueError", "evalue": "no", "traceback": ["line 1", "line 2"]}
    error = errors.from_content(content, 3)
    assert str(error) == "[3] ValueError: no" and error.__notes__ == ["line 1\nline 2"]
    copy = pickle.loads(pickle.dumps(error))
    assert (copy.ename, copy.engine, copy.traceback) == ("ValueError", 3, ["line 1", "line 2"])
    assert error._render_traceback_()[-1] == "[3] ValueError: no"


# As IPython 8 gives it.
COLOURED = [
    "\x1b[0;31m" + "-" * 75 + "\x1b[0m",
    "\x1b[0;31mValueError\x1b[0m                   Traceback (most recent call last)",
    "Cell \x1b[0;32mIn [1], line 1\x1b[0m\n\x1b[0;32m----> 1\x1b[0m f()",
    "\x1b[0;31mValueError\x1b[0m: no",
]


def test_colours_are_for_ipython_alone(monkeypatch):
    error = errors.RemoteError("ValueError", "no", COLOURED, 3)
    assert error.traceback[2] == "Cell In [1], line 1\n----> 1 f()"
    assert "\x1b" not in "".join([str(error), *error.traceback, *error.__notes__])
    assert "\x1b" not in "".join(traceback.format_exception(error))
    shell = types.SimpleNamespace(colors="Neutral")
    module = types.SimpleNamespace(get_ipython=lambda: shell)
    monkeypatch.setitem(sys.modules, "IPython", module)
    assert COLOURED[2] in error._render_traceback_()
    assert COLOURED[2] in errors.CompositeError([error, error])._render_traceback_()
    shell.colors = "NoColor"
    assert "\x1b" not in "".join(error._render_traceback_())
    assert "\x1b" not in "".join(errors.CompositeError([error, error])._render_traceback_())


def test_an_error_is_told_once():
    error = errors.RemoteError("ValueError", "no", COLOURED, 3)
    for told in (
        "".join(traceback.format_exception(error)),
        "\n".join(error._render_traceback_()),
        "".join(traceback.format_exception(errors.CompositeError([error, error]))),
    ):
        assert told.count("ValueError: no") == 1 and "----> 1 f()" in told
    plain = ["Traceback (most recent call last):", '  File "a.py", line 1, in f', "ValueError: no"]
    error = errors.RemoteError("ValueError", "no", plain, 3)
    assert error.__notes__ == ["\n".join(plain[:2])]


@pytest.mark.parametrize(
    "lines", [[*COLOURED[:2], COLOURED[3]], ["ValueError: no"], ["Traceback (most recent call last):"]]
)
def test_a_traceback_without_code_is_not_shown(lines):
    error = errors.RemoteError("ValueError", "no", lines, 3)
    assert not hasattr(error, "__notes__") and error._render_traceback_() == [str(error)]
    assert errors.CompositeError([error] * 2)._render_traceback_() == ["[3] ValueError: no"]


@pytest.mark.parametrize(
    "ename, engine, kind",
    [
        ("PermissionError", -1, PermissionError),
        ("PermissionError", 0, errors.RemoteError),
        ("IndexError", -1, IndexError),
        ("EngineError", 2, errors.EngineError),
        ("EngineError", -1, errors.EngineError),
        ("TaskRejectError", -1, errors.RemoteError),
        ("PythonVersionError", 0, errors.PythonVersionError),
    ],
)
def test_who_says_no(ename, engine, kind):
    error = errors.from_content({"ename": ename, "evalue": "why"}, engine)
    assert type(error) is kind and "why" in str(error)


def test_equal_errors_are_told_once():
    several = [errors.RemoteError("E", "a", ["tb"], i) for i in (0, 1, 2)]
    several += [errors.RemoteError("E", "b", ["tb"], 5)]
    composite = errors.CompositeError(several)
    assert str(composite) == "[0-2] E: a; [5] E: b"
    assert composite.__notes__ == ["[0-2]\ntb", "[5]\ntb"]
    copy = pickle.loads(pickle.dumps(composite))
    assert [e.engine for e in copy.errors] == [0, 1, 2, 5]


def test_one_error_is_raised_as_it_is():
    with pytest.raises(errors.EngineError):
        errors.raise_all([errors.EngineError("EngineError", "died", (), 1)])
    with pytest.raises(IndexError):
        errors.raise_all([errors.RemoteError("E", "a", (), 1), IndexError("none")])


# ---- output ----


def seen(engine, kind, lost=0, **content):
    return (engine, kind, json.dumps(content), "{}", [], lost)


def test_output_is_kept_by_engine_and_echoed_by_line(capsys):
    collector = Collector(True)
    collector.take([seen(0, "stream", name="stdout", text="a\nb")])
    collector.take([seen(1, "stream", name="stderr", text="w\n"), seen(1, "status")])
    assert capsys.readouterr() == ("[0] a\n", "[1] w\n")
    collector.take([seen(0, "stream", name="stdout", text="c\n")])
    collector.take([seen(0, "execute_result", lost=3, data={"text/plain": "42"})])
    collector.end()
    out, err = capsys.readouterr()
    assert out == "[0] bc\n[0] 42\n" and re.match(r"\[0\] .* 3 messages were lost", err)
    first = collector.of(0)
    assert (first.stdout, first.value_text, len(first.outputs)) == ("a\nbc\n", "42", 3)
    assert collector.of(1).stderr == "w\n" and collector.of(1).stdout == ""


def test_a_line_without_an_end_is_echoed_at_the_end(capsys):
    collector = Collector(True)
    collector.take([seen(2, "stream", name="stdout", text="half")])
    assert capsys.readouterr().out == ""
    collector.end()
    collector.end()
    assert capsys.readouterr().out == "[2] half\n"


def test_colours_of_what_is_shown_are_for_terminals(capsys, monkeypatch):
    shown = {"data": {"text/plain": "\x1b[0;31mType:\x1b[0m int\n"}}
    collector = Collector(True)
    collector.take([seen(0, "display_data", **shown)])
    assert capsys.readouterr().out == "[0] Type: int\n"
    assert "\x1b" in collector.of(0).outputs[0].content["data"]["text/plain"]
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    collector.take([seen(0, "display_data", **shown)])
    assert "\x1b[0;31m" in capsys.readouterr().out


def test_nothing_is_echoed_when_nobody_looks(capsys):
    collector = Collector(False)
    collector.take([seen(0, "stream", name="stdout", text="a\n")])
    collector.end()
    assert capsys.readouterr() == ("", "") and collector.of(0).stdout == "a\n"


def test_equal_results_are_shown_once():
    results = Results(Result(i, value_text="x" if i < 3 else "y") for i in range(4))
    assert repr(results) == "[0-2] x\n[3] y"
    assert results.stdout == {0: "", 1: "", 2: "", 3: ""}
    assert "2 engines" in repr(Results([Result(0), Result(1)]))


# ---- pickles ----


def constant(x, y=2):
    return x.real + y


def reads_global(x):
    return IDS[x]


def test_functions_that_cannot_change_are_pickled_once():
    assert packing.pack_function(constant) is packing.pack_function(constant)
    assert packing.pack_function(reads_global) is not packing.pack_function(reads_global)


def test_functions_that_changed_are_pickled_anew():
    def make():
        def function(x, y=1):
            return x + y

        function.__module__ = "__main__"
        return function

    function = make()
    first = packing.pack_function(function)
    assert packing.pack_function(function) is first
    function.__defaults__ = (5,)
    assert pickle.loads(packing.pack_function(function))(1) == 6
    function.__code__ = (lambda x, y: x * y).__code__
    assert pickle.loads(packing.pack_function(function))(3) == 15


def test_closures_and_mutable_defaults_are_pickled_as_they_are_now():
    box = [1]

    def closure():
        return box[0]

    def default(x=box):
        return x[0]

    for function in (closure, default):
        function.__module__ = "__main__"
        box[0] = 1
        assert pickle.loads(packing.pack_function(function))() == 1
        box[0] = 2
        assert pickle.loads(packing.pack_function(function))() == 2


def test_remote_call():
    assert remote.call(dict, ([("a", 1)],), {"b": 2}) == {"a": 1, "b": 2}


def test_a_function_that_takes_much_along_is_told_of(monkeypatch):
    monkeypatch.setattr(packing, "_LARGE_BYTES", 1000)
    data = b"x" * 2000
    with pytest.warns(UserWarning, match=r"<lambda>\(\) takes 0 MB along") as told:
        packing.pack_function(lambda: data)
    assert told[0].filename == __file__

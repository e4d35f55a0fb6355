# SPDX-License-Identifier: BSD-3-Clause
"""call_request and map_request: functions by name and by value, buffers, errors, versions."""

import hashlib
import pickle
import sys
import types

import cloudpickle
import numpy as np
import pytest
from fake_engine import Engine

HERE = "%d.%d" % sys.version_info[:2]


def from_main(source, **names):
    """The function `f` of the source, as if typed at the prompt of a client that has `names`."""
    space = {"__name__": "__main__", "__builtins__": __builtins__, **names}
    exec(source, space)
    return space["f"]


def packed(value):
    buffers = []
    data = cloudpickle.dumps(value, 5, buffer_callback=buffers.append)
    return [data, *(bytes(b.raw()) for b in buffers)]


def call(engine, function, *args, apart=False, python=HERE, **kwargs):
    content = {"python": python}
    if apart:
        frames = [cloudpickle.dumps(function, 5), *packed((args, kwargs))]
        content["apart"] = True
    else:
        frames = packed((function, args, kwargs))
    return engine.ask("call_request", content, frames)


def map_(engine, function, items, python=HERE):
    frames = [cloudpickle.dumps(function, 5), *packed([(item,) for item in items])]
    content = {"python": python, "items": len(items)}
    return engine.ask("map_request", content, frames)


def value(answer):
    assert answer.status == "ok", "\n".join(answer.content["traceback"])
    return pickle.loads(answer.buffers[0], buffers=answer.buffers[1:])


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("thing", [None, 1, "text", b"b" * 10000, [1, {"two": 2.0}], 2j, {1}])
def test_values(engine, apart, thing):
    f = from_main("def f(a, b=1, *, c=None): return a, b, c")
    for _ in range(3):
        assert value(call(engine, f, thing, c=thing, apart=apart)) == (thing, 1, thing)
    assert value(call(engine, len, "four", apart=apart)) == 4


@pytest.mark.parametrize("apart", [False, True])
def test_arrays_travel_out_of_band_and_may_be_written_to(engine, apart):
    f = from_main("def f(a):\n    a += 1\n    return a")
    array = np.arange(10000.0)
    answer = call(engine, f, array, apart=apart)
    assert [len(buffer) for buffer in answer.buffers[1:]] == [80000]
    np.testing.assert_array_equal(value(answer), array + 1)
    small = call(engine, f, array[:3], apart=apart)
    assert len(small.buffers) == 1  # not worth a frame
    np.testing.assert_array_equal(value(small), [1, 2, 3])


def test_an_array_of_no_single_run(engine):
    f = from_main("def f(a): return a[::2]")
    np.testing.assert_array_equal(value(call(engine, f, np.arange(5000))), np.arange(0, 5000, 2))


@pytest.mark.parametrize("apart", [False, True])
def test_globals_are_the_namespace(fresh, apart):
    remember = from_main("def f(v):\n    global kept\n    kept = v")
    recall = from_main("def f(): return kept, __name__")
    for number in range(3):
        call(fresh, remember, number, apart=apart)
        assert value(call(fresh, recall, apart=apart)) == (number, "__main__")
    assert fresh.execute("assert kept == 2 and __builtins__.len is len").status == "ok"


@pytest.mark.parametrize("apart", [False, True])
def test_names_that_come_along(fresh, apart):
    for scale in (2, 3):  # edited at the client: the engine follows
        f = from_main("def f(x): return g(x) * scale", g=from_main("def f(x): return x + 1"))
        f.__globals__["scale"] = scale
        assert value(call(fresh, f, 1, apart=apart)) == 2 * scale
    for scale in (2, 3, 2):  # functions that are known bring their names along too
        f.__globals__["scale"] = scale
        assert value(call(fresh, f, 1, apart=apart)) == 2 * scale
    assert fresh.execute("scale = 100").status == "ok"  # what the engine has of its own counts
    assert value(call(fresh, f, 1, apart=apart)) == 200


def test_modules_of_the_client(engine):
    f = from_main("import numpy as np\ndef f(n): return np.ones(n).sum()")
    for _ in range(3):
        assert value(call(engine, f, 5, apart=True)) == 5


@pytest.mark.parametrize(
    "source",
    [
        "def f(into=[]):\n    into.append(1)\n    return into",
        "def f(*, into={}):\n    into[len(into)] = 1\n    return len(into) * [1]",
        "def f():\n    f.calls = getattr(f, 'calls', 0) + 1\n    return [f.calls]",
        "def g():\n    g.calls = getattr(g, 'calls', 0) + 1\n    return [g.calls]\n"
        "def f(): return g()",
        "def outer(seen):\n    def f():\n        seen.append(1)\n        return seen\n"
        "    return f\nf = outer([])",
    ],
)
def test_calls_share_nothing(engine, source):
    f = from_main(source)
    for _ in range(3):
        assert value(call(engine, f, apart=True)) == [1]


def test_many_functions(engine):
    made = [from_main(f"def f(x=None): return {n}, x") for n in range(300)]
    for _ in range(2):
        assert [value(call(engine, f, 1, apart=True)) for f in made] == [(n, 1) for n in range(300)]


def test_closures_lambdas_classes(engine):
    n = 10
    assert value(call(engine, eval("lambda x: x + n", {"n": n, "__name__": "__main__"}), 1)) == 11
    f = from_main("class P:\n    def __init__(s, x): s.x = x\ndef f(x): return P(x)")
    answer = call(engine, f, 3)
    assert value(answer).x == 3 and type(value(answer)) is f.__globals__["P"]


def test_what_pickle_cannot_do_cloudpickle_can(engine):
    made = value(call(engine, from_main("def f(n): return lambda x: x + n"), 3))
    assert made(4) == 7


def test_error(engine):
    f = from_main("def f(x): return 1 / x")
    answer = call(engine, f, 0)
    assert answer.error == ("ZeroDivisionError", "division by zero")
    info = {"engine_uuid": "fake-uuid", "engine_id": 3, "method": "call"}
    assert answer.content["engine_info"] == info
    assert "ippmpi/engine" not in answer.traceback and "in f(x)" in answer.traceback
    assert answer.of("error")


@pytest.mark.parametrize("apart", [False, True])
def test_a_function_or_an_argument_that_is_not_here(engine, apart):
    """Nothing of how they travel is shown: there is none of the user's code yet."""
    module = types.ModuleType("nowhere")
    exec("def f(x): return x", module.__dict__)
    sys.modules["nowhere"] = module
    try:
        answers = [call(engine, f, x, apart=apart) for f, x in ((module.f, 1), (repr, module))]
    finally:
        del sys.modules["nowhere"]
    for answer in answers:
        assert answer.error == ("ModuleNotFoundError", "No module named 'nowhere'")
        assert "File" not in answer.traceback


def test_a_value_that_cannot_travel(engine):
    answer = call(engine, from_main("def f(): import threading; return threading.Lock()"))
    assert answer.error[0] == "TypeError" and "pickle" in answer.error[1]
    assert "File" not in answer.traceback


def test_result_that_does_not_pickle(engine):
    answer = call(engine, from_main("def f(): return (i for i in range(3))"))
    assert answer.error[0] == "TypeError" and "pickle" in answer.error[1]
    assert value(call(engine, len, "x")) == 1


@pytest.mark.parametrize("error", ["SystemExit", "KeyboardInterrupt", "MemoryError"])
def test_nothing_ends_an_engine(engine, error):
    assert call(engine, from_main(f"def f(): raise {error}('enough')")).error == (error, "enough")
    assert value(call(engine, len, "x")) == 1


class Bomb:
    def __reduce__(self):
        return exec, ("raise SystemError('it ran')",)


@pytest.mark.parametrize("python", ["3.10", "3.12.1", "2.7", "4.0"])
def test_another_python(engine, python):
    for answer in (
        engine.ask("call_request", {"python": python}, [pickle.dumps(Bomb(), 5)]),
        engine.ask("map_request", {"python": python, "items": 1}, [pickle.dumps(Bomb(), 5)] * 2),
    ):
        name, text = answer.error
        assert name == "PythonVersionError"
        assert f"Python {HERE}" in text and f"Python {python}" in text
    assert value(call(engine, len, "x")) == 1


@pytest.mark.parametrize("content", [{}, {"python": None}, {"python": 3.11}])
def test_a_python_that_is_not_said(engine, content):
    name, text = engine.ask("call_request", content, packed((len, ("x",), {}))).error
    assert name == "ValueError" and "python" in text


def test_functions_by_digest(engine):
    function = cloudpickle.dumps(from_main("def f(x): return x + 1"), 5)
    digest = hashlib.sha256(function).hexdigest()
    content = {"python": HERE, "items": 2, "function": digest}
    arguments = packed([(1,), (2,)])
    assert engine.ask("map_request", {**content, "known": True}, arguments).error[0] == "UnknownFunction"
    wrong = engine.ask("map_request", {**content, "function": "0" * 64}, [function, *arguments])
    assert wrong.error[0] == "ValueError"
    for frames, more in (([function, *arguments], {}), (arguments, {"known": True}), (arguments, {"known": True})):
        assert value(engine.ask("map_request", {**content, **more}, frames)) == [(True, 2), (True, 3)]
    engine.ask("clear_request")
    assert engine.ask("map_request", {**content, "known": True}, arguments).error[0] == "UnknownFunction"


@pytest.mark.parametrize("kind", ["call_request", "map_request"])
def test_bad_requests(engine, kind):
    content = {"python": HERE, "items": 1}
    for frames in ([], [b"no pickle"], [b"no pickle", b"nor this"], [pickle.dumps(5)] * 2):
        assert engine.ask(kind, content, frames).status == "error"
    two = [pickle.dumps(abs), pickle.dumps([(1,), (2,)])]
    assert engine.ask("map_request", content, two).error[0] == "ValueError"
    assert value(call(engine, len, "x")) == 1


def test_map(engine):
    f = from_main("def f(x): return x * 2")
    assert value(map_(engine, f, [1, "a", [3]])) == [(True, 2), (True, "aa"), (True, [3, 3])]
    assert value(map_(engine, f, [])) == []
    arrays = [np.full(1000, float(n)) for n in range(3)]
    answer = map_(engine, f, arrays)
    assert len(answer.buffers) == 4
    for n, (ok, result) in enumerate(value(answer)):
        assert ok and (result == 2 * n).all()


def test_map_with_errors(engine):
    f = from_main("def f(x): return 1 / x if x < 5 else (i for i in range(x))")
    first, second, third = value(map_(engine, f, [1, 0, 7]))
    assert first == (True, 1)
    assert second[0] is False and second[1]["ename"] == "ZeroDivisionError"
    assert "ippmpi/engine" not in "".join(second[1]["traceback"])
    assert third[0] is False and third[1]["ename"] == "TypeError" and "pickle" in third[1]["evalue"]
    assert second[1]["engine_info"]["engine_id"] == 3


def test_interrupt(engine):
    f = from_main("def f():\n    print('started')\n    while True: pass")
    engine.send("call_request", {"python": HERE}, packed((f, (), {})))
    engine.receive(until_text="started")
    engine.interrupt()
    assert engine.receive().error[0] == "KeyboardInterrupt"


def test_an_interrupt_ends_the_whole_map(engine):
    f = from_main("def f(x):\n    print('started')\n    while True: pass")
    engine.send(
        "map_request", {"python": HERE, "items": 2}, [cloudpickle.dumps(f), pickle.dumps([(1,)] * 2)]
    )
    engine.receive(until_text="started")
    engine.interrupt()
    assert engine.receive().error[0] == "KeyboardInterrupt"


def test_without_cloudpickle(tmp_path):
    (tmp_path / "cloudpickle.py").write_text("raise ImportError('not here')")
    with Engine(path=[tmp_path]) as engine:
        name, text = call(engine, from_main("def f(): return 1")).error
        assert name == "ModuleNotFoundError" and "cloudpickle is not installed" in text
        assert value(call(engine, len, "x")) == 1


def test_progress(engine):
    f = from_main(
        "def f(n):\n    from ippmpi.engine import progress\n"
        "    for i in range(n + 1): progress(i, n, 'steps')\n"
    )
    answer = call(engine, f, 10000)
    told = answer.of("progress")
    assert told[-1] == {"done": 10000, "total": 10000, "text": "steps"}
    assert 2 <= len(told) <= 20
    f = from_main("def f():\n    from ippmpi.engine import progress\n"
                  "    progress(1, 9)\n    progress(2, 9)")
    for _ in range(2):  # what was said last is sent, however soon it was said
        done = [content["done"] for content in call(engine, f).of("progress")]
        assert done == [1, 2]


def test_light(fresh):
    loaded = from_main("def f():\n    import sys\n    return sorted(sys.modules)")
    modules = set(value(call(fresh, loaded)))
    assert not {"IPython", "numpy", "ipyparallel", "zmq", "asyncio"} & modules

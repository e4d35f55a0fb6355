# SPDX-License-Identifier: BSD-3-Clause
"""reduce_request: several engines, and the test in the place of the tree between them."""

import functools
import json
import operator
import pickle
import sys

import cloudpickle
import numpy as np
import pytest
from fake_engine import Engine

HERE = "%d.%d" % sys.version_info[:2]
COUNT = 5


@pytest.fixture(scope="module")
def engines():
    started = [Engine(FAKE_ENGINE_ID=str(n)) for n in range(COUNT)]
    yield started
    for engine in started:
        engine.__exit__()


def place(at, count):
    """Parent and children of the engine at a position: as C computes them."""
    children, bit = [], 1
    while bit < count:
        if at & bit:
            return at - bit, children
        if at + bit < count:
            children.append(at + bit)
        bit *= 2
    return None, children


def reduce(engines, name="v", op="sum", buffers=(), dead=(), count=None, **content):
    """The answers of all, those of the dead None; partial values are passed on from below."""
    count = count or len(engines)
    sent, answers = {}, {}
    for at in reversed(range(count)):  # children have greater ids
        if at in dead:
            continue
        parent, children = place(at, count)
        answers[at] = engines[at].ask(
            "reduce_request",
            {"name": name, "op": op, **content},
            buffers,
            more={"tree": (parent, children), "partials": {c: sent.get(c) for c in children}},
        )
        partials = answers[at].partials
        assert len(partials) == (parent is not None)
        sent[at] = partials[0] if partials else None
    return [answers.get(at) for at in range(count)]


def everywhere(engines, sources, name="v"):
    for engine, source in zip(engines, sources):
        answer = engine.execute(f"import numpy as np\n{name} = {source}")
        assert answer.status == "ok", answer.traceback


def value(answers):
    assert [a.status for a in answers] == ["ok"] * len(answers), [a.content for a in answers]
    assert all(a.content == {"status": "ok"} and not a.buffers for a in answers[1:])
    (entry,) = answers[0].content["names"]
    if "json" in entry:
        return entry["json"]
    if "pickle" in entry:
        return pickle.loads(answers[0].buffers[0], buffers=answers[0].buffers[1:])
    told = entry["array"]
    array = np.frombuffer(answers[0].buffers[0], told["dtype"]).reshape(told["shape"])
    return array[()] if told.get("scalar") else array


UFUNCS = {
    "sum": np.sum,
    "prod": np.prod,
    "min": np.min,
    "max": np.max,
    "and": np.all,
    "or": np.any,
}


@pytest.mark.parametrize("count", range(1, COUNT + 1))
@pytest.mark.parametrize("op", UFUNCS)
@pytest.mark.parametrize("dtype", ["f8", "i4", ">f4", "?", "c16"])
def test_arrays(engines, op, count, dtype):
    rng = np.random.default_rng(count)
    arrays = [rng.integers(0, 3, (3, 4)).astype(dtype) for _ in range(count)]
    everywhere(engines, [f"np.array({a.tolist()}, {dtype!r})" for a in arrays])
    got = value(reduce(engines, op=op, count=count))
    expected = UFUNCS[op](arrays, axis=0)
    np.testing.assert_allclose(got, expected)
    counted = op in ("and", "or") or dtype == "?"
    assert got.dtype == (expected.dtype if counted else np.dtype(dtype))
    for engine, array in zip(engines[:count], arrays):  # nobody's own array has changed
        assert engine.execute(f"assert (v == np.array({array.tolist()})).all()").status == "ok"


@pytest.mark.parametrize("op, expected", [("sum", 15), ("prod", 120), ("min", 1), ("max", 5)])
def test_numbers(engines, op, expected):
    everywhere(engines, range(1, 6))
    assert value(reduce(engines, op=op)) == expected
    everywhere(engines, [f"np.float32({n})" for n in range(1, 6)])
    got = value(reduce(engines, op=op))
    assert got == expected and type(got) is np.float32


def test_truth(engines):
    everywhere(engines, [1, "'x'", True, 2.5, "[0]"])
    assert value(reduce(engines, op="and")) is True
    everywhere(engines, [0, "''", False, None, "[]"])
    assert value(reduce(engines, op="or")) is False
    assert value(reduce(engines, op="or", count=1)) is False


def test_other_values(engines):
    everywhere(engines, [f"__import__('fractions').Fraction(1, {n})" for n in range(1, 6)])
    from fractions import Fraction

    assert value(reduce(engines)) == sum(Fraction(1, n) for n in range(1, 6))


@pytest.mark.parametrize("count", range(1, COUNT + 1))
def test_a_function_in_the_order_of_engines(engines, count):
    everywhere(engines, [[[str(n)]] for n in range(5)])
    got = value(reduce(engines, op="function", buffers=[pickle.dumps(operator.add)],
                       python=HERE, count=count))
    assert got == [[str(n)] for n in range(count)]


def test_a_function_that_does_not_commute(engines):
    matrices = [[[1, n], [n + 1, 1]] for n in range(5)]
    everywhere(engines, [f"np.array({m})" for m in matrices])
    space = {"__name__": "__main__"}
    exec("def f(a, b): return a @ b", space)
    sent = [cloudpickle.dumps(space["f"], 5)]
    got = value(reduce(engines, op="function", buffers=sent, python=HERE))
    np.testing.assert_array_equal(got, functools.reduce(operator.matmul, map(np.array, matrices)))


def failed(answers, culprits, ename, *words):
    """The culprits and the first engine answer with the error, and the first one names it."""
    for at, answer in enumerate(answers):
        if at in {0, *culprits}:
            assert answer.error[0] == ename, answer.content
        else:
            assert answer.content == {"status": "ok"}
    for word in words:
        assert word in answers[0].error[1]


@pytest.mark.parametrize("missing", range(COUNT))
def test_a_missing_name(engines, missing):
    everywhere(engines, ["np.ones(3)"] * COUNT)
    engines[missing].execute("del v")
    answers = reduce(engines)
    failed(answers, {missing}, "NameError", "'v'", *([f"engine {missing}"] if missing else []))
    assert answers[0].content["engine_info"]["engine_id"] == missing


@pytest.mark.parametrize("odd", ["np.ones(4)", "np.ones((3, 1))", "np.ones(3, 'f4')", "1.0", "'x'"])
@pytest.mark.parametrize("at", range(COUNT))
def test_shapes_that_do_not_match(engines, at, odd):
    everywhere(engines, [odd if n == at else "np.ones(3)" for n in range(COUNT)])
    answers = reduce(engines)
    parent, children = place(at, COUNT)
    assert answers[0].error[0] == "ValueError"
    assert "shape (3,) and dtype float64" in answers[0].error[1]
    others = [n for n, answer in enumerate(answers) if answer.status == "error"]
    assert set(others) <= {0, at, parent}


def test_numbers_that_do_not_add(engines):
    everywhere(engines, [1, 2, "'three'", 4, 5])
    failed(reduce(engines), {2}, "TypeError", "engine 2")


def test_a_function_that_fails(engines):
    everywhere(engines, range(5))
    space = {"__name__": "__main__"}
    exec("def f(a, b): return a + b if b != 3 else 1 / 0", space)
    sent = [cloudpickle.dumps(space["f"], 5)]
    answers = reduce(engines, op="function", buffers=sent, python=HERE)
    failed(answers, {2}, "ZeroDivisionError", "engine 2")


@pytest.mark.parametrize("child", [1, 2, 3, 4])
def test_a_dead_engine(engines, child):
    everywhere(engines, range(5))
    answers = reduce(engines, dead={child})
    assert answers[0].error[0] == "EngineError" and f"engine {child} died" in answers[0].error[1]


@pytest.mark.parametrize(
    "content, buffers, ename",
    [
        ({"op": "mean"}, [], "ValueError"),
        ({"op": None}, [], "ValueError"),
        ({"op": "function", "python": HERE}, [], "ValueError"),
        ({"op": "function"}, [pickle.dumps(max)], "ValueError"),
        ({"op": "function", "python": "3.4"}, [b"never read"], "PythonVersionError"),
        ({"name": "v.x"}, [], "ValueError"),
        ({"name": None}, [], "ValueError"),
    ],
)
def test_bad_requests(engines, content, buffers, ename):
    everywhere(engines, range(5))
    answers = reduce(engines, buffers=buffers, **content)
    assert [answer.error[0] for answer in answers] == [ename] * COUNT


def test_an_interrupt_ends_the_waiting(engines):
    everywhere(engines, range(5))
    engine = engines[1]
    tree = {"tree": (0, [2]), "partials": {2: "never"}}
    engine.send("reduce_request", {"name": "v", "op": "sum"}, more=tree)
    engine.receive(until_text="awaiting")
    engine.interrupt()
    answer = engine.receive()
    assert answer.error[0] == "KeyboardInterrupt"
    ((status, content, _),) = answer.partials
    assert status == "error" and json.loads(content)["ename"] == "KeyboardInterrupt"


@pytest.mark.parametrize("source, expected", [
    ("lambda a, b: a + b", "abcde"),
    ("operator:add", "abcde"),
    ("longer", "abcde"),
])
def test_source_code(engines, source, expected):
    everywhere(engines, [repr(letter) for letter in expected])
    for engine in engines:
        engine.execute("longer = lambda left, right: left + right")
    assert value(reduce(engines, op="source", source=source)) == expected


def test_source_code_that_fails(engines):
    everywhere(engines, ["1"] * COUNT)
    for source, ename in (("no_such", "NameError"), ("lambda a, b: a / 0", "ZeroDivisionError"),
                          ("lambda a: a", "TypeError"), ("3", "TypeError"), ("a b", "SyntaxError"),
                          (None, "ValueError"), ("no_module:f", "ModuleNotFoundError")):
        answers = reduce(engines, op="source", source=source)
        assert answers[0].status == "error" and answers[0].content["ename"] == ename


@pytest.mark.parametrize("source, text, more", [
    ("1 + 2j", "(5+10j)", None),
    ("__import__('datetime').timedelta(1)", "datetime.timedelta(days=5)", None),
    ("[1]", "[1, 1, 1, 1, 1]", [1] * 5),
])
def test_what_only_python_can_show(engines, source, text, more):
    everywhere(engines, [source] * COUNT)
    shown = reduce(engines, op="source", source="lambda a, b: a + b", show=True)[0].content["shown"]
    assert shown["text/plain"] == text and shown.get("application/json") == more


def test_what_everybody_can_show(engines):
    everywhere(engines, ["np.arange(3)"] * COUNT)
    assert "shown" not in reduce(engines, show=True)[0].content
    everywhere(engines, ["1 + 2j"] * COUNT)
    assert "shown" not in reduce(engines)[0].content
    everywhere(engines, ["np.zeros(2, dtype=[('a', 'i4')])"] * COUNT)
    shown = reduce(engines, op="source", source="lambda a, b: a", show=True)[0].content["shown"]
    assert "('a', '<i4')" in shown["text/plain"]

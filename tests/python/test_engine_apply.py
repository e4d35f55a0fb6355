# SPDX-License-Identifier: BSD-3-Clause
"""apply_request: results, namespaces, errors, and what it costs."""

import functools
import sys
import types

import numpy as np
import pytest
from fake_engine import MAIN, Engine
from ipyparallel import Reference, depend, require, util
from ipyparallel.client import remotefunction
from ipyparallel.error import UnmetDependency
from ipyparallel.serialize import codeutil, serialize_object


def private_mb():
    with open("/proc/self/smaps_rollup") as rollup:
        return sum(int(line.split()[1]) for line in rollup if line.startswith("Private")) / 1024


def loaded():
    import sys

    return set(sys.modules)


def test_result(engine):
    def add(a, b=1, *, c=0):
        return a + b + c

    assert engine.apply(add, 2, b=3, c=4).result == 9
    assert engine.apply(len, "four").result == 4


ANY_VALUE = [
    *(
        0,
        255,
        256,
        65535,
        65536,
        -1,
        2**31,
        -(2**40),
        2**100,
        1.5,
        1e300,
        2j,
        True,
        False,
        None,
    ),
    *(
        "",
        "K",
        "text" * 1000,
        b"",
        b"\x80\x04K\x05.",
        b"b" * 5000,
        [],
        [1, "two"],
        (),
        {},
        {"k": [3.0]},
    ),
]


@pytest.mark.parametrize("value", ANY_VALUE, ids=lambda value: repr(value)[:20])
def test_a_function_that_comes_again(engine, value):
    """The second time the function is known, and its arguments are taken another way."""

    def echo(first: int, second: str = "default", *, third: object = None) -> object:
        return first, second, third

    for _ in range(3):
        result = engine.apply(echo, value, third=value).result
        assert result == (value, "default", value)
        assert [type(part) for part in result] == [type(value), str, type(value)]
        assert engine.apply(echo, value, value, third=1).result == (value, value, 1)

    def give(value: object = 0) -> object:
        return value

    for _ in range(3):
        result = engine.apply(give, value).result
        assert result == value and type(result) is type(value)


def test_known_functions_share_nothing(engine):
    def collect(item, into=[]):  # noqa: B006
        into.append(item)
        return into

    def keyword(*, into={}):  # noqa: B006
        into[len(into)] = 1
        return into

    def annotated(x: int) -> int:
        return x

    def notes(function):
        before = dict(function.__annotations__)
        function.__annotations__["more"] = 1
        return before

    for _ in range(3):
        assert engine.apply(collect, 1).result == [1]
        assert engine.apply(keyword).result == {0: 1}
        assert engine.apply(notes, annotated).result == {"x": int, "return": int}


def test_more_functions_than_are_kept(engine):
    made = []
    for number in range(300):
        names = {}
        exec(f"def f(x=None): return {number}, x", {"__name__": "__main__"}, names)
        made.append(names["f"])
    for _ in range(2):
        assert [engine.apply(f, 1).result for f in made] == [(n, 1) for n in range(300)]


def test_globals_are_the_namespace(engine):
    def remember(value):
        global kept
        kept = value

    def recall():
        return kept, __name__  # noqa: F821

    engine.apply(remember, 5)
    assert engine.apply(recall).result == (5, "__main__")
    assert engine.apply(lambda x: x + 1, Reference("kept")).result == 6


def test_closure_and_partial(engine):
    n = 10
    assert engine.apply(lambda: n + 1).result == 11
    assert engine.apply(functools.partial(max, 3), 2).result == 3


def test_map(engine):
    def square(x):
        return x * x

    assert engine.apply(remotefunction._map, square, range(5)).result == [0, 1, 4, 9, 16]


@pytest.mark.parametrize("array", [np.arange(6.0).reshape(2, 3), np.ones((300, 40)), np.empty(0)])
def test_push_pull(engine, array):
    assert engine.apply(util._push, a=array, b="text").result is None
    a, b = engine.apply(util._pull, ["a", "b"]).result
    np.testing.assert_array_equal(a, array)
    assert b == "text"
    assert engine.apply(util._pull, "a.shape").result == array.shape
    engine.apply(util._execute, "c = a.sum()")
    assert engine.apply(util._pull, "c").result == array.sum()


def test_large_results_travel_out_of_band(engine):
    answer = engine.apply(lambda: [b"x" * 5000, bytes(10)])
    assert [len(buffer) for buffer in answer.buffers][1:] == [5000]
    assert answer.result == [b"x" * 5000, bytes(10)]


def test_class_made_in_main(engine):
    def make():
        class Point:
            x = 3

        Point.__module__ = "__main__"
        return Point

    assert engine.apply(make).result.x == 3


def test_light(fresh):
    before = fresh.apply(private_mb).result
    modules = fresh.apply(loaded).result
    heavy = {"IPython", "numpy", "zmq", "tornado", "asyncio", "ipyparallel.client", "ssl"}
    assert not heavy & modules
    assert before < 15
    fresh.apply(util._push, a=1)
    assert fresh.apply(util._pull, "a").result == 1
    assert fresh.apply(remotefunction._map, abs, range(-2, 1)).result == [2, 1, 0]
    assert not (heavy - {"ipyparallel.client"}) & fresh.apply(loaded).result


def test_error(engine):
    def inner():
        return 1 / 0

    def outer(f):
        return f()

    answer = engine.apply(outer, inner)
    assert answer.error == ("ZeroDivisionError", "division by zero")
    info = {"engine_uuid": "fake-uuid", "engine_id": 3, "method": "apply"}
    assert answer.content["engine_info"] == info
    assert "1 / 0" in answer.traceback and "Traceback (most recent call last)" in answer.traceback
    assert "ippmpi/engine" not in answer.traceback
    (published,) = answer.of("error")
    assert published == {k: v for k, v in answer.content.items() if k != "status"}


def test_error_without_user_frames(engine):
    answer = engine.apply(len)
    assert answer.error[0] == "TypeError"
    assert "len() takes exactly one argument" in answer.traceback
    assert "ippmpi/engine" not in answer.traceback


def test_a_function_that_is_not_here(engine):
    module = types.ModuleType("nowhere")
    exec("def f(x): return x", module.__dict__)
    sys.modules["nowhere"] = module
    try:
        answer = engine.apply(module.f, 1)
    finally:
        del sys.modules["nowhere"]
    assert answer.error == ("ModuleNotFoundError", "No module named 'nowhere'")
    assert "File" not in answer.traceback


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, GeneratorExit, MemoryError])
def test_nothing_ends_an_engine(engine, error):
    def fail(error):
        raise error("enough")

    assert engine.apply(fail, error).error == (error.__name__, "enough")
    assert engine.apply(len, "x").result == 1


def test_error_whose_text_fails(engine):
    def fail():
        class Bad(Exception):
            def __str__(self):
                raise ValueError("no text")

        raise Bad

    assert "no text" in engine.apply(fail).error[1]


def test_error_with_odd_text(engine):
    def fail():
        raise ValueError("\udc80", float("nan"))

    assert engine.apply(fail).error[0] == "ValueError"


def test_result_that_does_not_pickle(engine):
    name, text = engine.apply(lambda: (i for i in range(3))).error
    assert name == "TypeError" and "pickle" in text


def test_dependencies(engine):
    def fail(error):
        raise error

    assert engine.apply(fail, UnmetDependency("no")).error == ("UnmetDependency", "no")
    yes = depend(lambda: True)(lambda: 1)
    no = depend(lambda: False)(lambda: 1)
    assert engine.apply(yes).result == 1
    assert engine.apply(no).error[0] == "UnmetDependency"


def test_require(engine):
    needs = require("no_such_module")(lambda: 1)
    assert engine.apply(needs).error[0] == "UnmetDependency"


def test_clear(fresh):
    fresh.apply(util._push, a=1)
    fresh.send("clear_request")
    assert fresh.receive().status == "ok"
    assert fresh.apply(util._pull, "a").error[0] == "NameError"
    fresh.execute("a = 2")
    fresh.send("clear_request")
    assert fresh.receive().status == "ok"
    assert fresh.apply(util._pull, "a").error[0] == "NameError"
    assert fresh.apply(lambda: get_ipython().user_ns["__name__"]).result == "__main__"  # noqa: F821


def test_unknown_request(engine):
    engine.send("inspect_request")
    name, text = engine.receive().error
    assert name == "NotImplementedError" and "inspect_request" in text


def test_publish_data(fresh):
    def publish():
        from ipyparallel.datapub import publish_data

        publish_data({"a": list(range(3)), "b": b"y" * 2000})

    answer = fresh.apply(publish)
    assert answer.status == "ok", answer.traceback
    ((kind, content, _, buffers),) = answer.published
    assert (kind, sorted(content["keys"])) == ("data_message", ["a", "b"])
    assert len(buffers) == 2 and buffers[1] == b"y" * 2000
    code = "from ipyparallel.engine.datapub import publish_data\npublish_data({'c': 1})"
    assert fresh.execute(code).of("data_message") == [{"keys": ["c"]}]


# --- what cannot work, said in words


class Foreign:
    """Pickles as a code object of some other Python does."""

    def __init__(self, *args):
        self.args = args

    def __reduce__(self):
        return codeutil.code_ctor, self.args


def other_python(code):
    """Constructor arguments as of a Python with fewer cache entries."""
    _, args = codeutil.reduce_code(code)
    at = next(n for n, arg in enumerate(args) if isinstance(arg, bytes))
    first_cache = args[at].index(b"\0\0", 2)
    return *args[:at], args[at][:first_cache] + args[at][first_cache + 2 :], *args[at + 1 :]


@pytest.mark.skipif(sys.version_info < (3, 11), reason="caches came with Python 3.11")
def test_instructions_of_another_python(engine):
    def f(x):
        return len(x) + x.count

    name, text = engine.apply(len, Foreign(*other_python(f.__code__))).error
    assert name == "PythonVersionError"
    assert "Python {}.{} on both ends".format(*sys.version_info) in text
    assert engine.apply(callable, Foreign(*codeutil.reduce_code(f.__code__)[1])).result is False


def test_arguments_of_another_python(engine):
    answer = engine.apply(len, Foreign(1, 2, 3))
    assert answer.error[0] == "PythonVersionError"
    assert "ippmpi/engine" not in answer.traceback


def test_pickle_of_another_python(engine):
    engine.send("apply_request", {}, [b"\x80\x7fN.", b"N."])
    assert engine.receive().error[0] == "PythonVersionError"


def test_own_instructions_are_never_refused():
    from ippmpi.engine import pickles

    pending = [compile(open(m.__file__).read(), m.__file__, "exec") for m in (types, functools, np)]
    for module in list(sys.modules.values()):
        for value in list(vars(module).values()):
            if isinstance(value, types.FunctionType):
                pending.append(value.__code__)
    count = 0
    while pending:
        code = pending.pop()
        pickles.check(code.co_code)
        pending += [const for const in code.co_consts if isinstance(const, types.CodeType)]
        count += 1
    assert count > 1000


HIDE = """
import importlib.machinery as m
def hide(*names, find=m.PathFinder.find_spec):
    def find_spec(name, path=None, target=None):
        return None if name.partition(".")[0] in names else find(name, path, target)
    m.PathFinder.find_spec = find_spec
"""


def test_without_ipyparallel():
    with Engine(HIDE + "hide('ipyparallel')\n" + MAIN) as engine:
        name, text = engine.apply(len, "x").error
        assert name == "ModuleNotFoundError"
        assert "ipyparallel is not installed in the engines' Python /" in text
        assert engine.execute("1 + 1").of("execute_result")[0]["data"] == {"text/plain": "2"}


@pytest.mark.parametrize("package", ["IPython", "ipykernel"])
def test_without_ipython(package):
    with Engine(HIDE + f"hide({package!r})\n" + MAIN) as engine:
        assert engine.apply(len, "x").result == 1
        assert "ZeroDivisionError: division by zero" in engine.apply(lambda: 1 / 0).traceback
        name, text = engine.execute("1").error
        assert name == "ModuleNotFoundError" and f"{package} is not installed" in text


def test_requests_leave_nothing_behind(engine):
    def names():
        return [name for name in globals() if not name.startswith("__")]

    before = engine.apply(names).result
    assert engine.apply(names).result == before


def test_serialized_as_ipyparallel_does(engine):
    value = {"a": np.arange(500), "b": [1, 2]}
    answer = engine.apply(lambda x: x, value)
    assert answer.buffers == [bytes(b) for b in serialize_object(value, 1024, 64)]

# SPDX-License-Identifier: BSD-3-Clause
"""push, pull, barrier, complete and is_complete."""

import pickle
import sys

import numpy as np
import pytest
from fake_engine import Engine

HERE = "%d.%d" % sys.version_info[:2]


def array_kind(array):
    return {"array": {"dtype": np.lib.format.dtype_to_descr(array.dtype), "shape": array.shape}}


def push_array(engine, name, array):
    return engine.ask("push_request", {"names": [{"name": name, **array_kind(array)}]}, [array.tobytes()])


def pull(engine, *names, role="operator"):
    return engine.ask("pull_request", {"names": list(names)}, metadata={"role": role})


def values(answer):
    assert answer.status == "ok", "\n".join(answer.content["traceback"])
    frames, got = list(answer.buffers), {}
    for entry in answer.content["names"]:
        first = frames.pop(0)
        if "json" in entry:
            assert first == b""
            got[entry["name"]] = entry["json"]
        elif "array" in entry:
            told = entry["array"]
            dtype = np.dtype(told["dtype"] if isinstance(told["dtype"], str) else fields(told["dtype"]))
            got[entry["name"]] = np.frombuffer(first, dtype).reshape(told["shape"])
            if told.get("scalar"):
                got[entry["name"]] = got[entry["name"]][()]
        else:
            assert entry["pickle"]["python"] == HERE
            buffers = [frames.pop(0) for _ in range(entry["pickle"]["buffers"])]
            got[entry["name"]] = pickle.loads(first, buffers=buffers)
    assert not frames
    return got


def fields(told):
    if isinstance(told, str):
        return told
    return [(f[0], fields(f[1]), *(tuple(s) for s in f[2:])) for f in told]


ARRAYS = [
    np.arange(6.0).reshape(2, 3),
    np.array(5),
    np.empty((0, 3), "f4"),
    np.zeros(3, "V0") if False else np.zeros((2, 0)),
    np.array([True, False]),
    np.array(["a", "bcd"]),
    np.array([b"x", b"yz"]),
    np.array(["2026-01-01", "NaT"], "M8[D]"),
    np.arange(4, dtype=">i4"),
    np.array([1 + 2j]),
    np.array([(1, [1.0, 2.0])], [("n", "<i4"), ("v", "<f8", (2,))]),
    np.array([((1, 2), 3)], [("p", [("x", "u1"), ("y", "u1")]), ("z", ">f4")]),
]


@pytest.mark.parametrize("array", ARRAYS, ids=lambda array: str(array.dtype)[:20])
def test_arrays(engine, array):
    assert push_array(engine, "a", array).status == "ok"
    check = "import numpy as np\nassert type(a) is np.ndarray and a.flags.writeable\nb = a.copy()"
    assert engine.execute(check).status == "ok"
    for role in ("operator", "observer"):
        got = values(pull(engine, "a", "b", role=role))
        for name in "ab":
            assert got[name].dtype == array.dtype and got[name].shape == array.shape
            assert got[name].tobytes() == array.tobytes()


def test_a_pushed_array_may_be_written_to(engine):
    push_array(engine, "a", np.zeros(10000))
    assert engine.execute("a[3] = 7").status == "ok"
    assert values(pull(engine, "a"))["a"][3] == 7


def test_arrays_of_no_single_run(engine):
    engine.execute("import numpy as np; m = np.arange(12.).reshape(3, 4); t = m.T; s = m[:, ::2]")
    got = values(pull(engine, "t", "s", role="observer"))
    full = np.arange(12.0).reshape(3, 4)
    np.testing.assert_array_equal(got["t"], full.T)
    np.testing.assert_array_equal(got["s"], full[:, ::2])


PLAIN = [None, True, False, 0, -(2**63), 2**63 - 1, 1.5, "", "text", "\u00e9\U0001f600\0"]


@pytest.mark.parametrize("value", PLAIN, ids=repr)
def test_plain_values(engine, value):
    names = {"names": [{"name": "v", "json": value}]}
    assert engine.ask("push_request", names, [b""]).status == "ok"
    for role in ("operator", "observer"):
        answer = pull(engine, "v", role=role)
        got = values(answer)["v"]
        assert got == value and type(got) is type(value)
        assert "json" in answer.content["names"][0]


def test_other_values_are_pickled(engine):
    thing = {"list": [1, 2], "array": np.arange(5000.0), "big": 2**70, "nan": float("inf")}
    buffers = []
    data = pickle.dumps(thing, 5, buffer_callback=buffers.append)
    kind = {"pickle": {"python": HERE, "buffers": len(buffers)}}
    sent = [data, *(b.raw() for b in buffers)]
    assert engine.ask("push_request", {"names": [{"name": "t", **kind}]}, sent).status == "ok"
    code = "assert t['array'].flags.writeable; odd = '\\udc80'; big = 2**63; inf = t['nan']"
    assert engine.execute(code).status == "ok"
    got = values(pull(engine, "t", "odd", "big", "inf"))
    assert got["t"]["list"] == [1, 2] and (got["t"]["array"] == thing["array"]).all()
    assert (got["odd"], got["big"], got["inf"]) == ("\udc80", 2**63, float("inf"))


def test_numpy_scalars(engine):
    engine.execute("import numpy as np; x = np.float32(1.5); n = np.int8(-3); d = np.datetime64('2026')")
    for role in ("operator", "observer"):
        got = values(pull(engine, "x", "n", "d", role=role))
        assert got == {"x": 1.5, "n": -3, "d": np.datetime64("2026")}
        assert type(got["x"]) is np.float32
    entry = {"name": "y", "array": {"dtype": "<f8", "shape": [], "scalar": True}}
    engine.ask("push_request", {"names": [entry]}, [np.float64(2.5).tobytes()])
    assert engine.execute("assert type(y) is np.float64 and y == 2.5").status == "ok"


OBSERVERS_MAY_NOT = {
    "list": "[1, 2]",
    "object array": "__import__('numpy').array([1, None])",
    "subclass": "__import__('numpy').ma.masked_array([1])",
    "str subclass": "type('S', (str,), {})('x')",
    "int subclass": "type('I', (int,), {'__lt__': lambda *a: print('ran')})(1)",
    "function": "len",
    "hostile": "type('H', (), {'__getattribute__': lambda *a: print('ran'),"
    " '__reduce_ex__': lambda *a: print('ran'), '__eq__': lambda *a: print('ran')})()",
    "metaclass": "type('M', (type,), {'__getattribute__': lambda *a: print('ran')})('C', (), {})()",
    "big integer": "2**64",
}


@pytest.mark.parametrize("source", OBSERVERS_MAY_NOT.values(), ids=OBSERVERS_MAY_NOT)
def test_what_observers_may_not_pull(engine, source):
    assert engine.execute(f"v = {source}").status == "ok"
    answer = pull(engine, "v", role="observer")
    assert answer.error[0] == "PermissionError" and "observers" in answer.error[1]
    assert answer.texts["stdout"] == ""


@pytest.mark.parametrize("name", ["v.real", "v[0]", "len(v)", "", " v", "class", "1", 5, None])
def test_names_are_names(engine, name):
    engine.execute("v = 1")
    assert pull(engine, name).error[0] == "ValueError"
    names = {"names": [{"name": name, "json": 1}]}
    assert engine.ask("push_request", names, [b""]).error[0] == "ValueError"


def test_unknown_names(engine):
    name, text = pull(engine, "not_there").error
    assert name == "NameError" and "'not_there'" in text
    assert pull(engine, "len").error[0] == "NameError"


def entry(**kind):
    return {"name": "v", **kind}


BAD_PUSHES = [
    ({}, [], "names"),
    ({"names": "v"}, [], "names"),
    ({"names": [entry(json=1)]}, [], "fewer"),
    ({"names": [entry(json=1)]}, [b"", b""], "more"),
    ({"names": [entry(array={"dtype": "<f8", "shape": [2]})]}, [b"x" * 15], "15"),
    ({"names": [entry(array={"dtype": "<f8", "shape": [-2]})]}, [b""], "shape"),
    ({"names": [entry(array={"dtype": "|O", "shape": [1]})]}, [b"x" * 8], "object"),
    ({"names": [entry(array={"dtype": "no", "shape": [1]})]}, [b"x" * 8], ""),
    ({"names": [entry(image=1)]}, [b""], "image"),
    ({"names": [entry(pickle={"python": HERE, "buffers": 3})]}, [pickle.dumps(1)], "fewer"),
]


@pytest.mark.parametrize("content, buffers, text", BAD_PUSHES)
def test_bad_pushes_change_nothing(engine, content, buffers, text):
    engine.execute("u = v = 'before'")
    if "names" in content and isinstance(content["names"], list):
        content = {"names": [{"name": "u", "json": "after"}, *content["names"]]}
        buffers = [b"", *buffers]
    answer = engine.ask("push_request", content, buffers)
    assert answer.status == "error" and text in answer.error[1]
    assert values(pull(engine, "u", "v")) == {"u": "before", "v": "before"}


def test_pickles_of_another_python(engine):
    names = {"names": [entry(pickle={"python": "3.9", "buffers": 0})]}
    name, text = engine.ask("push_request", names, [b"\x80\x05never read"]).error
    assert name == "PythonVersionError" and "3.9" in text and HERE in text


def test_barrier(engine):
    assert engine.ask("barrier_request").content == {"status": "ok"}


def complete(engine, code, cursor=None):
    content = engine.ask("complete_request", {"code": code, "cursor_pos": cursor}).content
    assert content["status"] == "ok"
    return content["matches"], content["cursor_start"], content["cursor_end"]


@pytest.fixture(scope="module", params=["IPython", "none"])
def either(request, tmp_path_factory):
    """Engines with and without IPython."""
    folder = tmp_path_factory.mktemp("path")
    if request.param == "none":
        for package in ("IPython", "ipykernel"):
            (folder / f"{package}.py").write_text("raise ImportError('not here')")
    with Engine(path=[folder]) as engine:
        content = {"python": HERE}
        engine.ask("call_request", content, [pickle.dumps((exec, ("temperature = {}",), {}))])
        names = [{"name": "temperature", "json": 1}, {"name": "temperate", "json": "x"}]
        assert engine.ask("push_request", {"names": names}, [b"", b""]).status == "ok"
        yield engine


def test_complete(either):
    matches, start, end = complete(either, "print(tempera")
    assert {"temperature", "temperate"} <= set(matches) and (start, end) == (6, 13)
    matches, start, end = complete(either, "x = temperate.up + 1", 16)
    assert "x = temperate.up"[:start] + matches[0] == "x = temperate.upper"
    assert complete(either, "no_such_na")[0] == []


@pytest.mark.parametrize(
    "code, status, indent",
    [
        ("a = 1", "complete", None),
        ("", "complete", None),
        ("for i in range(3):", "incomplete", "    "),
        ("if x:\n    for y in z:", "incomplete", "        "),
        ("for i in range(3):\n    pass\n\n", "complete", None),
        ("for i in range(3):\n    pass", "incomplete", "    "),
        ("f(1,", "incomplete", None),
        ("a = 1\nb = 2", "complete", None),
        ("a = = 1", "invalid", None),
    ],
)
def test_is_complete(either, code, status, indent):
    content = either.ask("is_complete_request", {"code": code}).content
    assert content["status"] == status
    if indent is not None:
        assert content["indent"] == indent

# SPDX-License-Identifier: BSD-3-Clause
"""What ipp-steer asks for: calls by name, whose values come back in the reply."""

import json

import pytest


def ask(engine, function, *request):
    """Call one of ippmpi.engine.terminal's functions, as ipp-steer does; the bundle of the value."""
    def code(name, arguments):
        return f"__import__('ippmpi.engine.terminal', fromlist=['x']).{name}({json.dumps(arguments)!r})"

    answer = engine.ask("execute_request", {
        "code": code(function, list(request)), "silent": True, "store_history": False,
        "user_expressions": {"value": code("result", [])}, "allow_stdin": False,
    })
    if answer.status == "error":
        return answer.content["ename"], answer.content["evalue"]
    return answer.content["user_expressions"]["value"]["data"]


@pytest.mark.parametrize("name, arguments, text", [
    ("pow", ["2", "10"], "1024"),
    ("math:hypot", ["3", "4"], "5.0"),
    ("math.floor", ["2.5"], "2"),
    ("os.path:join", ["a", "b"], "a/b"),
    ("lambda x: [x]", ["a"], "['a']"),
    ("str.upper", ["a"], "A"),
    ("print", [], "None"),
    ("lambda x: x", [str(2**64)], str(2**64)),
    ("lambda *x: x", ["[1", "NaN", "null", "\"7\""], "('[1', 'NaN', None, '7')"),
    ("here.twice", ["3"], "6"),
])
def test_calls(engine, name, arguments, text):
    engine.execute("class here:\n    twice = staticmethod(lambda x: 2 * x)")
    assert ask(engine, "call", name, arguments)["text/plain"] == text


@pytest.mark.parametrize("code, value", [
    ("lambda: {'a': (1, None)}", {"a": [1, None]}),
    ("lambda: __import__('numpy').arange(3)", [0, 1, 2]),
    ("lambda: __import__('numpy').float32(0.5)", 0.5),
    ("lambda: 'text'", "text"),
    ("lambda: [2**63 - 1, -2**63, 2**63]", [2**63 - 1, -2**63, str(2**63)]),
])
def test_values_as_json(engine, code, value):
    assert ask(engine, "call", code, [])["application/json"] == value


@pytest.mark.parametrize("code", ["object", "lambda: float('nan')", "lambda: {1j: 2}"])
def test_values_that_json_has_not(engine, code):
    assert "application/json" not in ask(engine, "call", code, [])


def test_what_cannot_be_called(engine):
    assert ask(engine, "call", "nothing_there", [])[0] == "NameError"
    assert ask(engine, "call", "no_module:f", [])[0] == "ModuleNotFoundError"
    assert ask(engine, "call", "3", []) == ("TypeError", "3 is int, which cannot be called")
    assert ask(engine, "call", "lambda: 1 / 0", [])[0] == "ZeroDivisionError"


def test_each_goes_on(engine):
    items = ask(engine, "each", "int", ["1", "x", "3"])["application/json"]
    assert [item["status"] for item in items] == ["ok", "error", "ok"]
    assert items[0] == {"status": "ok", "text": "1", "value": 1}
    assert items[1]["ename"] == "ValueError" and "'x'" in items[1]["evalue"]


def test_a_value_is_fetched_once(engine):
    ask(engine, "call", "pow", ["2", "3"])
    assert engine.execute("__import__('ippmpi.engine.terminal', fromlist=['x'])._value is None").of(
        "execute_result")[0]["data"]["text/plain"] == "True"
    assert "_value" not in engine.execute("dir()").of("execute_result")[0]["data"]["text/plain"]


def test_each_ends_with_an_interrupt(engine):
    engine.execute("def stop(x):\n    if x == 2: raise KeyboardInterrupt\n    return x")
    items = ask(engine, "each", "stop", ["1", "2", "3", "4"])["application/json"]
    assert [item["status"] for item in items] == ["ok", "error", "aborted", "aborted"]
    assert items[1]["ename"] == "KeyboardInterrupt" and items[0]["value"] == 1
    items = ask(engine, "each", "lambda x: [][x]", ["1"])["application/json"]
    assert items[0]["traceback"][-1] == "IndexError: list index out of range"
    assert not any("terminal.py" in line for line in items[0]["traceback"])

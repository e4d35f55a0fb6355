# SPDX-License-Identifier: BSD-3-Clause
"""execute_request: cells in IPython."""

import base64

import pytest


def test_result(engine):
    answer = engine.execute("6 * 7")
    count = answer.content["execution_count"]
    assert answer.content == {
        "status": "ok", "execution_count": count, "user_expressions": {}, "payload": []
    }
    assert answer.of("execute_input") == [{"code": "6 * 7", "execution_count": count}]
    (result,) = answer.of("execute_result")
    assert result == {"execution_count": count, "data": {"text/plain": "42"}, "metadata": {}}
    assert engine.execute("_ + 1").of("execute_result")[0]["data"]["text/plain"] == "43"


def test_silent(engine):
    before = engine.execute("1").content["execution_count"]
    answer = engine.execute("7", silent=True)
    assert answer.published == []
    assert engine.execute("1").content["execution_count"] == before + 1
    engine.execute("2", store_history=False)
    assert engine.execute("1").content["execution_count"] == before + 2


def test_error(engine):
    answer = engine.execute("def f():\n    return 1 / 0\nf()")
    assert answer.error == ("ZeroDivisionError", "division by zero")
    info = {"engine_uuid": "fake-uuid", "engine_id": 3, "method": "execute"}
    assert answer.content["engine_info"] == info
    (published,) = answer.of("error")
    assert published["traceback"] == answer.content["traceback"]
    assert "1" in answer.traceback and "f()" in answer.traceback


@pytest.mark.parametrize("code", ["raise SystemExit(3)", "raise KeyboardInterrupt", "a b", "%nope"])
def test_nothing_ends_an_engine(engine, code):
    assert engine.execute(code).status in ("error", "ok")
    engine.execute("exit()")
    assert engine.execute("1").status == "ok"


def test_streams(engine):
    answer = engine.execute("import sys\nprint('out')\nprint('err', file=sys.stderr)")
    assert answer.texts == {"stdout": "out\n", "stderr": "err\n"}


def test_system_command(engine):
    answer = engine.execute("!echo from a shell")
    assert answer.texts["stdout"].replace("\r", "") == "from a shell\n"
    engine.execute("lines = !echo two; echo lines")
    assert engine.execute("lines").of("execute_result")[0]["data"]["text/plain"] == (
        "['two', 'lines']"
    )


def test_magics(engine):
    assert "s" in engine.execute("%time 1").texts["stdout"]
    engine.execute("%%capture kept\nprint('captured')")
    assert engine.execute("print(kept.stdout)").texts["stdout"] == "captured\n\n"


def test_user_expressions(engine):
    answer = engine.execute("z = 5", user_expressions={"ok": "z + 1", "bad": "1 / 0"})
    asked = answer.content["user_expressions"]
    assert asked["ok"]["data"] == {"text/plain": "6"}
    assert asked["bad"]["ename"] == "ZeroDivisionError"


def test_payload(engine):
    code = "get_ipython().payload_manager.write_payload({'source': 'set_next_input', 'text': 'a'})"
    (payload,) = engine.execute(code).content["payload"]
    assert payload["source"] == "set_next_input"
    assert engine.execute("1").content["payload"] == []


@pytest.mark.parametrize("code, text", [
    ("len?", "number of items"), ("import json\njson.dumps??", "ensure_ascii"), ("%pdoc len", "items"),
])
def test_what_goes_to_a_pager_is_shown(engine, code, text):
    answer = engine.execute(code)
    assert answer.content["payload"] == []
    assert text in answer.of("display_data")[0]["data"]["text/plain"]


def test_display(engine):
    answer = engine.execute("from IPython.display import HTML, display\ndisplay(HTML('<b>x</b>'))")
    assert answer.of("display_data")[0]["data"]["text/html"] == "<b>x</b>"
    answer = engine.execute("h = display('a', display_id='d')\nh.update('b')")
    assert answer.of("update_display_data")[0]["transient"] == {"display_id": "d"}


def test_input(engine):
    for code in ("input('name? ')", "import getpass; getpass.getpass()", "breakpoint()"):
        name, text = engine.execute(code).error
        assert name == "StdinNotImplementedError" and "keyboard" in text, code


def test_tracebacks_begin_and_end_in_the_users_code(engine):
    answer = engine.execute("def ask():\n    return input()\nask()")
    assert "return input()" in answer.traceback and "ippmpi/engine" not in answer.traceback
    assert answer.traceback.count("nobody sits at") == 1
    chained = "try:\n    input()\nexcept Exception as e:\n    raise ValueError('mine') from e"
    answer = engine.execute(chained)
    assert answer.error == ("ValueError", "mine")
    assert "input()" in answer.traceback and "ippmpi/engine" not in answer.traceback


def test_await(engine):
    answer = engine.execute("import asyncio\nawait asyncio.sleep(0.01)\n'done'")
    assert answer.of("execute_result")[0]["data"]["text/plain"] == "'done'"


def test_event_loop(engine):
    engine.execute("async def f(): return asyncio.get_running_loop()\nasyncio.run(f())")
    assert engine.execute("a = await f()").status == "ok"
    assert engine.execute("b = await f()\na is b").of("execute_result")[0]["data"] == {
        "text/plain": "True"
    }
    assert engine.execute("asyncio.get_event_loop() is a").status == "ok"
    engine.execute("task = asyncio.get_event_loop().create_task(f())")
    assert engine.execute("(await task) is a").of("execute_result")[0]["data"] == {
        "text/plain": "True"
    }


def test_figures(fresh):
    answer = fresh.execute(
        "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nfig = plt.figure(); plt.plot([3])"
    )
    figures = [d["data"] for d in answer.of("display_data")]
    assert len(figures) == 2
    assert base64.b64decode(figures[0]["image/png"]).startswith(b"\x89PNG")
    assert fresh.execute("%matplotlib inline\nplt.plot([1])").of("display_data")
    assert fresh.execute("%matplotlib qt").status == "error"
    assert "no qt event loop" in fresh.execute("%gui qt").texts["stderr"]


def test_figures_of_an_apply_come_with_the_next_cell(fresh):
    def plot():
        import matplotlib.pyplot as plt

        plt.plot([1, 2])

    answer = fresh.apply(plot)
    assert answer.status == "ok", answer.traceback
    assert len(fresh.execute("1").of("display_data")) == 1


def test_one_namespace(engine):
    def double():
        return 2 * shared  # noqa: F821

    engine.execute("shared = 21")
    assert engine.apply(double).result == 42
    assert engine.execute("import __main__; __main__.shared").of("execute_result")


def test_bad_request(engine):
    engine.send("execute_request", {})
    assert engine.receive().error[0] == "KeyError"


def test_shutdown_words(engine):
    for code in ("quit", "exit()"):
        said = engine.execute(code).texts["stderr"]
        for way in ("ipp-steer kill --on", "Client.shutdown(", "ipp-steer shutdown", "ipp-cluster"):
            assert way in said

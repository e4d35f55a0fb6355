# SPDX-License-Identifier: BSD-3-Clause
"""execute_request in an engine's IPython: results, output, magics, figures, tracebacks, await."""
from __future__ import annotations

from typing import Any

import pytest
from ipyparallel import AsyncResult, Client, error

import remote


def run(rc: Client, code: str, engine: int = 0) -> AsyncResult:
    """Executes, waits for result and output."""
    result = rc[engine].execute(code, silent=False, block=False)
    result.get(30)
    assert result.wait_for_output(20), "no idle status"
    return result


def test_result_of_the_last_expression(rc: Client) -> None:
    result = run(rc, "x = 6\nx * 7")
    assert result.execute_result["data"]["text/plain"] == "42"
    reply = result.get(20)
    assert repr(reply).startswith("<ExecuteReply") and "42" in repr(reply)


def test_execution_counts_up(rc: Client) -> None:
    first, second = run(rc, "1").get(20), run(rc, "2").get(20)
    assert second.execution_count == first.execution_count + 1


def test_prints_from_every_engine(rc: Client) -> None:
    rc[:].scatter("me", rc.ids, flatten=True, block=True)
    result = rc[:].execute(
        "import sys\nprint('engine', me)\nprint('oh', me, file=sys.stderr)",
        silent=False,
        block=False,
    )
    result.get(20)
    assert result.wait_for_output(20)
    assert list(result.stdout) == [f"engine {i}\n" for i in rc.ids]
    assert list(result.stderr) == [f"oh {i}\n" for i in rc.ids]


def test_names_are_shared_with_apply(rc: Client) -> None:
    run(rc, "def twice(x):\n    return 2 * x\ny = twice(4)")
    assert rc[0].pull("y", block=True) == 8
    rc[0].push({"z": 5}, block=True)
    assert run(rc, "twice(z)").execute_result["data"]["text/plain"] == "10"


def test_display_data(rc: Client) -> None:
    result = run(
        rc, "from IPython.display import display, HTML\ndisplay(HTML('<b>x</b>'))\ndisplay(3)"
    )
    (outputs,) = [result.outputs]
    assert [sorted(o["data"]) for o in outputs] == [["text/html", "text/plain"], ["text/plain"]]
    assert outputs[0]["data"]["text/html"] == "<b>x</b>"


@pytest.mark.ours_only("the original drops what goes to a pager")
def test_what_goes_to_a_pager_is_displayed(rc: Client) -> None:
    (shown,) = run(rc, "len?").outputs
    assert "Return the number of items in a container" in shown["data"]["text/plain"]


def test_inline_figure(rc: Client) -> None:
    result = run(rc, "%matplotlib inline\nimport matplotlib.pyplot as plt\nplt.plot([1, 3, 2]);")
    images = [o["data"]["image/png"] for o in result.outputs if "image/png" in o["data"]]
    assert len(images) == 1 and images[0].startswith("iVBOR")


def test_magics(rc: Client) -> None:
    run(rc, "%%capture caught\nprint('inside')")
    assert run(rc, "caught.stdout").execute_result["data"]["text/plain"] == r"'inside\n'"
    assert "per loop" in run(rc, "%timeit -n 1 -r 1 pass").stdout
    assert "shell says hi" in run(rc, "!echo shell says hi").stdout


def test_silent_has_no_result(rc: Client) -> None:
    result = rc[0].execute("1 + 1", silent=True, block=False)
    result.get(20)
    assert result.wait_for_output(20)
    assert result.execute_result is None


def test_user_expressions(rc: Client) -> None:
    view = rc[0]
    content = dict(
        code="a = 4",
        silent=False,
        store_history=True,
        allow_stdin=False,
        user_expressions={"good": "a + 1", "bad": "nothing"},
    )
    uuid = rc._engines[0].encode()
    message = rc.session.msg("execute_request", content=content)
    msg_id = message["header"]["msg_id"]
    rc.outstanding.add(msg_id)
    future = rc.create_message_futures(msg_id, async_result=True)[0]
    rc._io_loop.add_callback(lambda: rc.session.send(view._socket, message, ident=uuid))
    answer = future.result(20)._content["user_expressions"]
    assert answer["good"]["status"] == "ok" and answer["good"]["data"]["text/plain"] == "5"
    assert answer["bad"]["status"] == "error" and answer["bad"]["ename"] == "NameError"


def test_traceback_is_the_one_of_ipython(rc: Client) -> None:
    code = "def inner():\n    return 1 / 0\ndef outer():\n    return inner()\nouter()"
    with pytest.raises(error.RemoteError) as caught:
        run(rc, code)
    remote_error: Any = caught.value
    assert remote_error.ename == "ZeroDivisionError" and remote_error.evalue == "division by zero"
    text = "\n".join(remote_error.render_traceback())
    assert "Traceback (most recent call last)" in text
    for word in ("inner", "outer", "1", "0", "ZeroDivisionError"):
        assert word in text
    assert remote_error.engine_info["engine_id"] == 0
    assert remote_error.engine_info["method"] == "execute"


def test_syntax_error(rc: Client) -> None:
    with pytest.raises(error.RemoteError, match="SyntaxError"):
        run(rc, "1 +")


def test_input_is_an_error(rc: Client) -> None:
    with pytest.raises(error.RemoteError, match="StdinNotImplementedError"):
        run(rc, "input('name? ')")
    assert rc[0].apply_sync(remote.echo, 1) == 1


def test_top_level_await(rc: Client) -> None:
    code = (
        "import asyncio\nasync def f():\n    await asyncio.sleep(0)\n"
        "    return 'awaited'\nawait f()"
    )
    assert run(rc, code).execute_result["data"]["text/plain"] == "'awaited'"


def test_get_ipython(rc: Client) -> None:
    assert (
        run(rc, "get_ipython().user_ns is globals()").execute_result["data"]["text/plain"] == "True"
    )
    run(rc, "_i = In[-1]\nhistory = Out")


def test_execute_through_run(rc: Client, tmp_path: Any) -> None:
    script = tmp_path / "script.py"
    script.write_text("from_script = __name__\n")
    rc[:].run(str(script), block=True)
    assert rc[:].pull("from_script", block=True) == ["__main__"] * len(rc)


def test_one_error_among_many(rc: Client) -> None:
    rc[:].scatter("me", rc.ids, flatten=True, block=True)
    with pytest.raises(error.CompositeError, match="only me") as caught:
        rc[:].execute("if me == 2:\n    raise KeyError('only me')", block=False).get(20)
    assert [info["engine_id"] for _, _, _, info in caught.value.elist] == [2]

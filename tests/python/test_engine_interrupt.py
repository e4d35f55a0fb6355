# SPDX-License-Identifier: BSD-3-Clause
"""SIGINT: inside user code an error of that request, anywhere else nothing."""

import time

import pytest
from fake_engine import Engine


def spin():
    print("started")
    while True:
        pass


def test_apply(engine):
    engine.send_apply(spin)
    engine.receive(until_text="started")
    engine.interrupt()
    answer = engine.receive()
    assert answer.error[0] == "KeyboardInterrupt"
    assert "pass" in answer.traceback and "_on_sigint" not in answer.traceback


def test_a_function_written_in_c(engine):
    engine.send_apply(time.sleep, 60)
    time.sleep(0.3)
    engine.interrupt()
    assert engine.receive().error[0] == "KeyboardInterrupt"


@pytest.mark.parametrize(
    "wait",
    [
        "import time; time.sleep(60)",
        "import asyncio; await asyncio.sleep(60)",
        "sum(1 for _ in iter(int, 1))",
    ],
)
def test_execute(engine, wait):
    code = f"print('started')\ntry:\n    {wait}\nfinally:\n    cleaned = {wait!r}"
    engine.send_execute(code)
    engine.receive(until_text="started")
    engine.interrupt()
    answer = engine.receive()
    assert answer.error[0] == "KeyboardInterrupt" and "_on_sigint" not in answer.traceback
    assert engine.execute(f"assert cleaned == {wait!r}").status == "ok"
    assert engine.execute("await asyncio.sleep(0)" if "await" in wait else "1").status == "ok"


def test_cancelling_is_not_an_interrupt(engine):
    code = "import asyncio\nt = asyncio.get_event_loop().create_task(asyncio.sleep(9))\n"
    assert engine.execute(code + "t.cancel()\nawait t").error[0] == "CancelledError"


def test_caught_by_user_code(engine):
    def survive():
        caught = 0
        print("started")
        while caught < 2:
            try:
                sum(1 for _ in iter(int, 1))  # `while True: pass` is outside of its try for CPython
            except KeyboardInterrupt:
                caught += 1
                print("caught")
        return caught

    engine.send_apply(survive)
    engine.receive(until_text="started")
    engine.interrupt()
    engine.receive(until_text="caught")
    engine.interrupt()
    assert engine.receive().result == 2


CALLBACK = """
import os, signal
def strike():
    get_ipython().events.unregister("pre_execute", strike)
    os.kill(os.getpid(), signal.SIGINT)
get_ipython().events.register("pre_execute", strike)
"""


def test_in_a_callback_of_ipython(engine):
    """Which swallows it: the cell does not run all the same, and is interrupted once."""
    assert engine.execute(CALLBACK).status == "ok"
    assert engine.execute("ran = 1").error[0] == "KeyboardInterrupt"
    assert engine.execute("ran").error[0] == "NameError"
    assert engine.execute("a = 1\nb = 2\na + b").status == "ok"


def test_caught_between_two_statements(engine):
    code = "import os, signal\ntry:\n os.kill(os.getpid(), signal.SIGINT)\n sum(1 for _ in iter(int, 1))\n"
    assert engine.execute(code + "except KeyboardInterrupt: caught = 1\nafter = 2").status == "ok"
    assert engine.execute("assert caught + after == 3").status == "ok"


def test_between_requests(engine):
    for _ in range(20):
        engine.interrupt()
        time.sleep(0.005)
        assert engine.apply(len, "x").result == 1


def test_storm(engine):
    """However interrupts fall, each request has one answer, and the engine goes on."""

    def short():
        return sum(range(200))

    kinds = set()
    for n in range(300):
        engine.send_apply(short)
        for _ in range(n % 4):
            engine.interrupt()
        answer = engine.receive()
        kinds.add(answer.status)
        assert answer.msg_id == f"m{engine.number}"
        assert answer.status == "ok" or answer.error[0] == "KeyboardInterrupt"
    assert "ok" in kinds
    time.sleep(0.05)
    assert engine.apply(short).result == sum(range(200))


# An engine that is interrupted at a certain point of making its IPython shell.
COLD = """
import os, signal
from ippmpi.engine import imports
imports.after("ipykernel.zmqshell", lambda module: os.kill(os.getpid(), signal.SIGINT))
import ippmpi.engine
ippmpi.engine.main()
"""


@pytest.fixture
def cold():
    with Engine(main=COLD) as started:
        yield started


def test_the_first_cell_of_a_cold_engine(cold):
    answer = cold.execute("ran = True")
    assert answer.error[0] == "KeyboardInterrupt" and "ippmpi/engine" not in answer.traceback
    assert [content["ename"] for content in answer.of("error")] == ["KeyboardInterrupt"]
    assert cold.execute("ran").error[0] == "NameError"
    assert cold.execute("6 * 7").of("execute_result")[0]["data"]["text/plain"] == "42"


def test_a_function_that_makes_the_shell(cold):
    def use():
        shell = get_ipython()  # noqa: F821
        globals()["went_on"] = True
        return shell

    answer = cold.apply(use)
    assert answer.error[0] == "KeyboardInterrupt" and "get_ipython()" in answer.traceback
    assert "went_on" not in cold.apply(lambda: list(globals())).result
    assert cold.execute("6 * 7").of("execute_result")[0]["data"]["text/plain"] == "42"


def test_while_an_error_is_told(cold):
    """IPython formats the first traceback: the function is over, and what comes next is unharmed."""
    answer = cold.apply(lambda: 1 / 0)
    assert answer.error == ("ZeroDivisionError", "division by zero")
    assert cold.apply(len, "four").result == 4
    assert cold.execute("6 * 7").of("execute_result")[0]["data"]["text/plain"] == "42"


def test_handler_is_taken_back(engine):
    engine.execute("import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)")
    engine.send_apply(spin)
    engine.receive(until_text="started")
    engine.interrupt()
    assert engine.receive().error[0] == "KeyboardInterrupt"

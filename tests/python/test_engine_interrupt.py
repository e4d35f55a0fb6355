# SPDX-License-Identifier: BSD-3-Clause
"""SIGINT: inside user code an error of that request, anywhere else nothing."""

import time

import pytest


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


def test_handler_is_taken_back(engine):
    engine.execute("import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)")
    engine.send_apply(spin)
    engine.receive(until_text="started")
    engine.interrupt()
    assert engine.receive().error[0] == "KeyboardInterrupt"

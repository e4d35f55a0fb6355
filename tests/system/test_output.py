# SPDX-License-Identifier: BSD-3-Clause
"""What user code writes arrives while it runs, whoever writes it."""
from __future__ import annotations

from typing import Any

import pytest
from ipyparallel import Client, interactive

import remote


UNSEEN = pytest.mark.ours_only(
    "the original does not send what is written below Python to the client"
)


def test_stdout_and_stderr_stream(rc: Client, gate: Any, soon: Any) -> None:
    result = rc[1].apply_async(remote.print_and_pass, gate.path, "early words")
    soon(lambda: result.stdout and result.stderr, 20, "output while the function runs")
    assert not result.ready()
    assert result.stdout == "early words\n" and result.stderr == "warned: early words\n"
    gate.open()
    result.get(20)
    assert result.wait_for_output(20)


def test_streams_without_flush(rc: Client, gate: Any, soon: Any) -> None:
    @interactive
    def prints(path):
        import os
        import time

        print("no flush", end="")
        while not os.path.exists(path):
            time.sleep(0.005)

    result = rc[0].apply_async(prints, gate.path)
    soon(lambda: result.stdout == "no flush", 20, "unflushed output")
    gate.open()
    result.get(20)


def test_output_is_complete_when_idle(rc: Client) -> None:
    @interactive
    def lots():
        for i in range(5000):
            print("line", i)

    result = rc[0].apply_async(lots)
    result.get(20)
    assert result.wait_for_output(20)
    assert result.stdout == "".join(f"line {i}\n" for i in range(5000))


def test_large_single_write(rc: Client) -> None:
    result = rc[0].execute("print('x' * 3_000_000)", silent=False, block=False)
    result.get(20)
    assert result.wait_for_output(20)
    assert len(result.stdout) == 3_000_001


def test_unicode_and_bytes(rc: Client) -> None:
    code = "import sys\nprint('η λ 🐍')\nsys.stdout.write('a\\0b')\nprint(sys.stdout.encoding)"
    result = rc[0].execute(code, silent=False, block=False)
    result.get(20)
    assert result.wait_for_output(20)
    assert "η λ 🐍\n" in result.stdout and "a\0b" in result.stdout


def test_output_belongs_to_its_request(rc: Client) -> None:
    results = [rc[0].execute(f"print({i})", silent=False, block=False) for i in range(30)]
    for i, result in enumerate(results):
        result.get(20)
        assert result.wait_for_output(20)
        assert result.stdout == f"{i}\n"


@UNSEEN
def test_output_of_c_code(rc: Client, soon: Any) -> None:
    """Writes to file descriptor 1 that Python does not see."""

    @interactive
    def below():
        import os

        os.write(1, b"from the descriptor\n")
        os.system("echo from a child; echo and its error >&2")

    result = rc[2].apply_async(below)
    result.get(20)
    assert result.wait_for_output(20)
    soon(
        lambda: "from the descriptor\n" in result.stdout and "from a child\n" in result.stdout,
        5,
        "C output",
    )
    assert "and its error\n" in result.stderr


def test_output_of_a_thread(rc: Client) -> None:
    @interactive
    def in_thread():
        import threading

        thread = threading.Thread(target=print, args=("from a thread",))
        thread.start()
        thread.join()

    result = rc[0].apply_async(in_thread)
    result.get(20)
    assert result.wait_for_output(20)
    assert "from a thread\n" in result.stdout


def test_published_data_arrives_while_running(rc: Client, gate: Any, soon: Any) -> None:
    @interactive
    def publishes(path):
        import os
        import time
        import numpy
        from ipyparallel.datapub import publish_data

        publish_data({"step": 1, "field": numpy.arange(5000)})
        while not os.path.exists(path):
            time.sleep(0.005)
        publish_data({"step": 2})

    result = rc[1].apply_async(publishes, gate.path)
    soon(lambda: result.data.get("step") == 1, 20, "published data")
    assert not result.ready()
    assert result.data["field"].sum() == 4999 * 2500
    gate.open()
    result.get(20)
    assert result.wait_for_output(20)
    assert result.data["step"] == 2


@pytest.mark.parametrize("kind", ["array", "bytearray", "readonly"])
def test_published_data_is_of_its_moment(rc: Client, kind: str) -> None:
    """What changes right after publish_data does not change what was published."""

    @interactive
    def publish_and_change(kind):
        import numpy
        from ipyparallel.datapub import publish_data

        data = numpy.zeros(10_000_000, "u1") if kind != "bytearray" else bytearray(10_000_000)
        shown = data
        if kind == "readonly":
            shown = data.view()
            shown.flags.writeable = False
        publish_data({"data": shown})
        memoryview(data)[:] = b"x" * len(data)

    for _ in range(5):
        result = rc[1].apply_async(publish_and_change, kind)
        result.get(20)
        assert result.wait_for_output(20)
        assert bytes(result.data["data"]) == bytes(10_000_000)


def test_stream_output_context(rc: Client, capsys: Any) -> None:
    result = rc[:].execute("print('streamed')", silent=False, block=False)
    with result.stream_output():
        result.get(20)
        assert result.wait_for_output(20)
    assert list(result.stdout) == ["streamed\n"] * len(rc)


@pytest.mark.parametrize(
    "how",
    ["print", pytest.param("os.system", marks=UNSEEN), pytest.param("descriptor", marks=UNSEEN)],
)
def test_nothing_is_lost_under_load(rc: Client, how: str) -> None:
    code = {
        "print": "print('data', i)",
        "os.system": "os.system(f'echo data {i}')",
        "descriptor": "os.write(1, b'data %d\\n' % i)",
    }[how]
    result = rc[:].execute(
        f"import os\nfor i in range(40):\n    {code};\n", silent=True, block=False
    )
    result.get(30)
    assert result.wait_for_output(20)
    expected = "".join(f"data {i}\n" for i in range(40))
    assert list(result.stdout) == [expected] * len(rc)

# SPDX-License-Identifier: BSD-3-Clause
"""%px, %%px, %autopx and %pxresult in an IPython shell of their own.

The stock client shows streamed output only from the moment on when AsyncResult.stream_output has
put its callbacks in, after the request was sent. What tests print comes after `shown()`, which
waits for that moment.
"""
from __future__ import annotations

import re
import subprocess
import tempfile
from textwrap import dedent

from cluster import Cluster, python

PRELUDE = dedent(
    """
    import os, sys
    from contextlib import contextmanager
    from IPython.terminal.interactiveshell import TerminalInteractiveShell
    import ipyparallel
    shell = TerminalInteractiveShell.instance(simple_prompt=True, colors="NoColor")
    rc = ipyparallel.Client()
    while not rc[0].apply_async(int).wait_for_output(0.5):  # its subscription may come late
        pass
    rc[:].scatter("me", rc.ids, flatten=True, block=True)
    view = rc.activate()
    streaming = sys.argv[1]
    stream_output = ipyparallel.AsyncResult.stream_output

    @contextmanager
    def stream_and_say_so(result):
        with stream_output(result):
            open(streaming, "w").close()
            yield

    @ipyparallel.interactive
    def shown():
        import os, time
        while not os.path.exists(streaming):
            time.sleep(0.005)

    def run(cell):
        if os.path.exists(streaming):
            os.unlink(streaming)
        shell.run_cell(cell)

    ipyparallel.AsyncResult.stream_output = stream_and_say_so
    rc[:].push(dict(shown=shown, streaming=streaming), block=True)
"""
)


def in_shell(cluster: Cluster, *cells: str) -> str:
    text = PRELUDE + "".join(f"run({cell!r})\n" for cell in cells)
    with tempfile.TemporaryDirectory(prefix="ipp-px-") as folder:
        done = subprocess.run(
            [python(), "-W", "ignore", "-c", text, folder + "/streaming"],
            env=cluster.env,
            text=True,
            timeout=50,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
    assert done.returncode == 0, done.stdout
    return re.sub(r"\x1b\[[0-9;]*m", "", done.stdout)


def test_cell_prints_and_results(cluster: Cluster) -> None:
    out = in_shell(cluster, "%%px\nshown()\nprint('hello from', me)\nme * 10")
    for engine in range(cluster.n):
        assert f"hello from {engine}" in out
        assert f"Out[{engine}:" in out and f"{engine * 10}" in out


def test_line_and_targets(cluster: Cluster) -> None:
    out = in_shell(cluster, "%px shown(); print('first', me)", "%%px --targets 1\nshown()\nprint('second', me)")
    assert all(f"first {engine}" in out for engine in range(cluster.n))
    assert "second 1" in out and "second 0" not in out


def test_error_in_a_cell(cluster: Cluster) -> None:
    out = in_shell(cluster, "%%px\nif me == 1:\n    raise ValueError('one is wrong')")
    assert "[1:execute]" in out and "ValueError: one is wrong" in out


def test_noblock_and_pxresult(cluster: Cluster) -> None:
    out = in_shell(
        cluster, "%%px --noblock -o later\nprint('printed by', me)", "later.get(20)", "%pxresult"
    )
    assert all(f"printed by {engine}" in out for engine in range(cluster.n))


def test_autopx(cluster: Cluster) -> None:
    out = in_shell(
        cluster,
        "%autopx",
        "there = me + 100",
        "print('auto', there)",
        "%autopx",
        "print('here', 'there' in globals())",
    )
    assert all(f"auto {engine + 100}" in out for engine in range(cluster.n))
    assert "here False" in out


def test_figures_of_all_engines(cluster: Cluster) -> None:
    code = (
        "%%px -o figures\n%matplotlib inline\nimport matplotlib.pyplot as plt\nplt.plot([me, 2]);"
    )
    out = in_shell(
        cluster,
        code,
        "print('images', sum('image/png' in o['data'] for e in figures.outputs for o in e))",
    )
    assert f"images {cluster.n}" in out

# SPDX-License-Identifier: BSD-3-Clause
"""ippmpi in a Jupyter kernel of its own, driven as notebooks drive one: outputs, magics, await."""
from __future__ import annotations

import os
import re
from typing import Any, Iterator

import pytest

pytest.importorskip("ipykernel", reason="no kernel: python3-ipykernel is not installed")
manager = pytest.importorskip("jupyter_client.manager", reason="python3-jupyter-client is missing")

from cluster import Cluster  # noqa: E402
from conftest import SHARED_ENGINES  # noqa: E402
from ippmpi_client import environment  # noqa: E402

pytestmark = [pytest.mark.ours_only("ippmpi speaks to no other cluster"), pytest.mark.limit(120)]
SECONDS = 40.0
IDS = list(range(SHARED_ENGINES))


class Cell:
    """What a notebook shows below a cell."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, dict[str, Any]]] = []
        self.reply: dict[str, Any] = {}

    def hear(self, message: dict[str, Any]) -> None:
        self.messages.append((message["msg_type"], message["content"]))

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [content for each, content in self.messages if each == kind]

    def text(self, name: str) -> str:
        return "".join(each["text"] for each in self.of("stream") if each["name"] == name)

    @property
    def lines(self) -> list[str]:
        """Of standard output, sorted: engines answer in any order."""
        return sorted(self.text("stdout").splitlines())

    @property
    def result(self) -> str:
        (content,) = self.of("execute_result")
        return str(content["data"]["text/plain"])


class Notebook:
    """A kernel, and a client of it."""

    def __init__(self, folder: str) -> None:
        self.kernel = manager.KernelManager(
            kernel_name="python3", connection_file=os.path.join(folder, "kernel.json")
        )
        own = {"IPYTHONDIR": folder, "JUPYTER_RUNTIME_DIR": folder, "JUPYTER_CONFIG_DIR": folder}
        self.kernel.start_kernel(env={**environment(), **own}, cwd=folder)
        self.client = self.kernel.blocking_client()

    def open(self) -> None:
        self.client.start_channels()
        self.client.wait_for_ready(SECONDS)

    def close(self) -> None:
        self.client.stop_channels()
        self.kernel.shutdown_kernel(now=True)

    def run(self, code: str, hear: Any = None, fails: bool = False) -> Cell:
        """Runs a cell to its end; `hear(cell)` is called after each of its messages."""
        cell = Cell()

        def hook(message: dict[str, Any]) -> None:
            cell.hear(message)
            if hear is not None:
                hear(cell)

        # Else the kernel aborts what comes within 0.1 s of an error.
        reply = self.client.execute_interactive(
            code, output_hook=hook, timeout=SECONDS, stop_on_error=False
        )
        cell.reply = reply["content"]
        assert cell.reply["status"] == ("error" if fails else "ok"), cell.messages
        return cell


@pytest.fixture(scope="module")
def started(tmp_path_factory: Any) -> Iterator[Notebook]:
    notebook = Notebook(str(tmp_path_factory.mktemp("notebook")))
    try:
        notebook.open()
        assert notebook.run("%load_ext ippmpi\nimport ippmpi").of("stream") == []
        yield notebook
    finally:
        notebook.close()


@pytest.fixture
def notebook(started: Notebook, cluster: Cluster) -> Iterator[Notebook]:
    """With `c` connected, and the magics to the same cluster."""
    started.run(f"c = ippmpi.connect({cluster.connection_file!r})")
    chosen = started.run(f"%pxon --connect {cluster.connection_file}")
    assert chosen.lines == [f"cells run on all: engines {IDS}"]
    yield started
    started.run("c.close()")


def test_functions_and_arrays(notebook: Notebook) -> None:
    assert notebook.run("c[:].apply(lambda x: x ** 2, 3)").result == str([9] * SHARED_ENGINES)
    notebook.run("import numpy as np\nc[:].scatter('part', np.arange(8.0))")
    notebook.run("c[:].execute('part *= 2');")
    assert notebook.run("c[:].gather('part').tolist()").result == str([2.0 * i for i in range(8)])
    assert notebook.run("c").result.startswith("<ippmpi.Client of ")


def test_what_engines_print_is_printed(notebook: Notebook) -> None:
    cell = notebook.run("r = c[:].execute('print(6 * 7)')")
    assert cell.lines == [f"[{i}] 42" for i in IDS]
    cell = notebook.run("r = c[0].execute('import sys; print(1, file=sys.stderr)')")
    assert cell.text("stderr") == "[0] 1\n" and cell.text("stdout") == ""


def test_cells_with_px(notebook: Notebook) -> None:
    notebook.run("%%px\nfrom _ippmpi_engine import engine_id as me\nx = 10 * me")
    cell = notebook.run("%%px\nprint('x is', x)\nx + 1")
    assert cell.lines == sorted(line for i in IDS for line in (f"[{i}] x is {10 * i}", f"[{i}] {10 * i + 1}"))
    assert notebook.run("%px print(x)").lines == [f"[{i}] {10 * i}" for i in IDS]
    notebook.run("%%px --on 1-2 --quiet --out r\nx")
    assert notebook.run("[each.value_text for each in r]").result == "['10', '20']"
    told = notebook.run("%%px --on 3\nlen?").text("stdout")
    assert "Return the number of items in a container" in told and told.startswith("[3] ")


def test_a_magic_without_a_cluster_says_so_in_a_line(notebook: Notebook) -> None:
    cell = notebook.run("%pxon --connect nobody", fails=True)
    (line,) = cell.text("stderr").splitlines()
    assert line.startswith("UsageError: no cluster 'nobody' runs here (cannot read ")
    assert line.endswith("start one with `ipp-cluster start --cluster-id=nobody`")


def test_rich_output_of_engines_is_displayed(notebook: Notebook) -> None:
    cell = notebook.run("%%px --on 2\nfrom IPython.display import HTML, display\ndisplay(HTML('<b>hi</b>'))")
    (shown,) = cell.of("display_data")
    assert shown["data"]["text/html"] == "<b>hi</b>" and cell.text("stdout") == "[2]\n"


def test_futures_are_awaited(notebook: Notebook) -> None:
    assert notebook.run("await c[:].apply_async(pow, 2, 10)").result == str([1024] * SHARED_ENGINES)
    both = "import asyncio\nawait asyncio.gather(*(c[i].apply_async(abs, -i) for i in range(4)))"
    assert notebook.run(both).result == "[0, 1, 2, 3]"
    assert notebook.run("c[:].apply(pow, 2, 3)").result == str([8] * SHARED_ENGINES)  # a loop runs


def test_a_map_with_a_bar(notebook: Notebook) -> None:
    code = "with c.executor() as e:\n    n = sum(e.map(abs, range(-500, 0), progress=True))\nn"
    cell = notebook.run(code)
    assert cell.result == "125250"
    assert "500/500" in cell.text("stderr") or cell.of("display_data")  # tqdm's, as it likes it


def test_errors_are_shown_with_the_engines_traceback(notebook: Notebook) -> None:
    code = "def f(x):\n    return 1 / x\nc[:].apply(f, 0)"
    cell = notebook.run(code, fails=True)
    assert (cell.reply["ename"], cell.reply["evalue"]) == (
        "CompositeError", f"[0-{IDS[-1]}] ZeroDivisionError: division by zero")
    told = re.sub(r"\x1b\[[\d;]*m", "", "\n".join(cell.reply["traceback"]))
    assert "in f(x)" in told and told.count("division by zero") == 1
    assert "ippmpi/" not in told  # neither the client's nor the engine's own code
    assert "\x1b[" in "".join(cell.reply["traceback"])


def test_interrupting_a_cell_interrupts_the_engines(notebook: Notebook) -> None:
    def begun(cell: Cell) -> None:
        if cell.lines == [f"[{i}] begun" for i in IDS] and not interrupted:
            interrupted.append(notebook.kernel.interrupt_kernel())

    interrupted: list[None] = []
    cell = notebook.run("%%px\nprint('begun')\nwhile True: pass", hear=begun, fails=True)
    assert cell.reply["ename"] == "CompositeError" and "KeyboardInterrupt" in cell.reply["evalue"]
    assert notebook.run("%px print('alive')").lines == [f"[{i}] alive" for i in IDS]

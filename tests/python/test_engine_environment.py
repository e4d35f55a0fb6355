# SPDX-License-Identifier: BSD-3-Clause
"""What user code finds around it: streams, imports, IPython on demand, mpi4py."""

import pytest
from fake_engine import Engine


def test_process(fresh):
    def look():
        import sys

        return sys.argv, sys.path[0], __name__, vars(sys.modules["__main__"]) is globals()

    assert fresh.apply(look).result == ([""], "", "__main__", True)


def test_stream_methods(fresh):
    def write():
        import sys

        out = sys.stdout
        assert out.write("a\n") == 2 and out.writable() and not out.isatty()
        assert (out.fileno(), sys.stderr.fileno(), out.encoding) == (1, 2, "utf-8")
        out.writelines(["b", "c"])
        out.buffer.write("ä".encode()[:1])
        out.buffer.write("ä".encode()[1:])
        out.write("\udc80")
        out.close()
        out.flush()
        out.buffer.flush()
        out.reconfigure(line_buffering=True)
        try:
            out.write(b"bytes")
        except TypeError as error:
            return str(error)

    answer = fresh.apply(write)
    assert answer.result == "write() argument must be str, not bytes"
    assert answer.texts["stdout"] == "a\nbcä?"


def test_threads_write(fresh):
    def threads():
        import threading

        started = [threading.Thread(target=print, args=(n,)) for n in range(8)]
        for thread in started:
            thread.start()
        for thread in started:
            thread.join()

    assert sorted(fresh.apply(threads).texts["stdout"].replace("\n", "")) == list("01234567")


def test_forked_child_prints_to_the_descriptor():
    def fork():
        import os

        read, write = os.pipe()
        saved = os.dup(1)
        os.dup2(write, 1)
        pid = os.fork()
        if pid == 0:
            print("child")
            os._exit(0)
        os.waitpid(pid, 0)
        os.dup2(saved, 1)
        return os.read(read, 100)

    with Engine() as engine:
        answer = engine.apply(fork)
        assert (answer.result, answer.texts["stdout"]) == (b"child\n", "")


SHELL_ON_DEMAND = [
    "lambda: get_ipython()",
    "lambda: __import__('IPython').get_ipython()",
    "lambda: display(1) or get_ipython()",
    "lambda: __import__('IPython').display.display(1) or get_ipython()",
    "lambda: __import__('ipykernel.zmqshell').zmqshell.ZMQInteractiveShell.instance()",
    "lambda: __import__('IPython').core.interactiveshell.InteractiveShell.instance()",
]


@pytest.mark.parametrize("code", SHELL_ON_DEMAND)
def test_shell_on_demand(fresh, code):
    def look(code):
        shell = eval(code)()
        return type(shell).__name__, shell.user_ns is globals()

    answer = fresh.apply(look, code)
    assert answer.result == ("EngineShell", True)
    assert answer.of("display_data") == (
        [{"data": {"text/plain": "1"}, "metadata": {}, "transient": {}}]
        if "display" in code
        else []
    )


def test_all_of_ipyparallel(fresh):
    def use():
        import ipyparallel as ipp
        from ipyparallel import Reference, error, require
        from ipyparallel.client.asyncresult import AsyncResult

        scope = {}
        exec("from ipyparallel import *", scope)
        assert scope["AsyncResult"] is AsyncResult is ipp.AsyncResult
        assert ipp.Client.__module__ == "ipyparallel.client.client"
        assert error.UnmetDependency is ipp.error.UnmetDependency
        assert "LoadBalancedView" in dir(ipp) and not hasattr(ipp, "nonsense")
        import jupyter_client.session

        assert jupyter_client.session.MAX_ITEMS == 64 and jupyter_client.session.MAX_BYTES == 1024
        assert jupyter_client.KernelManager
        return type(ipp).__name__, ipp.__version__, Reference.__name__, require.__name__

    answer = fresh.apply(use)
    assert answer.result[0] == "module"


@pytest.mark.parametrize(
    "first",
    [
        "ipyparallel.util",
        "ipyparallel.client.remotefunction",
        "ipyparallel.client.asyncresult",
        "ipyparallel.controller.dependency",
        "ipyparallel.serialize.canning",
        "ipyparallel.cluster",
        "ipyparallel.engine.datapub",
        "jupyter_client.session",
        "jupyter_client.jsonutil",
    ],
)
def test_any_module_may_be_first(fresh, first):
    def use(first):
        import importlib
        import sys

        importlib.import_module(first)
        import ipyparallel.util
        import jupyter_client.session

        assert ipyparallel.util.interactive and jupyter_client.session.Session
        assert ipyparallel.AsyncResult and ipyparallel.dependent and ipyparallel.interactive
        return [n for n, m in sys.modules.items() if type(m).__name__ == "LightModule"]

    assert "ipyparallel" not in fresh.apply(use, first).result


def test_threads_import(fresh):
    def threads():
        import threading

        found = []

        def use():
            import ipyparallel as ipp

            found.append(ipp.Client)

        started = [threading.Thread(target=use) for _ in range(6)]
        for thread in started:
            thread.start()
        for thread in started:
            thread.join()
        return len(found), len(set(found))

    assert fresh.apply(threads).result == (6, 1)


def test_arrays_made_before_and_after_numpy(fresh):
    assert fresh.apply(lambda: 1).result == 1
    answer = fresh.apply(lambda: __import__("numpy").zeros(1000))
    assert len(answer.buffers) == 2


# --- mpi4py


def adopted(statement):
    import sys

    exec(statement, globals())
    import mpi4py
    from mpi4py import MPI

    address = MPI._addressof(MPI.COMM_WORLD)
    rc = mpi4py.rc
    return sys.modules["_ippmpi_engine"].adopted == [address], rc.initialize, rc.finalize


STATEMENTS = [
    "from mpi4py import MPI",
    "from mpi4py.MPI import COMM_WORLD",
    "import mpi4py.MPI",
    "import mpi4py; mpi4py.rc.initialize = True; import mpi4py.MPI",
]


@pytest.mark.parametrize("statement", STATEMENTS)
def test_world(statement):
    pytest.importorskip("mpi4py")
    from ippmpi.engine import world

    built_for = world.flavour(_mpi4py())
    with Engine(FAKE_MPI=built_for or "other") as engine:
        assert engine.apply(adopted, statement).result == (True, False, False)


def test_foreign_mpi4py():
    pytest.importorskip("mpi4py")
    from ippmpi.engine import world

    built_for = world.flavour(_mpi4py())
    other = "mpich" if built_for == "openmpi" else "openmpi"

    def maps():
        with open("/proc/self/maps") as file:
            return "libmpi" in file.read()

    with Engine(FAKE_MPI=other) as engine:
        name, text = engine.apply(adopted, "from mpi4py import MPI").error
        assert name == "ImportError"
        assert f"this mpi4py was built for {built_for}, but the engines run on {other}" in text
        assert engine.apply(maps).result is False


def _mpi4py():
    import importlib.util

    return importlib.util.find_spec("mpi4py.MPI").origin

# SPDX-License-Identifier: BSD-3-Clause
"""What goes wrong in user code comes back as an exception that says where."""
from __future__ import annotations

import pytest
from ipyparallel import Client, error, interactive

import remote


def test_remote_error(rc: Client) -> None:
    with pytest.raises(error.RemoteError) as caught:
        rc[2].apply_sync(remote.fail, "broken here")
    problem = caught.value
    assert (problem.ename, problem.evalue) == ("ValueError", "broken here")
    assert problem.engine_info["engine_id"] == 2
    assert problem.engine_info["engine_uuid"] == rc._engines[2]
    assert problem.engine_info["method"] == "apply"
    assert "ValueError" in problem.traceback and "broken here" in problem.traceback
    assert "fail" in problem.traceback


def test_composite_error(rc: Client) -> None:
    with pytest.raises(error.CompositeError) as caught:
        rc[:].apply_sync(remote.fail)
    assert len(caught.value.elist) == len(rc)
    assert {info["engine_id"] for _, _, _, info in caught.value.elist} == set(rc.ids)
    assert "[0:apply]: ValueError: no luck" in str(caught.value)
    with pytest.raises(error.RemoteError, match="ValueError"):
        caught.value.raise_exception()


def test_error_is_published(rc: Client) -> None:
    result = rc[0].apply_async(remote.fail)
    with pytest.raises(error.RemoteError):
        result.get(20)
    assert result.wait_for_output(20)
    assert result.error.ename == "ValueError"


def test_result_that_cannot_be_pickled(rc: Client) -> None:
    @interactive
    def makes_lock():
        import threading

        return threading.Lock()

    with pytest.raises(error.RemoteError, match="TypeError.*pickle"):
        rc[0].apply_sync(makes_lock)
    assert rc[0].apply_sync(remote.echo, 1) == 1


def test_request_that_cannot_be_unpickled(rc: Client) -> None:
    class Odd:
        def __reduce__(self):
            return (int, ("not a number",))

    with pytest.raises(error.RemoteError, match="ValueError"):
        rc[0].apply_sync(remote.echo, Odd())
    assert rc[0].apply_sync(remote.echo, 1) == 1


@pytest.mark.ours_only("the original never answers when IPython cannot print the traceback")
def test_exception_whose_text_fails(rc: Client) -> None:
    @interactive
    def raises():
        class Bad(Exception):
            def __str__(self):
                raise RuntimeError("no text")

        raise Bad()

    with pytest.raises(error.RemoteError, match="Bad"):
        rc[0].apply_sync(raises)


@pytest.mark.parametrize(
    "statement", ["raise SystemExit(3)", "import sys; sys.exit('bye')", "raise KeyboardInterrupt"]
)
def test_exits_do_not_end_an_engine(rc: Client, statement: str) -> None:
    namespace: dict = {}
    exec(f"def leave():\n    {statement}", {"__name__": "__main__"}, namespace)
    with pytest.raises(error.RemoteError, match="SystemExit|KeyboardInterrupt"):
        rc[1].apply_async(namespace["leave"]).get(20)
    assert rc[1].apply_async(remote.echo, 5).get(20) == 5
    assert len(rc.ids) == 4


@pytest.mark.ours_only("in the original SystemExit in execute ends the engine's kernel")
def test_exit_in_execute(rc: Client) -> None:
    with pytest.raises(error.RemoteError, match="SystemExit"):
        rc[1].execute("raise SystemExit(3)", block=False).get(20)
    assert rc[1].apply_async(remote.echo, 5).get(20) == 5


def test_missing_module_and_name(rc: Client) -> None:
    with pytest.raises(error.RemoteError, match="ModuleNotFoundError"):
        rc[0].execute("import no_such_module_here", block=False).get(20)
    with pytest.raises(error.RemoteError, match="NameError"):
        rc[0].pull("no_such_name", block=True)


def test_deep_recursion(rc: Client) -> None:
    @interactive
    def deeper(self):
        return self(self)

    with pytest.raises(error.RemoteError, match="RecursionError"):
        rc[0].apply_async(deeper, deeper).get(30)
    assert rc[0].apply_sync(remote.echo, 1) == 1


def test_long_message_and_chained_causes(rc: Client) -> None:
    @interactive
    def chained():
        try:
            {}["missing"]
        except KeyError as first:
            raise RuntimeError("x" * 100_000) from first

    with pytest.raises(error.RemoteError) as caught:
        rc[0].apply_sync(chained)
    assert len(caught.value.evalue) == 100_000
    assert "KeyError" in caught.value.traceback


@pytest.mark.ours_only("the original's engine gives no answer")
def test_answer_that_cannot_be_sent(rc: Client) -> None:
    """A view with gaps is pickled as a buffer that no frame can be made of."""

    @interactive
    def gaps():
        return memoryview(bytes(10_000))[::2]

    with pytest.raises(error.RemoteError, match="cannot be sent"):
        rc[0].apply_async(gaps).get(20)
    assert rc[:].apply_async(remote.echo, 1).get(20) == [1] * len(rc)

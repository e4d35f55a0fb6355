# SPDX-License-Identifier: BSD-3-Clause
"""Tasks that depend on others, or on where they run, through the unmodified client."""
from __future__ import annotations

from typing import Any

import pytest
from ipyparallel import Client, Dependency, depend, error, interactive

import remote


@interactive
def remember(name: int) -> None:
    """Appends to a list that the engine keeps."""
    order.append(name)  # type: ignore[name-defined]  # noqa: F821


def test_after_success(rc: Client, gate: Any) -> None:
    view = rc.load_balanced_view()
    first = view.apply_async(remote.pass_gate, gate.path)
    with view.temp_flags(after=[first]):
        second = view.apply_async(remote.echo, "second")
        third = view.apply_async(remote.echo, "third")
    with view.temp_flags(after=[second, third]):
        last = view.apply_async(remote.echo, "last")
    assert not last.wait(0.3) and not second.ready()
    gate.open()
    assert (last.get(20), second.get(1), third.get(1)) == ("last", "second", "third")
    with view.temp_flags(after=last.msg_ids):  # it has ended already
        assert view.apply_async(remote.echo, 5).get(20) == 5


def test_any_of_them(rc: Client, gate: Any) -> None:
    view = rc.load_balanced_view()
    waits = view.apply_async(remote.pass_gate, gate.path)
    quick = view.apply_async(remote.echo, 1)
    with view.temp_flags(after=Dependency([waits, quick], all=False)):
        assert view.apply_async(remote.echo, 2).get(20) == 2
    assert not waits.ready()
    gate.open()
    waits.get(20)


@pytest.mark.ours_only("the original does not name the task")
def test_failure_of_what_it_needs(rc: Client) -> None:
    view = rc.load_balanced_view()
    bad = view.apply_async(remote.fail, "on purpose")
    with view.temp_flags(after=[bad]):
        never = view.apply_async(remote.echo, 1)
    with view.temp_flags(after=[never]):
        neither = view.apply_async(remote.echo, 1)
    with view.temp_flags(after=Dependency([bad], success=False, failure=True)):
        cleans_up = view.apply_async(remote.echo, "clean")
    with view.temp_flags(after=Dependency([neither, bad], success=True, failure=True)):
        anyway = view.apply_async(remote.echo, "anyway")
    with pytest.raises(error.RemoteError, match="on purpose"):
        bad.get(20)
    with pytest.raises(error.RemoteError, match="ImpossibleDependency.*" + bad.msg_ids[0]):
        never.get(20)
    with pytest.raises(error.RemoteError, match="ImpossibleDependency.*" + never.msg_ids[0]):
        neither.get(20)
    assert cleans_up.get(20) == "clean" and anyway.get(20) == "anyway"


@pytest.mark.ours_only("the original does not name the task")
def test_unknown_tasks(rc: Client) -> None:
    view = rc.load_balanced_view()
    with view.temp_flags(after=["nobody_1"]):
        with pytest.raises(error.RemoteError, match="InvalidDependency.*nobody_1"):
            view.apply_async(remote.echo, 1).get(20)
    direct = rc[0].apply_async(remote.echo, 1)
    direct.get(20)
    with view.temp_flags(follow=[direct]):
        with pytest.raises(error.RemoteError, match="InvalidDependency"):
            view.apply_async(remote.echo, 1).get(20)
    assert view.apply_async(remote.echo, 2).get(20) == 2  # the queue goes on


@pytest.mark.ours_only("the original waits for ever where no engine can do")
def test_follow(rc: Client) -> None:
    view = rc.load_balanced_view()
    places = {}
    for target in (0, 1, 2):
        with view.temp_flags(targets=[target]):
            places[target] = view.apply_async(remote.getpid)
    for first in places.values():
        with view.temp_flags(follow=[first]):
            assert len({view.apply_async(remote.getpid).get(20) for _ in range(5)} | {first.get(20)}) == 1
    with view.temp_flags(follow=[places[0], places[1]]):
        with pytest.raises(error.RemoteError, match="ImpossibleDependency"):
            view.apply_async(remote.getpid).get(20)
    with view.temp_flags(follow=Dependency([places[0], places[1]], all=False)):
        pids = {view.apply_async(remote.getpid).get(20) for _ in range(10)}
    assert pids <= {places[0].get(1), places[1].get(1)}
    with view.temp_flags(follow=[places[0]], targets=[1, 2]):
        with pytest.raises(error.RemoteError, match="ImpossibleDependency"):
            view.apply_async(remote.getpid).get(20)


@pytest.mark.ours_only("the original does not abort what is held")
def test_held_tasks_end(rc: Client, gate: Any) -> None:
    view = rc.load_balanced_view()
    first = view.apply_async(remote.pass_gate, gate.path)
    with view.temp_flags(after=[first], timeout=0.2):
        late = view.apply_async(remote.echo, 1)
    with view.temp_flags(after=[first]):
        gone = view.apply_async(remote.echo, 1)
    with pytest.raises(error.RemoteError, match="TaskTimeout"):
        late.get(20)
    gone.abort()
    with pytest.raises(error.TaskAborted):
        gone.get(20)
    gate.open()
    first.get(20)


@pytest.mark.ours_only("the original waits for ever where no engine meets the condition")
def test_conditions_of_engines(rc: Client) -> None:
    @interactive
    def has_flag() -> bool:
        return "flag" in globals()

    rc[:].push({"unset": 1}, block=True)
    rc[1].push({"flag": 1}, block=True)
    pid = rc[1].apply_sync(remote.getpid)
    view = rc.load_balanced_view()
    wanted = depend(has_flag)(remote.getpid)
    assert {view.apply_async(wanted).get(20) for _ in range(10)} == {pid}
    never = depend(interactive(lambda: False))(remote.getpid)
    with pytest.raises(error.RemoteError, match="ImpossibleDependency.*condition"):
        view.apply_async(never).get(20)
    with view.temp_flags(retries=3):  # conditions cost no retries
        assert view.apply_async(wanted).get(20) == pid
    rc[1].execute("del flag", block=True)
    with pytest.raises(error.RemoteError, match="UnmetDependency"):
        rc[1].apply_sync(wanted)  # to that engine and no other


def test_a_long_chain(rc: Client) -> None:
    view = rc.load_balanced_view()
    rc[:].execute("order = []", block=True)
    view.targets = [0]
    last = None
    for i in range(200):
        with view.temp_flags(after=[last] if last else None):
            last = view.apply_async(remember, i)
    last.get(30)
    assert rc[0]["order"] == list(range(200))

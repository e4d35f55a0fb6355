# SPDX-License-Identifier: BSD-3-Clause
"""An abort that overtakes its request: they come on two sockets."""
from __future__ import annotations

import os
import uuid
from typing import Any, Iterator

import pytest
from ipyparallel import Client

import remote
from cluster import Cluster
from raw import RawClient

pytestmark = pytest.mark.ours_only("the original's engines answer an abort when they are idle")
BOTH = pytest.mark.parametrize("coalescing", [False, True], ids=["apart", "together"])


@pytest.fixture
def raw(cluster: Cluster, rc: Client) -> Iterator[RawClient]:
    client = RawClient(cluster.connection_file)
    yield client
    client.close()


def abort(raw: RawClient, engine: int, content: Any) -> dict[str, Any]:
    """The answer, which comes when the abort holds."""
    to = raw.engines()[engine]
    raw.send("control", raw.frames("abort_request", content, to=to))
    return raw.receive("control")["content"]


def broadcast(raw: RawClient, msg_id: str, engines: list[int], coalescing: bool) -> dict[str, str]:
    """Status by the msg_id of each answer."""
    uuids = raw.engines()
    metadata = {
        "targets": [[uuids[i], i] for i in engines],
        "is_broadcast": True,
        "is_coalescing": coalescing,
    }
    frames = raw.apply_frames(remote.echo, 1, to="", metadata=metadata, msg_id=msg_id)[1:]
    raw.send("broadcast", frames)
    answers = [raw.receive("broadcast") for _ in ([0] if coalescing else engines)]
    assert raw.silent("broadcast")
    return {each["parent_header"]["msg_id"]: each["content"]["status"] for each in answers}


@BOTH
def test_of_a_broadcast_by_its_id(raw: RawClient, coalescing: bool) -> None:
    msg_id, uuids = uuid.uuid4().hex, raw.engines()
    for engine in range(4):
        assert abort(raw, engine, {"msg_ids": [msg_id]}) == {"status": "ok"}
    copies = {f"{msg_id}_{each}": "aborted" for each in uuids.values()}
    awaited = {msg_id: "aborted"} if coalescing else copies
    assert broadcast(raw, msg_id, [0, 1, 2, 3], coalescing) == awaited


def test_of_a_broadcast_on_one_engine(raw: RawClient) -> None:
    msg_id, uuids = uuid.uuid4().hex, raw.engines()
    abort(raw, 2, {"msg_ids": msg_id})
    copies = {f"{msg_id}_{uuids[i]}": "aborted" if i == 2 else "ok" for i in range(4)}
    assert broadcast(raw, msg_id, [0, 1, 2, 3], False) == copies


def test_of_copies(raw: RawClient) -> None:
    """As the client names them, all to each engine."""
    msg_id, uuids = uuid.uuid4().hex, raw.engines()
    named = [f"{msg_id}_{uuids[i]}" for i in (1, 3)]
    for engine in range(4):
        abort(raw, engine, {"msg_ids": named})
    copies = {f"{msg_id}_{uuids[i]}": "aborted" if i in (1, 3) else "ok" for i in range(4)}
    assert broadcast(raw, msg_id, [0, 1, 2, 3], False) == copies


def test_of_one_copy_of_a_coalescing_broadcast(raw: RawClient) -> None:
    msg_id, uuids = uuid.uuid4().hex, raw.engines()
    abort(raw, 1, {"msg_ids": [f"{msg_id}_{uuids[1]}"]})
    assert broadcast(raw, msg_id, [0, 1], True) == {msg_id: "aborted"}


def test_of_a_copy_sent_to_another_engine(raw: RawClient) -> None:
    msg_id, uuids = uuid.uuid4().hex, raw.engines()
    copy = f"{msg_id}_{uuids[1]}"
    abort(raw, 0, {"msg_ids": [copy]})
    assert broadcast(raw, msg_id, [1], False) == {copy: "ok"}


@pytest.mark.parametrize("aborted_on", [1, 2])
def test_of_a_direct_request(raw: RawClient, aborted_on: int) -> None:
    msg_id = uuid.uuid4().hex
    abort(raw, aborted_on, {"msg_ids": [msg_id]})
    raw.send("mux", raw.apply_frames(remote.echo, 1, to=raw.engines()[1], msg_id=msg_id))
    status = raw.receive("mux")["content"]["status"]
    assert status == ("aborted" if aborted_on == 1 else "ok")


def test_of_a_task(raw: RawClient) -> None:
    msg_id = uuid.uuid4().hex
    abort(raw, 3, {"msg_ids": [msg_id]})
    for status in ("aborted", "ok"):  # once
        raw.send("task", raw.apply_frames(remote.echo, 1, to="", msg_id=msg_id)[1:])
        assert raw.receive("task")["content"]["status"] == status


@pytest.mark.parametrize("content", [["no object"], {"msg_ids": {"a": 1}}, {"msg_ids": 7}], ids=str)
def test_content_that_names_nothing(raw: RawClient, gate: Any, content: Any) -> None:
    """An error; what waits on the engine stays."""
    to = raw.engines()[1]
    raw.send("mux", raw.apply_frames(remote.pass_gate, gate.path, to=to))
    raw.send("mux", raw.apply_frames(remote.echo, 1, to=to))
    answer = abort(raw, 1, content)
    assert answer["status"] == "error" and answer["ename"] == "ValueError"
    gate.open()
    assert [raw.receive("mux")["content"]["status"] for _ in range(2)] == ["ok", "ok"]


@pytest.mark.parametrize("content", [{}, {"msg_ids": []}, {"msg_ids": None}], ids=str)
def test_content_that_means_all(
    raw: RawClient, rc: Client, gate: Any, soon: Any, tmp_path: Any, content: Any
) -> None:
    to, started = raw.engines()[1], str(tmp_path / "started")
    raw.send("mux", raw.apply_frames(remote.mark_and_wait, started, gate.path, to=to))
    raw.send("mux", raw.apply_frames(remote.echo, 1, to=to, msg_id="waits"))
    soon(lambda: os.path.exists(started), 20, "the first one runs")
    soon(lambda: rc.queue_status(1)["queue"] == 2, 20, "the second one waits")
    assert abort(raw, 1, content) == {"status": "ok"}
    waited = raw.receive("mux")
    assert waited["parent_header"]["msg_id"] == "waits" and waited["content"]["status"] == "aborted"
    gate.open()
    assert raw.receive("mux")["content"]["status"] == "ok"

# SPDX-License-Identifier: BSD-3-Clause
"""Malformed, forged and unknown messages: an error reply or nothing; no other client notices."""
from __future__ import annotations

import os
from typing import Any, Iterator

import pytest
from ipyparallel import Client

import remote
from cluster import Cluster
from raw import DELIMITER, RawClient

pytestmark = pytest.mark.ours_only("the original drops most of this without a word, or dies of it")
CHANNELS = ["registration", "mux", "task", "control", "broadcast"]


@pytest.fixture
def raw(cluster: Cluster, rc: Client) -> Iterator[RawClient]:
    """A raw client; afterwards a stock client still works, and did not notice."""
    client = RawClient(cluster.connection_file)
    yield client
    client.close()
    assert rc[:].apply_async(remote.echo, "fine").get(20) == ["fine"] * len(rc)


def works(raw: RawClient) -> None:
    """This very client is still served, and what it sent before has no late answer."""
    uuid = raw.engines()[0]
    frames = raw.apply_frames(remote.echo, 3, to=uuid, msg_id="still-served")
    raw.send("mux", frames)
    assert raw.receive("mux")["parent_header"]["msg_id"] == "still-served"


@pytest.mark.parametrize("channel", CHANNELS)
def test_unknown_message_type(raw: RawClient, channel: str) -> None:
    to = raw.engines()[1] if channel in ("mux", "control") else None
    metadata = (
        {"targets": [[raw.engines()[1], 1]], "is_broadcast": True} if channel == "broadcast" else {}
    )
    raw.send(channel, raw.frames("dance_request", metadata=metadata, to=to, msg_id="m1"))
    answer = raw.receive(channel)
    awaited = f"m1_{raw.engines()[1]}" if channel == "broadcast" else "m1"
    assert answer["parent_header"]["msg_id"] == awaited
    assert answer["content"]["status"] == "error"
    assert "dance_request" in answer["content"]["evalue"]
    works(raw)


@pytest.mark.ours_only("the original takes what it can make of it")
@pytest.mark.parametrize(
    "metadata",
    [{"timeout": "soon"}, {"retries": "2"}, {"retries": 1.5}, {"targets": "all"}, {"after": "m0"},
     {"follow": {"dependencies": "m0"}}, {"preferred": 3}, {"priority": "high"}, {"width": 0},
     {"width": "2"}, {"width": 99}, {"retries": -1}, {"timeout": -1}, {"priority": 1001}],
    ids=str,
)
def test_tasks_that_ask_for_nonsense(raw: RawClient, metadata: dict[str, object]) -> None:
    raw.send("task", raw.frames("apply_request", metadata=metadata, msg_id="m3"))
    answer = raw.receive("task")
    (name,) = metadata
    said = {"retries": "retries", "timeout": "timeout", "priority": "priorit"}.get(name, name)
    if metadata == {"width": 99}:
        said = "more engines at once"
    assert answer["parent_header"]["msg_id"] == "m3"
    assert answer["content"]["ename"] == "ValueError" and said in answer["content"]["evalue"]
    works(raw)


def test_known_type_on_the_wrong_channel(raw: RawClient) -> None:
    raw.send("registration", raw.frames("apply_request", msg_id="m2"))
    answer = raw.receive("registration")
    assert answer["content"]["status"] == "error" and "apply_request" in answer["content"]["evalue"]


@pytest.mark.parametrize(
    "msg_type",
    [
        "result_request",
        "history_request",
        "db_request",
        "purge_request",
        "resubmit_request",
        "become_dask_request",
    ],
)
def test_known_but_absent(raw: RawClient, msg_type: str) -> None:
    raw.send("registration", raw.frames(msg_type, {"msg_ids": ["x"]}))
    answer = raw.receive("registration")
    assert answer["content"]["status"] == "error" and msg_type in answer["content"]["evalue"]


@pytest.mark.parametrize("msg_type", ["queue_request", "load_request"])
def test_a_query_whose_content_is_no_object(raw: RawClient, msg_type: str) -> None:
    raw.send("registration", raw.frames(msg_type, ["no object"]))
    answer = raw.receive("registration")["content"]
    assert answer["status"] == "error" and answer["ename"] == "ValueError"
    works(raw)


@pytest.mark.parametrize("channel", ["mux", "control"])
def test_unknown_engine(raw: RawClient, channel: str) -> None:
    msg_type = "apply_request" if channel == "mux" else "clear_request"
    raw.send(channel, raw.frames(msg_type, to="no-such-engine", msg_id="m3"))
    answer = raw.receive(channel)
    assert answer["parent_header"]["msg_id"] == "m3" and answer["content"]["status"] == "error"
    assert "no-such-engine" in answer["content"]["evalue"]


@pytest.mark.parametrize("channel", ["mux", "control"])
def test_engine_name_that_is_no_text(raw: RawClient, channel: str) -> None:
    msg_type = "apply_request" if channel == "mux" else "clear_request"
    frames = raw.frames(msg_type, to="x", msg_id="m5")
    raw.send(channel, [b"\xff\xfe name", *frames[1:]])
    answer = raw.receive(channel)
    assert answer["parent_header"]["msg_id"] == "m5" and "?? name" in answer["content"]["evalue"]


def test_message_type_cut_inside_a_character(raw: RawClient) -> None:
    raw.send("mux", raw.frames("a" + "\u00e9" * 60, to="x", msg_id="m6"))
    answer = raw.receive("mux")
    assert answer["parent_header"]["msg_id"] == "m6" and answer["content"]["status"] == "error"


def test_unknown_target_of_a_task(raw: RawClient) -> None:
    frames = raw.frames("apply_request", metadata={"targets": ["no-such-engine"]}, msg_id="m4")
    raw.send("task", frames)
    answer = raw.receive("task")
    assert answer["parent_header"]["msg_id"] == "m4" and answer["content"]["status"] == "error"


@pytest.mark.parametrize(
    "targets", [[["no-such-engine", 0]], [], "all", [[1, 2, 3]], {"a": 1}, [None], 7]
)
@pytest.mark.parametrize("coalescing", [False, True])
def test_bad_targets_of_a_broadcast(raw: RawClient, targets: Any, coalescing: bool) -> None:
    metadata = {
        "targets": targets,
        "is_broadcast": True,
        "is_coalescing": coalescing,
        "original_msg_id": "m5",
    }
    raw.send("broadcast", raw.frames("apply_request", metadata=metadata, msg_id="m5"))
    answer = raw.receive("broadcast")
    named = not coalescing and targets == [["no-such-engine", 0]]
    assert answer["parent_header"]["msg_id"] == ("m5_no-such-engine" if named else "m5")
    assert answer["content"]["status"] == "error"
    assert raw.silent("broadcast")
    works(raw)


@pytest.mark.parametrize("msg_id", ["m5", "m" * 300], ids=["short", "long"])
def test_a_refused_broadcast_is_answered_for_each_target(raw: RawClient, msg_id: str) -> None:
    """As many answers as the client waits for, and none to the original."""
    uuids = [raw.engines()[0], "no-such-engine", raw.engines()[2]]
    targets = [[uuid, i] for i, uuid in enumerate([*uuids, uuids[0]])]
    metadata = {"targets": targets, "is_broadcast": True, "is_coalescing": False}
    raw.send("broadcast", raw.frames("apply_request", metadata=metadata, msg_id=msg_id))
    answers = [raw.receive("broadcast") for _ in uuids]
    for uuid, answer in zip(uuids, answers):
        assert answer["parent_header"]["msg_id"] == f"{msg_id}_{uuid}"
        assert answer["parent_header"]["session"] == raw.session
        assert answer["header"]["msg_type"] == "apply_reply"
        assert answer["metadata"]["engine"] == uuid
        assert answer["content"]["ename"] == "EngineError"
        assert answer["content"]["evalue"] == "no engine is called 'no-such-engine'"
    assert raw.silent("broadcast")
    works(raw)


def test_a_broadcast_whose_targets_cannot_be_read(raw: RawClient) -> None:
    raw.send("broadcast", raw.frames("apply_request", metadata=["no object"], msg_id="m5"))
    answer = raw.receive("broadcast")
    assert answer["parent_header"]["msg_id"] == "m5"
    assert answer["content"]["ename"] == "ValueError" and "metadata" in answer["content"]["evalue"]
    works(raw)


def test_a_broadcast_under_an_id_in_use(raw: RawClient, gate: Any) -> None:
    """The first one goes on; the second is refused for each of its own targets."""
    uuids = raw.engines()

    def send(engine: int, *args: Any) -> None:
        metadata = {"targets": [[uuids[engine], engine]], "is_broadcast": True}
        frames = raw.apply_frames(*args, to="", metadata=metadata, msg_id="m5")[1:]
        raw.send("broadcast", frames)

    send(0, remote.pass_gate, gate.path)
    send(1, remote.echo, 1)
    refused = raw.receive("broadcast")
    assert refused["parent_header"]["msg_id"] == f"m5_{uuids[1]}"
    assert "under way" in refused["content"]["evalue"]
    gate.open()
    answer = raw.receive("broadcast")
    assert answer["parent_header"]["msg_id"] == f"m5_{uuids[0]}"
    assert answer["content"]["status"] == "ok"


@pytest.mark.parametrize(
    "metadata",
    [
        {"retries": "many"},
        {"timeout": "soon"},
        {"targets": 5},
        {"retries": -4},
        {"after": 3},
        {"timeout": 1e300},
    ],
)
def test_odd_metadata_of_a_task(raw: RawClient, metadata: dict) -> None:
    """An answer there must be; an error or a result is both fine."""
    to = raw.apply_frames(remote.echo, 1, to="", metadata=metadata, msg_id="m6")[1:]
    raw.send("task", to)
    assert raw.receive("task")["parent_header"]["msg_id"] == "m6"


@pytest.mark.parametrize("channel", CHANNELS)
def test_wrong_signature(raw: RawClient, channel: str) -> None:
    to = raw.engines()[0] if channel in ("mux", "control") else None
    good = raw.frames("connection_request", to=to)
    at = good.index(DELIMITER) + 1
    for forged in (b"", b"0" * 64, good[at][:-1], good[at] + b"0", good[at].upper(), b"\xff" * 64):
        raw.send(channel, [*good[:at], forged, *good[at + 1 :]])
    assert raw.silent(channel)
    works(raw)


def test_changed_content(raw: RawClient) -> None:
    frames = raw.frames("execute_request", {"code": "1"}, to=raw.engines()[0])
    frames[-1] = frames[-1].replace(b"1", b"2")
    raw.send("mux", frames)
    works(raw)


def test_replayed_signature(raw: RawClient) -> None:
    frames = raw.apply_frames(remote.echo, 1, to=raw.engines()[0], msg_id="once")
    for _ in range(3):
        raw.send("mux", frames)
    assert raw.receive("mux")["parent_header"]["msg_id"] == "once"
    works(raw)
    other = RawClient.__new__(RawClient)
    other.__dict__.update(raw.__dict__, _sockets={})
    other.send("mux", frames)
    assert other.silent("mux")


@pytest.mark.parametrize("channel", CHANNELS)
def test_truncated_messages(raw: RawClient, channel: str) -> None:
    to = raw.engines()[0] if channel in ("mux", "control") else None
    frames = raw.frames("connection_request", to=to)
    for count in range(1, len(frames)):
        raw.send(channel, frames[:count])
    raw.send(channel, frames[:-1] + [frames[-1][:1]])
    assert raw.silent(channel)
    works(raw)


@pytest.mark.parametrize("channel", CHANNELS)
def test_garbage(raw: RawClient, channel: str) -> None:
    for size in (0, 1, 9, 255, 256, 65536):
        raw.send(channel, [os.urandom(size)])
        raw.send(channel, [b"", os.urandom(size), DELIMITER, os.urandom(size)])
        raw.send(channel, [os.urandom(size)] * 50)
        raw.send(channel, [DELIMITER] * (1 + size % 20))
    assert raw.silent(channel)
    works(raw)


HEADERS = [
    b"",
    b"null",
    b"[]",
    b"3",
    b"{",
    b'{"msg_id": 1}',
    b'{"msg_id": "a"}',
    b"\xff\xfe",
    b"[" * 200_000,
    b'{"msg_type": "connection_request"}',
    b'{"msg_id": null, "msg_type": null}',
    b'{"a": 1e999}',
    b'{"msg_id": "\\ud800", "msg_type": "x"}',
    b'{"a":' * 100_000,
    b'"' + b"x" * 1_000_000 + b'"',
]


@pytest.mark.parametrize("header", HEADERS, ids=lambda h: repr(h[:24]))
def test_signed_header_that_is_no_header(raw: RawClient, header: bytes) -> None:
    """Dropped, or answered with an error; never with anything else."""
    uuid = raw.engines()[0]
    for channel in CHANNELS:
        to = uuid if channel in ("mux", "control") else None
        raw.send(channel, raw.frames("", header=header, to=to))
    for channel in CHANNELS:
        if not raw.silent(channel, 0.1):
            assert raw.receive(channel)["content"]["status"] == "error"
    works(raw)


def test_request_without_a_function(raw: RawClient) -> None:
    """Signed and well-formed, but its buffers are no pickles: the engine answers with an error."""
    uuid = raw.engines()[0]
    for buffers in ([], [b""], [b"garbage"], [os.urandom(100)] * 30):
        raw.send("mux", raw.frames("apply_request", to=uuid, buffers=buffers, msg_id="m7"))
        assert raw.receive("mux")["content"]["status"] == "error"
    raw.send("mux", raw.frames("execute_request", {"code": 5}, to=uuid, msg_id="m8"))
    assert raw.receive("mux")["content"]["status"] == "error"


def test_thousands_of_buffers(raw: RawClient) -> None:
    raw.send("mux", raw.frames("apply_request", to=raw.engines()[0], buffers=[b"x"] * 20_000))
    assert raw.receive("mux")["content"]["status"] == "error"


def test_log_does_not_drown(raw: RawClient, cluster: Cluster) -> None:
    before = len(cluster.log())
    for _ in range(5000):
        raw.send("mux", [b"x", DELIMITER, b"0" * 64, b"{}", b"{}", b"{}", b"{}"])
    works(raw)
    written = cluster.log(before)
    assert len(written) < 20_000

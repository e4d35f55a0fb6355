# SPDX-License-Identifier: BSD-3-Clause
"""The steering socket, byte by byte: sessions that outlive connections, rights, targets, output."""
from __future__ import annotations

import json
import os
import signal
import socket
from typing import Any, Iterator

import pytest
import zmq
import zmq.utils.monitor
from procs import wait_until
from steering import ABORTED, ERROR, LAST, Message, Steering, pack

from cluster import BACKEND, Cluster, under_engines

pytestmark = pytest.mark.skipif(BACKEND != "ours", reason="ipyparallel has no steering socket")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with under_engines(3) as running:
        yield running


@pytest.fixture(params=["tcp", "ipc"])
def client(cluster: Cluster, request: Any) -> Iterator[Steering]:
    with Steering(cluster.connection_file, local=request.param == "ipc") as steering:
        yield steering


def execute(code: str, **more: Any) -> dict[str, Any]:
    return {"code": code, "silent": False, "user_expressions": {}, "allow_stdin": False, **more}


def run(client: Steering, code: str, targets: str = "all", **more: Any) -> list[Message]:
    return client.ask("engines", "execute_request", execute(code, **more), {"targets": targets})


def value(message: Message, name: str = "v") -> str:
    return message.content["user_expressions"][name]["data"]["text/plain"]


def evaluate(client: Steering, expression: str, targets: str = "all") -> dict[int, str]:
    answers = run(client, "", targets, user_expressions={"v": expression})
    return {message.engine: value(message) for message in answers}


def refused(answers: list[Message], ename: str, *words: str) -> None:
    (message,) = answers
    assert message.flags == LAST | ERROR and message.engine == -1
    assert message.content["ename"] == ename
    for word in words:
        assert word in message.content["evalue"]


# ---- sessions ----


def test_attach_tells_all_there_is_to_know(client: Steering) -> None:
    welcome = client.welcome
    assert welcome["status"] == "ok" and welcome["protocol"] == 1
    assert welcome["role"] == welcome["name"] == "owner" and welcome["expires"] is None
    assert welcome["resumed"] is False and welcome["received"] == 0
    assert sorted(welcome["engines"]) == ["0", "1", "2"]
    assert {"host", "pid", "python", "topology"} <= set(welcome["engines"]["0"])


@pytest.mark.parametrize(
    "content, ename, word",
    [
        ({"protocol": 2}, "ProtocolError", "protocol 2"),
        ({"token": "abc"}, "ValueError", "token"),
        ({"token": 7}, "ValueError", "token"),
    ],
)
def test_attach_refuses_in_words(cluster: Cluster, content: Any, ename: str, word: str) -> None:
    with Steering(cluster.connection_file, attach=False) as steering:
        reply = steering.attach(**content)
        assert reply["status"] == "error" and reply["ename"] == ename and word in reply["evalue"]
        assert reply["protocol"] == 1
        assert steering.attach()["status"] == "ok"


def test_nothing_goes_without_a_session(cluster: Cluster) -> None:
    with Steering(cluster.connection_file, attach=False) as steering:
        steering.say("engines", "execute_request", execute("x = 1"))
        reply = steering.receive()
        assert reply and reply.type == "attach_reply" and reply.content["ename"] == "SessionError"


def test_a_broken_message_harms_nobody(client: Steering) -> None:
    for frames in ([b""], [b"engines"], [b"nowhere", b"x" * 32], [b"engines", b"short", b"x"]):
        client.send(frames)
        client.socket.send_multipart(frames)  # no pack
    fine = pack([b"engines", b"x" * 32, b"more"])
    for parts in ([fine[0][:-1]], [fine[0] + b"x"], [*fine, b"x"], [pack([b"x" * 9999])[0]]):
        client.socket.send_multipart(parts)
    refused(client.ask("engines", "no_such_request"), "KeyError", "no_such_request")
    refused(client.ask("task", "pull_request"), "KeyError", "misplaced")
    assert evaluate(client, "1 + 1", "0") == {0: "2"}


def test_answers_wait_for_the_next_connection(cluster: Cluster) -> None:
    first = Steering(cluster.connection_file)
    gate = os.path.join(cluster.dir, "gate")
    wait = f"import os, time\nwhile not os.path.exists({gate!r}): time.sleep(0.01)"
    slow = first.say("engines", "execute_request", execute(wait), {"targets": "1"})
    quick = first.say("engines", "execute_request", execute("1"), {"targets": "0"})
    token, received = first.token, first.received  # nothing of this was received
    first.close()
    open(gate, "w").close()
    with Steering(cluster.connection_file, token, attach=False) as second:
        second.sent, second.received = quick, received
        welcome = second.attach(resume=True)
        assert welcome["resumed"] is True and welcome["received"] <= quick
        for number in range(welcome["received"] + 1, quick + 1):
            pytest.fail(f"request {number} had been sent and is missing")
        assert [m.engine for m in second.answers(quick)] == [0]
        assert [m.engine for m in second.answers(slow)] == [1]
        assert second.answers(second.say("engines", "barrier_request"))


def test_what_is_sent_twice_runs_once(client: Steering) -> None:
    run(client, "n = 0")
    number = client.say("engines", "execute_request", execute("n += 1"), {"targets": "2"})
    client.answers(number)
    client.say("engines", "execute_request", execute("n += 1"), {"targets": "2"}, sequence=number)
    assert evaluate(client, "n", "2") == {2: "1"}


def test_unacknowledged_answers_come_again_and_acknowledged_ones_do_not(cluster: Cluster) -> None:
    first = Steering(cluster.connection_file)
    numbers = [
        first.say("engines", "execute_request", execute("1", silent=True), {"targets": "0"})
        for _ in range(5)
    ]
    for number in numbers:
        first.answers(number)
    token = first.token
    assert first.received == 5
    first.close()
    with Steering(cluster.connection_file, token, attach=False) as second:
        second.sent, second.received = 5, 3
        assert second.attach(resume=True)["resumed"] is True
        again = [second.receive(), second.receive()]
        assert [m.request for m in again if m] == numbers[3:]
        assert evaluate(second, "2", "0") == {0: "2"}


def test_a_gap_is_not_skipped(client: Steering) -> None:
    client.say("engines", "execute_request", execute("1"), sequence=7)
    reply = client.receive()
    assert reply and reply.type == "attach_reply" and reply.content["ename"] == "SessionError"
    assert client.attach(resume=True)["received"] == 0
    assert evaluate(client, "3", "0") == {0: "3"}


def test_a_session_nobody_knows_begins_anew(cluster: Cluster) -> None:
    with Steering(cluster.connection_file, "0" * 32) as steering:
        assert steering.welcome["resumed"] is False
        assert evaluate(steering, "4", "0") == {0: "4"}


def test_a_detached_session_is_forgotten(cluster: Cluster) -> None:
    with Steering(cluster.connection_file) as steering:
        assert steering.ask("session", "detach_request")[0].content == {"status": "ok"}
        token = steering.token
    with Steering(cluster.connection_file, token) as again:
        assert again.welcome["resumed"] is False


def test_many_requests_are_acknowledged_before_they_are_answered(
    cluster: Cluster, client: Steering
) -> None:
    gate = os.path.join(cluster.dir, f"acks-{client.token}")
    wait = f"import os, time\nwhile not os.path.exists({gate!r}): time.sleep(0.01)"
    last = client.say("engines", "execute_request", execute(wait), {"targets": "0"})
    for _ in range(100):
        last = client.say("engines", "execute_request", execute("pass"), {"targets": "0"})
    try:
        message = client.receive(acks=True)
        while message and message.acknowledged < last - 64:  # output acknowledges, too
            message = client.receive(acks=True)
        assert message and message.acknowledged <= last
    finally:
        open(gate, "w").close()
    client.answers(last)


# ---- addresses ----


def test_targets(client: Steering) -> None:
    for targets, engines in (
        ("all", {0, 1, 2}),
        ("0-2", {0, 1, 2}),
        (" 2 , 0", {0, 2}),
        ("1,1-1,1", {1}),
    ):
        assert set(evaluate(client, "1", targets)) == engines


@pytest.mark.parametrize(
    "targets, word",
    [("3", "engine 3"), ("2-1", "2-1"), ("0-7", "0-7"), ("ocean", "ocean"), ("", "''"),
     ("0,,1", "''"), ("-1", "-1"), ("0-", "0-"), ("99999999999999999999", "9999")],
)
def test_targets_that_are_none(client: Steering, targets: str, word: str) -> None:
    refused(run(client, "1", targets), "IndexError", word)


def test_tasks_go_to_anyone(client: Steering) -> None:
    (answer,) = client.ask("task", "execute_request", execute("1"))
    assert answer.flags == LAST and answer.engine in (0, 1, 2)


def test_each_engine_answers_for_itself(client: Steering) -> None:
    run(client, "import sys; me = int(__import__('_ippmpi_engine').engine_id)")
    answers = run(client, "1 // me")
    assert [m.engine for m in answers if m.flags & ERROR] == [0]
    assert sum(bool(m.flags & LAST) for m in answers) == 1 and answers[-1].flags & LAST
    assert {m.content["status"] for m in answers if m.engine} == {"ok"}


def test_queries(client: Steering) -> None:
    (queues,) = client.ask("registration", "queue_request", {"verbose": True})
    assert set(queues.content) >= {"0", "1", "2", "unassigned"}
    refused(client.ask("registration", "queue_request", {"targets": [9]}), "IndexError", "9")


# ---- control ----


def test_an_interrupt_hits_its_request_wherever_it_is(client: Steering, gate: Any) -> None:
    wait = f"import os, time\nwhile not os.path.exists({gate.path!r}): time.sleep(0.01)"
    other = client.say("engines", "execute_request", execute(wait), {"targets": "0"})
    for _ in range(20):  # on 1 it waits, has just begun, or runs; on 0 it is behind another one
        code = execute("import time; time.sleep(100)")
        asked = client.say("engines", "execute_request", code, {"targets": "0-1"})
        content = {"msg_ids": [client.msg_ids[asked]], "interrupt": True}
        client.say("control", "abort_request", content, {"targets": "0-1"})
        answers = client.answers(asked)
        assert [each.content["status"] for each in answers if each.engine == 0] == ["aborted"]
        (hit,) = [each.content for each in answers if each.engine == 1]
        assert hit["status"] == "aborted" or hit["ename"] == "KeyboardInterrupt"
    gate.open()
    assert [each.content["status"] for each in client.answers(other)] == ["ok"]


INTERRUPTED_ONCE = """\
import time
try:
    print('here', flush=True)
    time.sleep(60)
    raise TimeoutError("no interrupt came")
except KeyboardInterrupt:
    time.sleep(0.5)  # another one would strike here
"""


def test_a_task_is_interrupted_once(client: Steering) -> None:
    client.ask("session", "subscribe_request", {"output": "own"})
    asked = client.say("task", "execute_request", execute(INTERRUPTED_ONCE))
    while client.output().content.get("text") != "here\n":
        pass
    content = {"msg_ids": [client.msg_ids[asked]], "interrupt": True}
    client.say("control", "abort_request", content, {"targets": "all"})
    (answer,) = client.answers(asked)
    assert answer.content["status"] == "ok", answer.content


def test_an_interrupted_task_is_not_run_again(client: Steering) -> None:
    client.ask("session", "subscribe_request", {"output": "own"})
    code = execute("import time\nprint('here', flush=True)\ntime.sleep(60)")
    asked = client.say("task", "execute_request", code, {"retries": 3})
    while client.output().content.get("text") != "here\n":
        pass
    content = {"msg_ids": [client.msg_ids[asked]], "interrupt": True}
    client.say("control", "abort_request", content, {"targets": "all"})
    (answer,) = client.answers(asked)
    assert answer.content["ename"] == "KeyboardInterrupt"
    again = client.say("task", "execute_request", execute("1 / 0"), {"retries": 1})
    assert client.answers(again)[0].content["ename"] == "ZeroDivisionError"


def test_an_interrupt_hits_a_set(client: Steering) -> None:
    client.ask("session", "subscribe_request", {"output": "own"})
    number = client.say(
        "engines",
        "execute_request",
        execute("print('here', flush=True)\nwhile True: pass"),
        {"targets": "0,2"},
    )
    here = set()
    while here != {0, 2}:
        message = client.output()
        if message.type == "stream":
            here.add(message.engine)
    answers = client.ask("control", "signal_request", {"sig": "SIGINT"}, {"targets": "0,2"})
    assert {m.engine for m in answers} == {0, 2}
    assert {m.content["ename"] for m in client.answers(number)} == {"KeyboardInterrupt"}


def test_an_abort_takes_what_waits(client: Steering, cluster: Cluster) -> None:
    gate = os.path.join(cluster.dir, f"abort-{client.token}")
    wait = f"import os, time\nprint('on')\nwhile not os.path.exists({gate!r}): time.sleep(0.01)"
    running = client.say("engines", "execute_request", execute(wait, silent=True))
    assert {client.output().engine for _ in range(3)} == {0, 1, 2}
    waiting = client.say("engines", "execute_request", execute("1"))
    client.ask("control", "abort_request", {})
    open(gate, "w").close()
    assert {m.flags & (ERROR | ABORTED) for m in client.answers(waiting)} == {ABORTED}
    assert {m.flags & (ERROR | ABORTED) for m in client.answers(running)} == {0}


# ---- output ----


def test_output_goes_to_who_asked(cluster: Cluster, client: Steering) -> None:
    with Steering(cluster.connection_file) as other, Steering(cluster.connection_file) as third:
        other.ask("session", "subscribe_request", {"output": "all"})
        third.ask("session", "subscribe_request", {"output": "none"})
        number = client.say(
            "engines", "execute_request", execute("print('mine')", silent=True), {"targets": "1"}
        )
        for who, request in ((client, number), (other, 0)):
            message = who.output()
            assert (message.type, message.engine, message.request) == ("stream", 1, request)
            assert message.content["text"] == "mine\n"
        run(third, "print('unseen')", "1")
        assert not [m for m in third.waiting if m.channel == "iopub"]


def test_the_stock_client_sees_nothing_of_it(cluster: Cluster, client: Steering) -> None:
    rc = cluster.client()
    with Steering(cluster.connection_file) as watcher:
        watcher.ask("session", "subscribe_request", {"output": "all"})
        assert rc[0].execute("print('stock')", silent=False, block=True)
        message = watcher.output()
        while message.type != "stream":
            message = watcher.output()
        assert message.content["text"] == "stock\n" and message.request == 0
    run(client, "print('ours')")
    assert rc[0].apply_sync(int, "7") == 7


def test_a_slow_client_loses_output_and_is_told(cluster: Cluster) -> None:
    with Steering(cluster.connection_file) as slow:
        code = "import sys\nfor _ in range(100): sys.stdout.write('x' * 2**20); sys.stdout.flush()"
        number = slow.say("engines", "execute_request", execute(code, silent=True), {"targets": "0"})
        assert slow.answers(number)[0].content["status"] == "ok"
        slow.acknowledge()
        assert evaluate(slow, "1", "0") == {0: "1"}
        run(slow, "print('after')", "0", silent=True)
        assert slow.waiting[-1].content["text"] == "after\n"
        assert sum(m.metadata.get("lost", 0) for m in slow.waiting) > 0


def events_of(client: Steering) -> list[dict[str, Any]]:
    """All events so far, oldest first; another's answer stands behind them."""
    client.ask("session", "subscribe_request", {"output": "none", "events": True})
    client.ask("registration", "load_request")
    found = [m.content for m in client.waiting if m.type == "event"]
    client.ask("session", "subscribe_request", {"output": "none", "events": False})
    client.waiting.clear()
    return found


def test_events(cluster: Cluster, client: Steering) -> None:
    client.ask("session", "subscribe_request", {"output": "none", "events": True})
    with Steering(cluster.connection_file, attach=False) as other:
        other.attach(client="a\x1b[2J\n" + "\u00fc" * 150)
        other.ask("session", "detach_request")
    seen: list[dict[str, Any]] = []
    name = "a?[2J?" + "\u00fc" * 97  # a short line, whole characters
    while [event.get("client") for event in seen[-2:]] != [name, None]:
        message = client.output()
        assert message.type == "event" and message.content["time"]
        seen.append(message.content)
    assert [event["event"] for event in seen[-2:]] == ["attached", "detached"]
    assert (seen[-2]["role"], seen[-2]["address"]) == ("owner", "127.0.0.1")
    refused(
        client.ask("session", "subscribe_request", {"output": "some"}), "ValueError", "some"
    )


# ---- rights ----


def logged(cluster: Cluster, text: str) -> int:
    """How often it is in the log, once it is; the launcher passes lines on when it likes."""
    wait_until(lambda: text in cluster.log(), 20, f"the line {text!r}")
    return cluster.log().count(text)


@pytest.fixture
def invite(cluster: Cluster, client: Steering) -> Any:
    """Invites somebody and says how to come in; everybody is sent away again."""
    names: list[str] = []

    def make(role: str, expires: float | None = None, name: str = "") -> dict[str, str]:
        public, secret = (key.decode() for key in zmq.curve_keypair())
        names.append(name or f"{role}{len(names)}")
        content = {"name": names[-1], "role": role, "public_key": public, "expires": expires}
        (reply,) = client.ask("session", "invite_request", content)
        assert reply.content["status"] == "ok", reply.content
        return {"public_key": public, "secret_key": secret}

    yield make
    for name in names:
        client.ask("session", "revoke_request", {"name": name})


def test_an_observer_sees_and_does_nothing(cluster: Cluster, client: Steering, invite: Any) -> None:
    keys = invite("observer", name=f"dora-{client.token}")
    with Steering(cluster.connection_file, keys=keys) as observer:
        assert observer.welcome["role"] == "observer"
        observer.ask("session", "subscribe_request", {"output": "all", "events": True})
        for channel, request in (
            ("engines", "execute_request"),
            ("engines", "push_request"),
            ("engines", "call_request"),
            ("task", "call_request"),
            ("control", "signal_request"),
            ("control", "shutdown_request"),
            ("registration", "shutdown_request"),
            ("session", "invite_request"),
            ("session", "revoke_request"),
        ):
            for _ in range(2):
                refused(observer.ask(channel, request, execute("1")), "PermissionError", request)
        assert observer.ask("registration", "queue_request")[0].content["status"] == "ok"
        run(client, "print('seen')", "0")
        message = observer.output()
        while message.type != "stream":
            message = observer.output()
        assert message.content["text"] == "seen\n"
        name = observer.welcome["name"]
    denied = [e for e in events_of(client) if e["event"] == "denied" and e["name"] == name]
    operations = [e["operation"] for e in denied]
    assert operations.count("signal_request") == 1  # it was refused twice
    assert operations.count("shutdown_request") == 2  # two operations have this name
    assert {(e["role"], e["address"]) for e in denied} == {("observer", "127.0.0.1")}
    line = f"warning: {name} (observer, 127.0.0.1) was denied signal_request"
    assert logged(cluster, line) == 1


def test_an_operator_runs_and_does_not_invite(cluster: Cluster, invite: Any) -> None:
    with Steering(cluster.connection_file, keys=invite("operator")) as operator:
        assert evaluate(operator, "5", "0") == {0: "5"}
        refused(operator.ask("session", "invitations_request"), "PermissionError", "owner")


def test_a_token_is_of_no_use_with_another_key(
    cluster: Cluster, client: Steering, invite: Any
) -> None:
    with Steering(cluster.connection_file, keys=invite("operator")) as first:
        keys = invite("operator")
        with Steering(cluster.connection_file, keys=keys, attach=False) as thief:
            thief.token = first.token
            assert thief.attach(resume=True)["ename"] == "PermissionError"
        assert evaluate(first, "6", "0") == {0: "6"}
    (told,) = [e for e in events_of(client) if e.get("reason") == "session of another key"][-1:]
    assert told["address"] == "127.0.0.1" and told["role"] == "operator"
    assert logged(cluster, f"{told['name']} (operator) asked for the session of somebody else")


def test_a_revoked_key_is_of_no_more_use(cluster: Cluster, client: Steering, invite: Any) -> None:
    keys = invite("operator", name="eve")
    with Steering(cluster.connection_file, keys=keys) as eve:
        (listed,) = client.ask("session", "invitations_request")
        mine = [i for i in listed.content["invitations"] if i["name"] == "eve"]
        assert len(mine) == 1 and mine[0]["attached"] == 1 and mine[0]["last_seen"]
        client.ask("session", "revoke_request", {"name": "eve"})
        told = eve.receive()
        assert told and told.content["ename"] == "PermissionError"
        eve.say("engines", "execute_request", execute("x = 1"))
        told = eve.receive()
        assert told and told.content["ename"] == "SessionError"
        assert eve.attach()["ename"] == "PermissionError"
    assert handshake_refused(cluster, keys) == 400
    refused(client.ask("session", "revoke_request", {"name": "eve"}), "KeyError", "eve")
    told = [e for e in events_of(client) if e.get("name") == "eve"]
    assert [e["event"] for e in told][:3] == ["invited", "attached", "revoked"]
    assert (told[1]["role"], told[1]["address"]) == ("operator", "127.0.0.1")
    assert told[2]["by"] == "owner"
    refusals = [e for e in told if e["event"] == "refused"]
    assert refusals and {(e["reason"], e["address"]) for e in refusals} == {
        ("revoked", "127.0.0.1")
    }
    owner = "local" if client.endpoint.startswith("ipc") else "127.0.0.1"
    assert logged(cluster, f"notice: owner ({owner}) invited eve as operator\n")
    assert logged(cluster, f"notice: owner ({owner}) revoked the invitation of eve (operator)\n")
    refusal = "was refused: the invitation of eve (operator) was"
    assert logged(cluster, f"warning: a client from 127.0.0.1 {refusal}")


def test_an_expired_key_is_of_no_more_use(
    cluster: Cluster, client: Steering, invite: Any
) -> None:
    name = f"ann-{client.token}"
    keys = invite("observer", expires=1.5, name=name)
    with Steering(cluster.connection_file, keys=keys) as guest:
        assert 0 < guest.welcome["expires"] <= 1.5
        told = guest.receive(10)
        assert told and told.content["ename"] == "PermissionError"
    assert handshake_refused(cluster, keys) == 400
    refusals = [e for e in events_of(client) if e["event"] == "refused" and e.get("name") == name]
    assert [(e["reason"], e["role"], e["address"]) for e in refusals] == [
        ("expired", "observer", "127.0.0.1")
    ]
    assert logged(cluster, f"the invitation of {name} (observer) has expired")
    again = {"name": "bob", "role": "observer", "public_key": keys["public_key"]}
    refused(client.ask("session", "invite_request", again), "ValueError", "known already")


@pytest.mark.parametrize(
    "content, word",
    [
        ({"name": ""}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"name": "eve\nipp-engine[0] notice: owner invited eve"}, "name"),
        ({"role": "owner"}, "role"),
        ({"role": "king"}, "role"),
        ({"public_key": "short"}, "public_key"),
        ({"public_key": " " * 40}, "public_key"),
        ({"expires": -1}, "expires"),
        ({"expires": "soon"}, "expires"),
        ({"expires": 1e300}, "expires"),
    ],
)
def test_bad_invitations(client: Steering, content: dict[str, Any], word: str) -> None:
    good = {"name": "ann", "role": "observer", "public_key": zmq.curve_keypair()[0].decode()}
    refused(client.ask("session", "invite_request", {**good, **content}), "ValueError", word)


def handshake_refused(cluster: Cluster, keys: dict[str, str]) -> int:
    """The ZAP status with which a connection is refused."""
    with Steering(cluster.connection_file, keys=keys, attach=False) as stranger:
        monitor = stranger.socket.get_monitor_socket(zmq.EVENT_HANDSHAKE_FAILED_AUTH)
        stranger.socket.connect(stranger.endpoint)
        assert monitor.poll(10000), "the handshake did not fail"
        return zmq.utils.monitor.recv_monitor_message(monitor)["value"]


def test_strangers_are_refused(cluster: Cluster, client: Steering) -> None:
    for _ in range(2):
        public, secret = (key.decode() for key in zmq.curve_keypair())
        assert handshake_refused(cluster, {"public_key": public, "secret_key": secret}) == 400
    (told,) = [e for e in events_of(client) if e.get("reason") == "unknown key"]  # one a minute
    assert told["address"] == "127.0.0.1" and "name" not in told
    assert logged(cluster, "warning: a client from 127.0.0.1 was refused: its key is not") == 1


def test_no_coming_and_going_pushes_out_an_invitation(
    cluster: Cluster, client: Steering, invite: Any
) -> None:
    name = f"carol-{client.token}"
    invite("observer", name=name)
    for _ in range(110):
        with Steering(cluster.connection_file, local=True) as other:
            other.ask("session", "detach_request")
    events = events_of(client)
    traffic = [e for e in events if e["event"] in ("attached", "detached")]
    assert len(traffic) == 100 and {e["name"] for e in traffic} == {"owner"}
    assert [e["role"] for e in events if e["event"] == "invited" and e["name"] == name] == [
        "observer"
    ]
    times = [e["time"] for e in events]
    assert times == sorted(times)


def test_plain_tcp_gets_nothing(cluster: Cluster) -> None:
    with open(cluster.connection_file) as file:
        port = json.load(file)["ippmpi"]["steering"]["port"]
    with zmq.Context() as context, context.socket(zmq.DEALER) as plain:
        plain.linger = 0
        plain.connect(f"tcp://127.0.0.1:{port}")
        plain.send_multipart(pack([b"session", b"\0" * 32, b"<IDS|MSG>", b"", *[b"{}"] * 4]))
        assert not plain.poll(500)
    with socket.create_connection(("127.0.0.1", port)) as raw:
        raw.sendall(b"GET / HTTP/1.0\r\n\r\n" * 10)


def test_the_local_socket_is_private(cluster: Cluster) -> None:
    with open(cluster.connection_file) as file:
        endpoint = json.load(file)["ippmpi"]["steering"]["ipc"]
    folder = os.path.dirname(endpoint[len("ipc://"):])
    assert os.stat(folder).st_mode & 0o777 == 0o700


# ---- ends ----


@pytest.mark.limit(120)
def test_a_dead_engine_is_an_event_and_an_answer() -> None:
    with under_engines(3) as own, Steering(own.connection_file) as client:
        pid = client.welcome["engines"]["1"]["pid"]
        number = client.say("engines", "execute_request", execute("while True: pass"),
                            {"targets": "1"})
        both = client.say("engines", "execute_request", execute("1"), {"targets": "0-1"})
        os.kill(pid, signal.SIGKILL)
        (answer,) = client.answers(number)
        assert answer.content["ename"] == "EngineError" and "died" in answer.content["evalue"]
        assert {m.engine: m.content["status"] for m in client.answers(both)} == {
            0: "ok", 1: "error"
        }
        events = [m for m in client.waiting if m.type == "event"] or [client.output()]
        assert events[0].content["event"] == "engine_lost" and events[0].content["id"] == 1
        assert set(evaluate(client, "1")) == {0, 2}
        named = run(client, "1", "0-2")
        assert {m.engine for m in named if m.flags & ERROR} == {1}


@pytest.mark.limit(120)
def test_the_end_is_told_to_everybody() -> None:
    with under_engines(1) as own, Steering(own.connection_file) as client:
        number = client.say("engines", "execute_request", execute("while True: pass"))
        with Steering(own.connection_file) as other:
            other.ask("registration", "shutdown_request")
        (answer,) = client.answers(number)
        assert answer.content["ename"] == "EngineError"
        events = [m.content["event"] for m in client.waiting if m.type == "event"]
        while "shutdown" not in events:
            events.append(client.output().content["event"])
        own.join()

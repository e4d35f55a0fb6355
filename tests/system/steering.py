# SPDX-License-Identifier: BSD-3-Clause
"""A client of the steering socket made of bytes, to say what no library would say."""
from __future__ import annotations

import json
import secrets
import struct
import time
import uuid
from dataclasses import dataclass
from typing import Any, Sequence

import zmq

HEAD = struct.Struct("<QQQiI")
LAST, ERROR, ABORTED = 1, 2, 4
DELIMITER = b"<IDS|MSG>"
BEHIND = 2**32 - 1  # in a pack's table: a frame that follows it


def pack(frames: Sequence[bytes], largest: int = 1000) -> list[bytes]:
    """The parts that a message of such frames travels as."""
    sizes = [len(frame) if len(frame) <= largest else BEHIND for frame in frames]
    table = struct.pack(f"<{1 + len(sizes)}I", len(sizes), *sizes)
    packed = [frame for frame in frames if len(frame) <= largest]
    return [table + b"".join(packed), *(frame for frame in frames if len(frame) > largest)]


def unpack(parts: Sequence[bytes]) -> list[bytes]:
    """The frames again."""
    first, *behind = parts
    (count,) = struct.unpack_from("<I", first)
    at, frames = 4 + 4 * count, []
    for size in struct.unpack_from(f"<{count}I", first, 4):
        frames.append(behind.pop(0) if size == BEHIND else first[at : at + size])
        at += 0 if size == BEHIND else size
    assert at == len(first) and not behind
    return frames


@dataclass
class Message:
    """What came: the head's fields and the parsed frames."""

    channel: str
    sequence: int
    acknowledged: int
    request: int
    engine: int
    flags: int
    type: str
    metadata: dict[str, Any]
    content: dict[str, Any]
    buffers: list[bytes]
    parent: dict[str, Any]


class Steering:
    """One connection; `token` takes a session up again."""

    def __init__(
        self,
        connection_file: str,
        token: str | None = None,
        local: bool = False,
        keys: dict[str, str] | None = None,
        attach: bool = True,
    ) -> None:
        with open(connection_file) as file:
            info = json.load(file)
        steering = dict(info["ippmpi"]["steering"], **(keys or {}))
        self.endpoint = steering["ipc"] if local else f"{info['interface']}:{steering['port']}"
        self.context = zmq.Context()
        self.socket = self.context.socket(zmq.DEALER)
        self.socket.linger = 0
        if not local:
            self.socket.curve_serverkey = steering["server_key"].encode()
            self.socket.curve_publickey = steering["public_key"].encode()
            self.socket.curve_secretkey = steering["secret_key"].encode()
        self.socket.connect(self.endpoint)
        self.token = token or secrets.token_hex(16)
        self.session = uuid.uuid4().hex
        self.sent = 0
        self.received = 0
        self.waiting: list[Message] = []
        self.msg_ids: dict[int, str] = {}  # of what was sent, by sequence
        if attach:
            self.welcome = self.attach(resume=token is not None)

    def __enter__(self) -> Steering:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.context.destroy(linger=0)

    def say(
        self,
        channel: str,
        msg_type: str,
        content: Any = None,
        metadata: Any = None,
        buffers: Sequence[bytes] = (),
        sequence: int | None = None,
    ) -> int:
        """Send a message, numbered as the next one unless said otherwise; returns its number."""
        if sequence is None:
            self.sent += 1
            sequence = self.sent
        header = {
            "msg_id": uuid.uuid4().hex,
            "msg_type": msg_type,
            "session": self.session,
            "username": "test",
            "date": "2026-01-31T12:00:00.000000Z",
            "version": "5.3",
        }
        self.msg_ids[sequence] = header["msg_id"]
        frames = [json.dumps(part).encode() for part in (header, {}, metadata or {}, content or {})]
        head = HEAD.pack(sequence, self.received, 0, -1, 0)
        self.send([channel.encode(), head, DELIMITER, b"", *frames, *buffers])
        return sequence

    def acknowledge(self) -> None:
        self.send([b"ack", HEAD.pack(0, self.received, 0, -1, 0)])

    def send(self, frames: Sequence[bytes]) -> None:
        """Send the frames of one message, as they are."""
        self.socket.send_multipart(pack(frames))

    def receive(self, timeout: float = 10.0, acks: bool = False) -> Message | None:
        """The next message, None after `timeout` seconds without one."""
        deadline = time.monotonic() + timeout
        while self.socket.poll(max(0, int((deadline - time.monotonic()) * 1000))):
            frames = unpack(self.socket.recv_multipart())
            channel, head = frames[0].decode(), HEAD.unpack(frames[1])
            if channel == "ack":
                if acks:
                    return Message(channel, *head, "", {}, {}, [], {})
                continue
            if head[0]:
                assert head[0] <= self.received + 1, "a message is missing"
                if head[0] <= self.received:
                    continue
                self.received = head[0]
            at = frames.index(DELIMITER)
            assert frames[at + 1] == b""
            header, parent, metadata, content = map(json.loads, frames[at + 2 : at + 6])
            return Message(
                channel, *head, header["msg_type"], metadata, content, frames[at + 6 :], parent
            )
        return None

    def attach(self, resume: bool = False, **other: Any) -> dict[str, Any]:
        content = {
            "protocol": 1,
            "token": self.token,
            "received": self.received,
            "resume": resume,
            "client": "test",
            **other,
        }
        self.say("session", "attach_request", content, sequence=0)
        reply = self.receive()
        assert reply is not None, "no attach_reply"
        assert reply.type == "attach_reply" and reply.sequence == 0
        return reply.content

    def answers(self, request: int, timeout: float = 20.0) -> list[Message]:
        """All answers to a request, in the order in which they came; the rest waits."""
        found: list[Message] = []
        deadline = time.monotonic() + timeout
        while not (found and found[-1].flags & LAST):
            kept = next((m for m in self.waiting if self._answers(m, request)), None)
            if kept is not None:
                self.waiting.remove(kept)
                found.append(kept)
                continue
            message = self.receive(max(0.0, deadline - time.monotonic()))
            assert message is not None, f"no (more) answers to {request}: {found}"
            self.waiting.append(message)
        return found

    @staticmethod
    def _answers(message: Message, request: int) -> bool:
        return message.request == request and message.channel != "iopub"

    def ask(self, *args: Any, **kwargs: Any) -> list[Message]:
        return self.answers(self.say(*args, **kwargs))

    def output(self, timeout: float = 10.0) -> Message:
        """The next message on iopub."""
        deadline = time.monotonic() + timeout
        while True:
            for message in self.waiting:
                if message.channel == "iopub":
                    self.waiting.remove(message)
                    return message
            message = self.receive(max(0.0, deadline - time.monotonic()))
            assert message is not None, "nothing on iopub"
            self.waiting.append(message)

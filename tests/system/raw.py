# SPDX-License-Identifier: BSD-3-Clause
"""A client made of bare sockets, for saying what no ipyparallel client would say."""
from __future__ import annotations

import hashlib
import hmac
import json
import socket
import struct
import uuid
from datetime import datetime, timezone
from typing import Any, Sequence

import zmq
from ipyparallel.serialize import pack_apply_message

DELIMITER = b"<IDS|MSG>"


class RawClient:
    """Signs frames by the key of a connection file, and sends what it is told to."""

    def __init__(self, connection_file: str) -> None:
        with open(connection_file) as file:
            self.info: dict[str, Any] = json.load(file)
        self.session = uuid.uuid4().hex
        self._context = zmq.Context()
        self._sockets: dict[str, zmq.Socket] = {}

    def close(self) -> None:
        self._context.destroy(linger=0)

    def socket(self, channel: str) -> zmq.Socket:
        if channel not in self._sockets:
            made = self._context.socket(zmq.DEALER)
            made.connect(f"{self.info['interface']}:{self.info[channel]}")
            self._sockets[channel] = made
        return self._sockets[channel]

    def sign(self, parts: Sequence[bytes]) -> bytes:
        digest = hmac.new(self.info["key"].encode(), digestmod=hashlib.sha256)
        for part in parts:
            digest.update(part)
        return digest.hexdigest().encode()

    def header(self, msg_type: str, **fields: Any) -> dict[str, Any]:
        date = datetime.now(timezone.utc).isoformat()
        return {
            "msg_id": uuid.uuid4().hex,
            "msg_type": msg_type,
            "username": "raw",
            "session": self.session,
            "date": date,
            "version": "5.3",
            **fields,
        }

    def frames(
        self,
        msg_type: str,
        content: Any = None,
        metadata: Any = None,
        *,
        to: str | None = None,
        header: bytes | None = None,
        buffers: Sequence[bytes] = (),
        **fields: Any,
    ) -> list[bytes]:
        """A signed message; header=bytes puts these bytes in the header's place."""
        first = json.dumps(self.header(msg_type, **fields)).encode() if header is None else header
        parts = [first, b"{}", *(json.dumps(part or {}).encode() for part in (metadata, content))]
        prefix = [] if to is None else [to.encode()]
        return [*prefix, DELIMITER, self.sign(parts), *parts, *buffers]

    def apply_frames(self, function: Any, *args: Any, to: str, **options: Any) -> list[bytes]:
        buffers = [bytes(b) for b in pack_apply_message(function, args, {})]
        return self.frames("apply_request", to=to, buffers=buffers, **options)

    def send(self, channel: str, frames: Sequence[bytes]) -> None:
        self.socket(channel).send_multipart(list(frames))

    def receive(self, channel: str, seconds: float = 15) -> dict[str, Any]:
        """The next message on a channel: header, parent_header, metadata, content."""
        assert self.socket(channel).poll(
            int(seconds * 1000)
        ), f"no answer on {channel} in {seconds} s"
        frames = self.socket(channel).recv_multipart()
        start = frames.index(DELIMITER)
        assert frames[start + 1] == self.sign(frames[start + 2 : start + 6])
        names = ("header", "parent_header", "metadata", "content")
        return dict(zip(names, map(json.loads, frames[start + 2 : start + 6])))

    def silent(self, channel: str, seconds: float = 0.2) -> bool:
        """Nothing comes on a channel for a while."""
        return not self.socket(channel).poll(int(seconds * 1000))

    def engines(self) -> dict[int, str]:
        """id -> uuid, by a connection_request."""
        self.send("registration", self.frames("connection_request"))
        answer = self.receive("registration")["content"]
        assert answer["status"] == "ok"
        return {int(key): value for key, value in answer["engines"].items()}


def zmtp_announcing(port: int, length: int, sent: int) -> socket.socket:
    """A TCP connection that speaks ZMTP 3.0 as a DEALER and has begun a frame of `length` bytes."""
    peer = socket.create_connection(("127.0.0.1", port), timeout=10)
    peer.sendall(b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32))
    greeting = b""
    while len(greeting) < 64:
        greeting += peer.recv(64 - len(greeting))
    ready = (
        b"\x05READY\x0bSocket-Type" + struct.pack(">I", 6) + b"DEALER" + b"\x08Identity" + bytes(4)
    )
    peer.sendall(bytes([4, len(ready)]) + ready)
    peer.sendall(b"\x02" + struct.pack(">Q", length) + bytes(sent))
    return peer

#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Records messages of the stock ipyparallel client and engine session into NAME.json beside this file.

A real ipyparallel.Client talks to sockets that only listen; what arrives is kept frame by frame, in hexadecimal, with
the key. Replies are made by the same Session class. The records are committed: run this again only to record another
version of ipyparallel, and look at the difference.
"""
import json
import sys
import threading
import warnings
from datetime import datetime, timezone
from pathlib import Path

import ipyparallel
import jupyter_client
import zmq
from ipyparallel.serialize import serialize_object
from jupyter_client.session import Session

HERE = Path(__file__).parent
KEY = "a0b1c2d3-e4f5061728394a5b6c7d8e9f0011223344556677"
ENGINES = {"0": "6b8e0ad5-6d5a4d0d8f0a0c1d2e3f4a5b", "1": "0c4a7be0-2f9e4c53a3f1e2d4c6b8a091"}
ROUTERS = ["registration", "mux", "task", "broadcast", "control"]
PUBLISHERS = ["notification", "iopub"]


def save(name: str, channel: str, key: str, frames: list[bytes]) -> None:
    """Writes one message: `frames` are those of the multipart message as they stood on the socket."""
    record = {
        "recorded_from": f"ipyparallel {ipyparallel.__version__}, jupyter_client {jupyter_client.__version__}",
        "channel": channel,
        "key": key,
        "frames": [bytes(frame).hex() for frame in frames],
    }
    (HERE / f"{name}.json").write_text(json.dumps(record, indent=1) + "\n")


class Listener(threading.Thread):
    """Binds the client's seven sockets, answers connection_request, keeps everything that comes."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.context = zmq.Context()
        self.session = Session(key=KEY.encode())
        self.sockets = {}
        self.info = {
            "interface": "tcp://127.0.0.1", "location": "127.0.0.1", "ssh": "", "key": KEY, "pack": "json",
            "unpack": "json", "signature_scheme": "hmac-sha256", "task_scheme": "leastload",
        }  # fmt: skip
        for name in ROUTERS + PUBLISHERS:
            socket = self.context.socket(zmq.ROUTER if name in ROUTERS else zmq.PUB)
            self.info[name] = socket.bind_to_random_port("tcp://127.0.0.1")
            self.sockets[name] = socket
        self.arrived = threading.Condition()
        self.messages: list[tuple[str, list[bytes]]] = []

    def run(self) -> None:
        poller = zmq.Poller()
        for name in ROUTERS:
            poller.register(self.sockets[name], zmq.POLLIN)
        while True:
            for socket, _ in poller.poll():
                channel = next(n for n, s in self.sockets.items() if s is socket)
                frames = socket.recv_multipart()
                header = json.loads(frames[frames.index(b"<IDS|MSG>") + 2])
                if header["msg_type"] == "connection_request":
                    content = {"status": "ok", "engines": ENGINES}
                    self.session.send(socket, "connection_reply", content, parent=header, ident=frames[0])
                with self.arrived:
                    self.messages.append((channel, frames))
                    self.arrived.notify_all()

    def take(self, msg_type: str) -> tuple[str, list[bytes]]:
        """The first message of that type not yet taken."""

        def found() -> bool:
            return any(f'"{msg_type}"'.encode() in b"".join(m[1]) for m in self.messages)

        with self.arrived:
            if not self.arrived.wait_for(found, timeout=10):
                sys.exit(f"no {msg_type} came within 10 s")
            for i, (_, frames) in enumerate(self.messages):
                if f'"{msg_type}"'.encode() in b"".join(frames):
                    return self.messages.pop(i)
        raise AssertionError


def record_requests() -> None:
    listener = Listener()
    listener.start()
    client = ipyparallel.Client(listener.info)

    def keep(name: str, msg_type: str) -> None:
        channel, frames = listener.take(msg_type)
        save(name, channel, KEY, frames)

    keep("connection_request", "connection_request")
    view = client[0]
    view.apply_async(divmod, 17, 5)
    keep("apply_mux", "apply_request")
    view.apply_async(len, bytearray(range(256)) * 8)
    keep("apply_mux_large_buffer", "apply_request")
    ran = view.execute("x = 1\nprint('Grüße, \u4e16\u754c', '\0')\n", block=False)
    keep("execute_mux", "execute_request")
    balanced = client.load_balanced_view()
    with balanced.temp_flags(after=ran, retries=2, timeout=30):
        balanced.apply_async(abs, -1)
    keep("apply_task_after", "apply_request")
    for coalescing, name in ((False, "apply_broadcast"), (True, "apply_broadcast_coalescing")):
        everyone = client.broadcast_view(is_coalescing=coalescing)
        everyone.apply_async(divmod, 9, 2)
        keep(name, "apply_request")
    threading.Thread(target=client.abort, kwargs={"targets": 0, "block": True}, daemon=True).start()
    keep("abort_control", "abort_request")
    threading.Thread(target=client.queue_status, daemon=True).start()
    keep("queue_request", "queue_request")


def record_replies() -> None:
    session = Session(key=KEY.encode(), session="6b8e0ad5-6d5a4d0d8f0a0c1d2e3f4a5b", username="ipp")
    request = session.msg_header("apply_request")
    now = datetime.now(timezone.utc)
    metadata = {
        "started": now, "engine": ENGINES["0"], "status": "ok", "dependencies_met": True, "is_broadcast": False,
    }  # fmt: skip
    client = b"\x00\x80\x00\x41\xa7"

    def keep(name: str, channel: str, msg_type: str, content: dict, ident, buffers=(), key=KEY) -> None:
        session.key = key.encode()
        msg = session.msg(msg_type, content, parent=request, metadata=metadata)
        save(name, channel, key, session.serialize(msg, ident) + [bytes(b) for b in buffers])

    keep("apply_reply_ok", "mux", "apply_reply", {"status": "ok"}, client, serialize_object(bytearray(2000)))
    error = {
        "status": "error", "ename": "ZeroDivisionError", "evalue": "division by zero", "traceback": ["\x1b[0;31m…"],
        "engine_info": {"engine_uuid": ENGINES["0"], "engine_id": 0, "method": "apply"},
    }  # fmt: skip
    keep("apply_reply_error", "mux", "apply_reply", error, [client, b"second"])
    keep("iopub_stream", "iopub", "stream", {"name": "stdout", "text": "zwölf\n"}, b"engine.0.stdout")
    keep("iopub_status_unsigned", "iopub", "status", {"execution_state": "idle"}, b"engine.0.status", key="")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    record_requests()
    record_replies()

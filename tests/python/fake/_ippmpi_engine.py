# SPDX-License-Identifier: BSD-3-Clause
"""A stand-in for the built-in module of an engine: requests come and answers go through pipes.

A record is eight bytes of length and a pickle. It leaves out what C does: parents, dates, status.
"""

import os
import pickle
import signal
import struct
import threading

engine_id, uuid, engines = int(os.environ.get("FAKE_ENGINE_ID", 3)), "fake-uuid", 4
mpi = os.environ.get("FAKE_MPI", "openmpi")

_in, _out = (int(fd) for fd in os.environ["FAKE_ENGINE_FDS"].split(","))
_lock = threading.Lock()
adopted = []


class Request:
    def __init__(self, record):
        self.__dict__.update(record)
        self.buffers = [memoryview(buffer).toreadonly() for buffer in self.buffers]

    def take_buffers(self):
        taken, self.buffers = self.buffers, []
        return [memoryview(bytearray(buffer)) for buffer in taken]

    def reduction_tree(self):
        return self.tree

    def send_partial(self, status, content, buffers):
        assert isinstance(content, bytes)
        _send("partial", status, content, [bytes(b) for b in buffers])

    def await_partial(self, child):
        """What the record has for the child; "never": nothing comes."""
        said = self.partials[child]
        if said == "never":
            write("stdout", "awaiting")
            signal.pause()
        if said is None:
            return None
        status, content, buffers = said
        return status, content, [memoryview(bytearray(buffer)) for buffer in buffers]


def _read(size):
    data = b""
    while len(data) < size:
        more = os.read(_in, size - len(data))
        if not more:
            os._exit(0)
        data += more
    return data


def _send(*record):
    data = pickle.dumps(record)
    data = struct.pack("<Q", len(data)) + data
    with _lock:
        while data:
            written = os.write(_out, data)
            data = data[written:]


_running = False
_struck = False  # what runs, by a signal: the tests' way to interrupt
_signals, _signalled = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
signal.set_wakeup_fd(_signalled)


def _drain():
    try:
        return bool(os.read(_signals, 4096))
    except BlockingIOError:
        return False


def next_request():
    global _running, _struck
    record = pickle.loads(_read(struct.unpack("<Q", _read(8))[0]))
    _drain()
    _running, _struck = record is not None, False
    return Request(record) if _running else None


def was_interrupted():
    global _struck
    _struck = _drain() or _struck
    return _running and _struck


def reply(request, status, content, buffers):
    global _running
    _running = False
    assert isinstance(content, bytes)
    _send("reply", request.msg_id, status, content, [bytes(b) for b in buffers])


def publish(msg_type, content, metadata, buffers):
    assert isinstance(content, bytes) and isinstance(metadata, bytes)
    _send("publish", msg_type, content, metadata, [bytes(b) for b in buffers])


def write(name, text):
    _send("write", name, text.encode("utf-8", "replace").decode("utf-8"))


def flush():
    pass


def adopt_world(address):
    adopted.append(address)

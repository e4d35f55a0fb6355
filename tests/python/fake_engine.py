# SPDX-License-Identifier: BSD-3-Clause
"""The tests' side: an engine's Python in a process of its own, with a fake built-in module."""

import json
import os
import pickle
import re
import select
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path
from types import FunctionType

from ipyparallel.serialize import deserialize_object, pack_apply_message

HERE = Path(__file__).resolve().parent
ROOM = HERE.parents[1] / "python"
PATIENCE_S = 60
SETTLE_S = 0.2
MAIN = "import ippmpi.engine; ippmpi.engine.main()"


class Answer:
    """A reply and everything that the engine sent before it."""

    def __init__(self):
        self.published, self.texts, self.partials = [], {"stdout": "", "stderr": ""}, []

    def finish(self, msg_id, status, content, buffers):
        self.msg_id, self.status, self.buffers = msg_id, status, buffers
        self.content = json.loads(content)
        said = self.content["status"]  # is_complete_reply has more to say than ok
        assert said == status or status == "ok" and said in ("complete", "incomplete", "invalid")
        return self

    def of(self, kind):
        return [content for msg_type, content, _, _ in self.published if msg_type == kind]

    @property
    def result(self):
        assert self.status == "ok", "\n".join(self.content["traceback"])
        return deserialize_object(self.buffers)[0]

    @property
    def error(self):
        assert self.status == "error"
        return self.content["ename"], self.content["evalue"]

    @property
    def traceback(self):
        return re.sub(r"\x1b\[[\d;]*m", "", "\n".join(self.content["traceback"]))


class Engine:
    """Starts the engine; a context manager."""

    def __init__(self, main=MAIN, path=(), python=sys.executable, options=(), **env):
        requests, self.requests = os.pipe()
        self.answers, answers = os.pipe()
        env = {
            **{k: v for k, v in os.environ.items() if k != "MPLBACKEND"},
            "PYTHONPATH": os.pathsep.join([*map(str, path), str(ROOM), str(HERE / "fake")]),
            "FAKE_ENGINE_FDS": f"{requests},{answers}",
            **env,
        }
        self.process = subprocess.Popen(
            [python, *options, "-c", main], env=env, pass_fds=(requests, answers)
        )
        os.close(requests)
        os.close(answers)
        self.number = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self.requests)
        os.close(self.answers)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def send(self, msg_type, content=None, buffers=(), metadata=None, more=None):
        self.number += 1
        header = {"msg_id": f"m{self.number}", "msg_type": msg_type, "session": "s"}
        record = {
            "msg_id": header["msg_id"],
            "msg_type": msg_type,
            "header": json.dumps(header).encode(),
            "metadata": json.dumps(metadata or {}).encode(),
            "content": json.dumps(content or {}).encode(),
            "buffers": [bytes(buffer) for buffer in buffers],
            **(more or {}),
        }
        self.send_record(record)

    def send_record(self, record):
        data = pickle.dumps(record)
        data = struct.pack("<Q", len(data)) + data
        with os.fdopen(os.dup(self.requests), "wb") as pipe:
            pipe.write(data)

    def _read(self, size):
        data = b""
        while len(data) < size:
            assert select.select([self.answers], [], [], PATIENCE_S)[0], "the engine says nothing"
            more = os.read(self.answers, size - len(data))
            if not more:
                raise EOFError(f"the engine ended: {self.process.wait(10)}")
            data += more
        return data

    def receive(self, until_text=None):
        """The next answer; or nothing, once `until_text` was written and what follows it began."""
        answer = Answer()
        while True:
            kind, *rest = pickle.loads(self._read(struct.unpack("<Q", self._read(8))[0]))
            if kind == "write":
                answer.texts[rest[0]] += rest[1]
                if until_text and until_text in rest[1]:
                    time.sleep(SETTLE_S)
                    return None
            elif kind == "partial":
                answer.partials.append(tuple(rest))
            elif kind == "publish":
                msg_type, content, metadata, buffers = rest
                answer.published.append(
                    (msg_type, json.loads(content), json.loads(metadata), buffers)
                )
            else:
                answer.finish(*rest)
                assert until_text is None, answer.content
                return answer

    def ask(self, *args, **kwargs):
        self.send(*args, **kwargs)
        return self.receive()

    def send_apply(self, function, *args, **kwargs):
        parts = [function, getattr(function, "f", None), getattr(function, "df", None), *args]
        for part in parts:
            if isinstance(part, FunctionType) and part.__module__.startswith("test_"):
                part.__module__ = "__main__"  # as if typed at the client's prompt
        self.send("apply_request", {}, pack_apply_message(function, args, kwargs, 1024, 64))

    def apply(self, function, *args, **kwargs):
        self.send_apply(function, *args, **kwargs)
        return self.receive()

    def send_execute(self, code, silent=False, **content):
        self.send("execute_request", {"code": code, "silent": silent, **content})

    def execute(self, code, silent=False, **content):
        self.send_execute(code, silent, **content)
        return self.receive()

    def interrupt(self):
        os.kill(self.process.pid, signal.SIGINT)

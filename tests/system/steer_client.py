# SPDX-License-Identifier: BSD-3-Clause
"""libippsteer by ctypes, as include/ippsteer.h declares it: for tests of the library itself."""
from __future__ import annotations

import ctypes
import json
import os
from typing import Any, Callable

from ctypes import (CFUNCTYPE, POINTER, Structure, c_bool, c_char_p, c_int, c_int64, c_size_t,
                    c_uint64, c_void_p)

LIBRARY = os.path.join(os.environ.get("BUILD_DIR", "."), ".libs", "libippsteer.so")
OK, ERROR, ABORTED = range(3)


class Error(Structure):
    _fields_ = [("text", ctypes.c_char * 512)]


class Options(Structure):
    _fields_ = [("profile", c_char_p), ("client", c_char_p), ("timeout_ms", c_int)]


RELEASE = CFUNCTYPE(None, c_void_p, c_void_p)


class Buffer(Structure):
    _fields_ = [("data", c_void_p), ("size", c_size_t), ("release", RELEASE), ("arg", c_void_p)]


class Answer(Structure):
    _fields_ = [("engine", c_int), ("status", c_int), ("content", c_char_p), ("metadata", c_char_p),
                ("buffers", POINTER(Buffer)), ("buffer_count", c_size_t)]


class Output(Structure):
    _fields_ = [("engine", c_int), ("type", c_char_p), ("content", c_char_p),
                ("metadata", c_char_p), ("buffers", POINTER(Buffer)), ("buffer_count", c_size_t),
                ("lost", c_uint64)]


OUTPUT = CFUNCTYPE(None, POINTER(Output), c_void_p)
DONE = CFUNCTYPE(None, c_void_p, c_void_p)


class Request(Structure):
    _fields_ = [("type", c_char_p), ("channel", c_char_p), ("targets", c_char_p),
                ("content", c_char_p), ("metadata", c_char_p), ("buffers", POINTER(Buffer)),
                ("buffer_count", c_size_t), ("on_output", OUTPUT), ("output_arg", c_void_p)]


class Array(Structure):
    _fields_ = [("dtype", c_char_p), ("ndims", c_int), ("shape", POINTER(c_int64)),
                ("bytes", Buffer)]


def _load() -> ctypes.CDLL:
    lib = ctypes.CDLL(LIBRARY, use_errno=True)
    error = POINTER(Error)
    for name, result, *arguments in (
        ("steer_connect", c_void_p, c_char_p, POINTER(Options), error),
        ("steer_close", None, c_void_p),
        ("steer_about", c_char_p, c_void_p),
        ("steer_engines", POINTER(c_int), c_void_p, POINTER(c_size_t)),
        ("steer_fd", c_int, c_void_p),
        ("steer_timeout", c_int, c_void_p),
        ("steer_progress", c_int, c_void_p, c_int, error),
        ("steer_wake", None, c_void_p),
        ("steer_send", c_void_p, c_void_p, POINTER(Request), error),
        ("steer_outstanding", c_size_t, c_void_p),
        ("future_done", c_bool, c_void_p),
        ("future_wait", c_int, c_void_p, c_int, error),
        ("future_count", c_size_t, c_void_p),
        ("future_answer", POINTER(Answer), c_void_p, c_size_t),
        ("future_failure", c_char_p, c_void_p),
        ("future_cancel", c_int, c_void_p, error),
        ("future_destroy", None, c_void_p),
        ("steer_execute", c_void_p, c_void_p, c_char_p, c_char_p, OUTPUT, c_void_p, error),
        ("steer_push", c_void_p, c_void_p, c_char_p, c_char_p, POINTER(Array), error),
        ("steer_pull", c_void_p, c_void_p, c_char_p, c_char_p, error),
        ("steer_reduce", c_void_p, c_void_p, c_char_p, c_char_p, c_char_p, error),
        ("answer_array", c_int, POINTER(Answer), POINTER(Array), error),
        ("steer_interrupt", c_void_p, c_void_p, c_char_p, error),
        ("steer_subscribe", c_void_p, c_void_p, c_char_p, c_bool, OUTPUT, c_void_p, error),
    ):
        function = getattr(lib, f"ipp_{name}")
        function.restype, function.argtypes = result, arguments
    return lib


LIB = _load()


class SteerError(Exception):
    """What the library said: errno and text."""

    def __init__(self, error: Error) -> None:
        self.errno = ctypes.get_errno()
        super().__init__(error.text.decode())


def _optional(text: str | None) -> bytes | None:
    return None if text is None else text.encode()


class Steer:
    """A connection. Every call that fails raises SteerError."""

    def __init__(self, where: str | None, timeout_ms: int = 10000) -> None:
        self.error = Error()
        options = Options(None, b"test", timeout_ms)
        self.handle = LIB.ipp_steer_connect(_optional(where), options, self.error)
        if not self.handle:
            raise SteerError(self.error)
        self.callbacks: list[Any] = []

    def close(self) -> None:
        handle, self.handle = self.handle, None
        LIB.ipp_steer_close(handle)

    def __enter__(self) -> Steer:
        return self

    def __exit__(self, *exception: Any) -> None:
        self.close()

    def about(self) -> dict[str, Any]:
        return json.loads(LIB.ipp_steer_about(self.handle))

    def engines(self) -> list[int]:
        count = c_size_t()
        ids = LIB.ipp_steer_engines(self.handle, count)
        return [ids[i] for i in range(count.value)]

    def outstanding(self) -> int:
        return LIB.ipp_steer_outstanding(self.handle)

    def progress(self, timeout_ms: int) -> bool:
        result = LIB.ipp_steer_progress(self.handle, timeout_ms, self.error)
        if result < 0:
            raise SteerError(self.error)
        return bool(result)

    def _future(self, handle: int | None) -> Future:
        if not handle:
            raise SteerError(self.error)
        return Future(self, handle)

    def _output(self, fn: Callable[[int, str, dict[str, Any]], None] | None) -> Any:
        if fn is None:
            return OUTPUT()

        def call(output: Any, arg: Any) -> None:
            it = output.contents
            fn(it.engine, it.type.decode(), json.loads(it.content))

        callback = OUTPUT(call)
        self.callbacks.append(callback)
        return callback

    def execute(self, code: str, targets: str | None = None, on_output: Any = None) -> Future:
        return self._future(LIB.ipp_steer_execute(self.handle, _optional(targets), code.encode(),
                                                  self._output(on_output), None, self.error))

    def send(self, type: str, content: dict[str, Any] | None = None, channel: str | None = None,
             targets: str | None = None, metadata: dict[str, Any] | None = None) -> Future:
        request = Request(type.encode(), _optional(channel), _optional(targets),
                          None if content is None else json.dumps(content).encode(),
                          None if metadata is None else json.dumps(metadata).encode())
        return self._future(LIB.ipp_steer_send(self.handle, request, self.error))

    def push(self, name: str, array: Any, targets: str | None = None) -> Future:
        """`array`: a numpy array in C order."""
        shape = (c_int64 * array.ndim)(*array.shape)
        described = Array(array.dtype.str.encode(), array.ndim, shape,
                          Buffer(array.ctypes.data, array.nbytes))
        return self._future(LIB.ipp_steer_push(self.handle, _optional(targets), name.encode(),
                                               described, self.error))

    def pull(self, name: str, targets: str | None = None) -> Future:
        return self._future(LIB.ipp_steer_pull(self.handle, _optional(targets), name.encode(),
                                               self.error))

    def reduce(self, name: str, op: str, targets: str | None = None) -> Future:
        return self._future(LIB.ipp_steer_reduce(self.handle, _optional(targets), name.encode(),
                                                 op.encode(), self.error))

    def interrupt(self, targets: str | None = None) -> Future:
        return self._future(LIB.ipp_steer_interrupt(self.handle, _optional(targets), self.error))

    def subscribe(self, output: str, events: bool, fn: Any) -> Future:
        return self._future(LIB.ipp_steer_subscribe(self.handle, output.encode(), events,
                                                    self._output(fn), None, self.error))


class Future:
    """A request; destroyed by answers(), or by destroy()."""

    def __init__(self, steer: Steer, handle: int) -> None:
        self.steer = steer
        self.handle = handle

    def done(self) -> bool:
        return LIB.ipp_future_done(self.handle)

    def wait(self, timeout_ms: int = 30000) -> bool:
        result = LIB.ipp_future_wait(self.handle, timeout_ms, self.steer.error)
        if result < 0:
            raise SteerError(self.steer.error)
        return bool(result)

    def failure(self) -> str | None:
        text = LIB.ipp_future_failure(self.handle)
        return None if text is None else text.decode()

    def cancel(self) -> None:
        if LIB.ipp_future_cancel(self.handle, self.steer.error) < 0:
            raise SteerError(self.steer.error)

    def peek(self) -> list[tuple[int, int, dict[str, Any]]]:
        """(engine, status, content) of the answers that are there."""
        each = [LIB.ipp_future_answer(self.handle, i).contents
                for i in range(LIB.ipp_future_count(self.handle))]
        return [(a.engine, a.status, json.loads(a.content)) for a in each]

    def answers(self, timeout_ms: int = 30000) -> list[tuple[int, int, dict[str, Any]]]:
        """Waits, and returns what peek() does."""
        assert self.wait(timeout_ms), "no answer in time"
        answers = self.peek()
        self.destroy()
        return answers

    def arrays(self, timeout_ms: int = 30000, only_first: bool = False) -> list[Any]:
        """Waits, and returns copies of the arrays in the answers, or in the first one."""
        import numpy

        assert self.wait(timeout_ms), "no answer in time"
        arrays = []
        for i in range(1 if only_first else LIB.ipp_future_count(self.handle)):
            array = Array()
            if LIB.ipp_answer_array(LIB.ipp_future_answer(self.handle, i), array,
                                    self.steer.error) < 0:
                raise SteerError(self.steer.error)
            raw = ctypes.string_at(array.bytes.data, array.bytes.size)
            shape = [array.shape[k] for k in range(array.ndims)]
            arrays.append(numpy.frombuffer(raw, array.dtype.decode()).reshape(shape))
        self.destroy()
        return arrays

    def destroy(self) -> None:
        handle, self.handle = self.handle, None
        LIB.ipp_future_destroy(handle)

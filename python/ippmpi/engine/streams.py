# SPDX-License-Identifier: BSD-3-Clause
"""sys.stdout and sys.stderr of an engine: what is written goes to the current request's client."""

from __future__ import annotations

import codecs
import io
import os
import sys
import threading
from typing import Any

import _ippmpi_engine as engine


class Stream(io.TextIOBase):
    """A text stream that any thread may write to; C gathers and sends what it is given."""

    encoding = "utf-8"
    errors = "replace"
    newlines = None
    line_buffering = False
    write_through = True
    mode = "w"

    def __init__(self, stream: str, fd: int) -> None:
        self._stream = stream
        self._fd = fd
        self.name = f"<{stream}>"
        self.buffer = Bytes(self)

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        engine.write(self._stream, text)
        return len(text)

    def flush(self) -> None:
        engine.flush()

    def close(self) -> None:
        """Nothing: the next request writes here too."""

    def fileno(self) -> int:
        return self._fd

    def isatty(self) -> bool:
        return False

    def writable(self) -> bool:
        return True

    def reconfigure(self, **_settings: Any) -> None:
        """Accepted, as nothing of it matters here: see `io.TextIOWrapper.reconfigure`."""


class Bytes(io.BufferedIOBase):
    """`sys.stdout.buffer`: decodes UTF-8 and writes it to the text stream `raw`."""

    mode = "wb"

    def __init__(self, text: Stream) -> None:
        self._text = text
        self._lock = threading.Lock()
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self.name = text.name

    def write(self, data: Any) -> int:
        view = memoryview(data)
        with self._lock:
            self._text.write(self._decoder.decode(view.tobytes()))
        return view.nbytes

    def flush(self) -> None:
        self._text.flush()

    def close(self) -> None:
        """Nothing: the next request writes here too."""

    def fileno(self) -> int:
        return self._text.fileno()

    def isatty(self) -> bool:
        return False

    def writable(self) -> bool:
        return True


def install() -> None:
    """Put the streams in place; a forked child gets plain ones on descriptors 1 and 2."""
    sys.stdin = open(os.devnull, encoding="utf-8")
    sys.stdout = Stream("stdout", 1)  # type: ignore[assignment]
    sys.stderr = Stream("stderr", 2)  # type: ignore[assignment]
    os.register_at_fork(after_in_child=_plain)


def _plain() -> None:
    """C's comm thread does not live in a forked child, but C reads the descriptors it inherits."""
    sys.stdout = open(1, "w", buffering=1, errors="replace", closefd=False)
    sys.stderr = open(2, "w", buffering=1, errors="replace", closefd=False)

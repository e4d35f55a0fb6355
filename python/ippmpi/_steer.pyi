# SPDX-License-Identifier: BSD-3-Clause
# libippsteer for Python threads. Any thread may call anything; whoever waits drives.
from typing import Any, Sequence

OK: int
ERROR: int
ABORTED: int

class Connection:
    """OSError (by errno: FileNotFoundError, PermissionError, TimeoutError, ...) with a text."""

    def __init__(
        self,
        where: str | None = None,
        profile: str | None = None,
        client: str | None = None,
        timeout_ms: int = 0,
    ) -> None: ...
    @property
    def closed(self) -> bool: ...
    def about(self) -> str: ...
    def engines(self) -> list[int]: ...
    def close(self) -> None: ...

class Queue:
    """Where requests get ready. One thread at a time waits in it.

    A background queue gives way to others, and keeps its requests alive until they are done."""

    def __init__(self, connection: Connection, background: bool = False) -> None: ...
    @property
    def outstanding(self) -> int: ...
    def send(
        self,
        type: str,
        channel: str | None,
        targets: str | None,
        content: str | None,
        metadata: str | None = None,
        buffers: Sequence[Any] | None = None,
        output: bool = False,
        tag: object = None,
    ) -> Request:
        """Buffers are lent, not copied: C-contiguous, unchanged until the request is done.
        ValueError, OSError."""
    def get(self, timeout: float | None) -> Request | None:
        """The next request that is done or has output; None after `timeout` seconds, after
        nudge(), or when nothing is outstanding."""
    def nudge(self) -> None: ...

class Request:
    @property
    def done(self) -> bool: ...
    @property
    def failure(self) -> str | None: ...
    @property
    def tag(self) -> Any: ...
    def answers(self) -> list[tuple[int, int, str, list[memoryview]]]: ...
    def count(self) -> int: ...
    def take_outputs(self) -> list[tuple[int, str, str, str, list[bytes], int]]: ...
    def cancel(self) -> bool: ...
    def interrupt(self) -> bool: ...

class Buffer: ...

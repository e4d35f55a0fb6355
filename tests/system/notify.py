# SPDX-License-Identifier: BSD-3-Clause
"""The receiving end of NOTIFY_SOCKET (sd_notify(3)): how a cluster says that it is ready."""
from __future__ import annotations

import select
import socket
import time
from typing import Callable


class NotifySocket:
    """A bound Unix datagram socket at `path`, to be handed to a child as NOTIFY_SOCKET."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.received: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.bind(path)

    def wait(self, line: str, seconds: float, alive: Callable[[], bool]) -> bool:
        """True when `line` has come; False when alive() turned false or the time is over."""
        deadline = time.monotonic() + seconds
        while line not in self.received:
            left = deadline - time.monotonic()
            if left <= 0 or not alive():
                return False
            readable, _, _ = select.select([self._socket], [], [], min(left, 0.1))
            if readable:
                self.received += self._socket.recv(65536).decode().splitlines()
        return True

    def close(self) -> None:
        self._socket.close()

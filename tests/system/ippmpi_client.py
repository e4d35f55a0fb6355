# SPDX-License-Identifier: BSD-3-Clause
"""ippmpi from source and build tree for tests, and a network between it and a cluster that breaks."""
from __future__ import annotations

import json
import os
import socket
import sys
import threading
from typing import Any

from ipp_cluster import TOP, ipp_engine

BUILD = os.path.dirname(ipp_engine())
FOLDERS = [os.path.join(TOP, "python"), os.path.join(BUILD, "python")]
sys.path[:0] = [folder for folder in FOLDERS if folder not in sys.path]

import ippmpi  # noqa: E402


def environment() -> dict[str, str]:
    """For a Python of its own that imports ippmpi."""
    path = os.pathsep.join([*FOLDERS, os.path.dirname(os.path.abspath(__file__))])
    return {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}


def changed_file(cluster: Any, name: str, **steering: Any) -> str:
    """A copy of the cluster's connection file with other values in its `steering`."""
    with open(cluster.connection_file) as file:
        info = json.load(file)
    info["ippmpi"]["steering"].update(steering)
    path = os.path.join(cluster.dir, name)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(info, file)
    return path


class Network:
    """A TCP proxy to the steering port, which can be cut, and fall silent."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._lock = threading.Lock()
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self.connections = 0
        self.bytes_back = 0  # to clients
        self._flows = threading.Event()
        self._flows.set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Every connection breaks, with what is on its way; new ones can be made."""
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for pair in pairs:
            for end in pair:
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def hush(self) -> None:
        """Nothing passes any more, either way, on any connection; none is closed."""
        self._flows.clear()

    def resume(self) -> None:
        """What was held back passes, where its connection was not cut meanwhile."""
        self._flows.set()

    def close(self) -> None:
        self._listener.close()
        self.cut()
        self.resume()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(("127.0.0.1", self._to))
            except OSError:
                near.close()
                continue
            with self._lock:
                self._pairs.append((near, far))
                self.connections += 1
            for args in ((near, far, False), (far, near, True)):
                threading.Thread(target=self._pump, args=args, daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, back: bool) -> None:
        try:
            while data := source.recv(65536):
                self._flows.wait()
                self.bytes_back += len(data) if back else 0
                sink.sendall(data)
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


def steering_port(cluster: Any) -> int:
    with open(cluster.connection_file) as file:
        return int(json.load(file)["ippmpi"]["steering"]["port"])


__all__ = ["Network", "changed_file", "environment", "ippmpi", "steering_port"]

# SPDX-License-Identifier: BSD-3-Clause
"""A real sshd on loopback, for the user who runs the tests, and an `ssh` that gets in there."""
from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
from contextlib import contextmanager
from typing import Iterator

import procs

SSHD = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:" + os.environ.get("PATH", ""))


class Sshd:
    """`port` is where it listens; `path`: a PATH whose ssh knows its keys."""

    def __init__(self, folder: str, remote_env: dict[str, str]) -> None:
        self.folder = folder
        self.port = self._free_port()
        self.path = os.path.join(folder, "bin") + os.pathsep + os.environ["PATH"]
        self.allowed = self._file("allowed")
        for name in ("host", "user"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self._file(name)],
                           check=True, stdin=subprocess.DEVNULL)
        shutil.copy(self._file("user.pub"), self.allowed)
        self._write("sshd_config", f"Port {self.port}\nListenAddress 127.0.0.1\n"
                    f"HostKey {self._file('host')}\nAuthorizedKeysFile {self.allowed}\n"
                    f"PidFile {self._file('pid')}\nStrictModes no\nUsePAM no\nPermitRootLogin yes\n"
                    "PasswordAuthentication no\nKbdInteractiveAuthentication no\nPrintMotd no\n"
                    "SetEnv " + " ".join(f"{key}={value}" for key, value in remote_env.items()) + "\n")
        self._write("ssh_config", f"IdentityFile {self._file('user')}\nIdentitiesOnly yes\n"
                    f"UserKnownHostsFile {self._file('known')}\nGlobalKnownHostsFile /dev/null\n"
                    "StrictHostKeyChecking accept-new\n")
        os.mkdir(self._file("bin"))
        ssh = shutil.which("ssh")
        self._write("bin/ssh", f'#!/bin/sh\nexec {ssh} -F {self._file("ssh_config")} "$@"\n', 0o755)

    @staticmethod
    def _free_port() -> int:
        with socket.create_server(("127.0.0.1", 0)) as server:
            return int(server.getsockname()[1])

    def _file(self, name: str) -> str:
        return os.path.join(self.folder, name)

    def _write(self, name: str, text: str, mode: int = 0o600) -> None:
        with open(self._file(name), "w") as file:
            file.write(text)
        os.chmod(self._file(name), mode)

    def url(self, cluster_id: str = "") -> str:
        return f"ssh://{getpass.getuser()}@127.0.0.1:{self.port}/{cluster_id}"

    def listens(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True

    def refuse_all(self) -> None:
        """No key is let in any more."""
        os.truncate(self.allowed, 0)

    @contextmanager
    def running(self) -> Iterator[None]:
        if os.geteuid() == 0:
            os.makedirs("/run/sshd", 0o755, exist_ok=True)  # where Debian's puts its children
        assert SSHD is not None
        with open(self._file("log"), "wb") as log:
            daemon = subprocess.Popen([SSHD, "-D", "-e", "-f", self._file("sshd_config")],
                                      stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            procs.wait_until(self.listens, 10, "sshd listens")
            yield
        finally:
            daemon.terminate()
            daemon.wait(10)

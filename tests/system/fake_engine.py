#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Stands in for ipp-engine where a test needs one that misbehaves; FAKE_ENGINE says how:

ready      start and end as they should be (default)
silent     never ready
refuse     rank 0 reports a fatal error by NOTIFY_SOCKET and all stay
exit       all ranks end with code 3 at once
stubborn   ready, but SIGTERM is ignored by all ranks

No MPI: a rank is known by what mpirun puts into the environment, the end is told by a file."""
from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time

RANK = int(os.environ.get("OMPI_COMM_WORLD_RANK") or os.environ.get("PMI_RANK") or 0)
RANKS = int(os.environ.get("OMPI_COMM_WORLD_SIZE") or os.environ.get("PMI_SIZE") or 1)
MODE = os.environ.get("FAKE_ENGINE", "ready")
PORTS = ("registration", "control", "mux", "task", "broadcast", "iopub", "notification")


def option(name: str, default: str) -> str:
    prefix = f"--{name}="
    return next((arg[len(prefix):] for arg in sys.argv if arg.startswith(prefix)), default)


def connection_path() -> str:
    cluster_id = option("cluster-id", "")
    name = "ipcontroller" + (f"-{cluster_id}" if cluster_id else "") + "-client.json"
    return os.path.join(os.environ["IPYTHONDIR"], "profile_" + option("profile", "default"), "security", name)


def write_connection_file(path: str) -> None:
    record = {"ssh": "", "interface": "tcp://127.0.0.1", "location": socket.gethostname(), "key": "0" * 48,
              "pack": "json", "unpack": "json", "signature_scheme": "hmac-sha256", "task_scheme": "leastload",
              "ippmpi": {"version": "0", "pid": os.getpid(), "engines": RANKS - 2,
                         "cluster_id": option("cluster-id", ""), "python": "",
                         "steering": {"protocol": 1, "port": 1023, "ipc": "", "server_key": "0" * 40,
                                      "public_key": "0" * 40, "secret_key": "0" * 40}},
              **{name: 1024 + i for i, name in enumerate(PORTS)}}
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    with open(path + ".new", "w") as file:
        json.dump(record, file)
    os.rename(path + ".new", path)


def notify(text: str) -> None:
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.sendto(text.encode(), "\0" + address[1:] if address[0] == "@" else address)


def serve_until_told(over: str) -> None:
    """Rank 0 leaves at SIGTERM and tells the others by the file `over`."""
    told = []
    signal.signal(signal.SIGTERM, lambda *_: None if MODE == "stubborn" else told.append(1))
    if RANK == 0:
        write_connection_file(connection_path())
        print(f"fake engine: {RANKS - 2} engines ready", file=sys.stderr, flush=True)
        notify(f"READY=1\nSTATUS={RANKS - 2} engines ready\n")
    while not told and not (RANK > 0 and os.path.exists(over)):
        time.sleep(0.02)
    if RANK == 0:
        os.unlink(connection_path())
        with open(over, "w"):
            pass


def main() -> int:
    print(f"fake engine: rank {RANK} of {RANKS}, {MODE}", file=sys.stderr, flush=True)
    if MODE == "exit":
        return 3
    if MODE == "refuse" and RANK == 0:
        notify("STATUS=cannot listen on 192.0.2.1: Cannot assign requested address\nERRNO=99\n")
    if MODE in ("silent", "refuse"):
        signal.pause()
    serve_until_told(f"{connection_path()}.{os.environ.get('IPPMPI_CLUSTER_MARK', '')}.over")
    return 0


if __name__ == "__main__":
    sys.exit(main())

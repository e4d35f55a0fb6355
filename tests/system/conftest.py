# SPDX-License-Identifier: BSD-3-Clause
"""Fixtures of the system tests: a shared cluster, a client per test, time limits, logs."""
from __future__ import annotations

import faulthandler
import os
import signal
import sys
import time
import warnings
from typing import Any, Iterator

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
warnings.filterwarnings("ignore")

import ipyparallel  # noqa: E402
import pytest  # noqa: E402

import cluster as cluster_door  # noqa: E402
import procs  # noqa: E402
from cluster import BACKEND, Cluster, make_cluster  # noqa: E402

SHARED_ENGINES = 4
LIMIT_SECONDS = 60
LOG_TAIL = 12000


def pytest_configure() -> None:
    """A run that is told to end takes its clusters with it; one in the background has inherited that
    SIGINT is ignored, which what it starts must not."""

    def on_sigterm(signum: int, frame: Any) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, on_sigterm)
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for name, backend in (("ours_only", "ours"), ("peer_only", "peer")):
            mark = item.get_closest_marker(name)
            if mark is not None and backend != BACKEND:
                item.add_marker(pytest.mark.skip(reason=mark.args[0]))


class TooSlow(Exception):
    """A test has used up its time."""


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """A stuck test gets an exception where it stands; one that swallows it ends the whole run."""
    mark = item.get_closest_marker("limit")
    limit = mark.args[0] if mark is not None else LIMIT_SECONDS
    offsets = {each.token: len(each.log().encode()) for each in cluster_door.recent}
    item.stash[STARTED] = (time.monotonic(), offsets)

    def on_alarm(signum: int, frame: Any) -> None:
        raise TooSlow(f"{item.nodeid} took more than {limit} s")

    signal.signal(signal.SIGALRM, on_alarm)
    signal.setitimer(signal.ITIMER_REAL, limit, 30)
    faulthandler.dump_traceback_later(limit + 90, exit=True)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    faulthandler.cancel_dump_traceback_later()


STARTED = pytest.StashKey[tuple[float, dict[str, int]]]()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: Any) -> Iterator[None]:
    """The logs of all ranks go with a failed test."""
    outcome = yield
    report = outcome.get_result()
    if not report.failed:
        return
    if "shared" in getattr(item, "funcargs", {}):
        item.funcargs["shared"].suspect = True  # type: ignore[attr-defined]
    since, offsets = item.stash[STARTED]
    for each in cluster_door.recent:
        if each.stopped_at is None or each.stopped_at > since:
            text = each.log(offsets.get(each.token, 0))[-LOG_TAIL:]
            report.sections.append((f"log of the cluster with {each.n} engines", text))


class Shared:
    """The cluster that most tests use; started again when a test has failed: it may have left an
    engine busy for ever."""

    def __init__(self) -> None:
        self.cluster: Cluster | None = None
        self.suspect = False

    def get(self) -> Cluster:
        if self.cluster is not None and (self.suspect or not self.cluster.alive()):
            self.stop(check=False)
        self.suspect = False
        if self.cluster is None:
            self.cluster = make_cluster(SHARED_ENGINES)
            try:
                self.cluster.start()
            except BaseException:
                self.stop(check=False)
                raise
        return self.cluster

    def stop(self, check: bool = True) -> None:
        cluster, self.cluster = self.cluster, None
        if cluster is not None:
            cluster.stop(check)


@pytest.fixture(scope="session")
def shared() -> Iterator[Shared]:
    holder = Shared()
    yield holder
    holder.stop()


@pytest.fixture
def cluster(shared: Shared) -> Cluster:
    """A running cluster of four engines, shared with other tests."""
    return shared.get()


def settle(client: ipyparallel.Client) -> None:
    """Returns when the client hears iopub: its subscription may come after its first request."""
    asked: list[Any] = []
    while not any(each.wait_for_output(0) for each in asked):
        asked.append(client[0].apply_async(int))
        asked[-1].wait_for_output(0.5)


@pytest.fixture
def rc(shared: Shared, cluster: Cluster) -> Iterator[ipyparallel.Client]:
    """A client of the shared cluster with all engines idle and empty."""
    client = cluster.client()
    assert sorted(client.ids) == list(range(SHARED_ENGINES))
    settle(client)
    yield client
    try:
        client.clear(block=False)
        settled = client[:].apply_async(int)
        settled.wait(10)
        healthy = settled.ready() and len(client.ids) == SHARED_ENGINES
    except Exception:
        healthy = False
    cluster.drop(client)
    if not healthy:
        shared.stop(check=False)


class Gate:
    """Holds engines until the test opens it: remote code calls remote.pass_gate(gate.path)."""

    def __init__(self, path: str) -> None:
        self.path = path

    def open(self) -> None:
        with open(self.path, "w"):
            pass


@pytest.fixture
def gate(tmp_path: Any) -> Iterator[Gate]:
    made = Gate(str(tmp_path / "gate"))
    yield made
    made.open()


@pytest.fixture
def network(cluster: Cluster) -> Iterator[Any]:
    """A network on the way to the cluster's steering port."""
    from ippmpi_client import Network, steering_port

    made = Network(steering_port(cluster))
    yield made
    made.close()


@pytest.fixture
def remote(cluster: Cluster, network: Any) -> Iterator[Any]:
    """An ippmpi client that connects by the network."""
    from ippmpi_client import changed_file, ippmpi

    path = changed_file(cluster, "by-network.json", ipc="", port=network.port)
    with ippmpi.connect(path) as client:
        client.echo = False
        yield client


@pytest.fixture
def soon() -> Any:
    """wait_until() under the name that tests use."""
    return procs.wait_until

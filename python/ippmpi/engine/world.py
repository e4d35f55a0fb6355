# SPDX-License-Identifier: BSD-3-Clause
"""mpi4py in an engine: its COMM_WORLD is the engines' communicator, and its MPI is the engine's."""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

import _ippmpi_engine as engine

from . import imports

# What an extension that was linked with an MPI names as needed. Upstream MPICH and its relatives
# (Intel MPI, MVAPICH, Cray) share libmpi.so.12; Open MPI has counted on.
_LIBRARIES = {
    "mpich": (b"libmpich.so", b"libmpi.so.12", b"libmpi_cray.so", b"libmpi_gnu"),
    "openmpi": (b"libmpi.so.20", b"libmpi.so.40", b"libmpi.so.80"),
}


def install() -> None:
    """Watch for mpi4py."""
    imports.before("mpi4py.MPI", _refuse_foreign)
    imports.after("mpi4py.MPI", _adopt)


def task_comm() -> Any:
    """The mpi4py communicator of the engines that run this task together (`executor(width=n)`).

    Collective: the first time all of them have to call it. Its ranks are in the order of the
    engines' ids. It ends with the task, and is not to be freed. Of a task that one engine runs it
    has that one alone. ImportError where there is no mpi4py for the engines' MPI.
    """
    from mpi4py import MPI

    comm = MPI.Intracomm()
    engine.store_task_comm(MPI._addressof(comm))
    return comm


def flavour(path: str) -> str | None:
    """The MPI that the extension module at `path` was built for, if the file tells."""
    try:
        with open(path, "rb") as file:
            content = file.read()
    except OSError:
        return None
    for name, libraries in _LIBRARIES.items():
        if any(library in content for library in libraries):
            return name
    return None


def _refuse_foreign(spec: ModuleSpec) -> None:
    """Two MPI libraries in one process crash it; so see before the second one is loaded."""
    rc = sys.modules["mpi4py"].rc  # type: ignore[attr-defined]
    rc.initialize = rc.finalize = False  # the engine does both
    built_for = flavour(spec.origin) if spec.origin else None
    if built_for and engine.mpi in _LIBRARIES and built_for != engine.mpi:
        raise ImportError(
            f"this mpi4py was built for {built_for}, but the engines run on {engine.mpi}:"
            f" install an mpi4py for {engine.mpi} in the engines' Python, or start engines that"
            f" were built with {built_for} ({spec.origin})",
            name=spec.name,
            path=spec.origin,
        )


def _adopt(mpi: ModuleType) -> None:
    """Patched in place, so that whoever has taken or will take COMM_WORLD sees the engines."""
    engine.adopt_world(mpi._addressof(mpi.COMM_WORLD))  # type: ignore[attr-defined]
    if mpi.Is_initialized() and sys.modules["mpi4py"].rc.errors == "exception":  # type: ignore
        mpi.COMM_WORLD.Set_errhandler(mpi.ERRORS_RETURN)  # type: ignore[attr-defined]

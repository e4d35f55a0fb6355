# SPDX-License-Identifier: BSD-3-Clause
"""The extension module `_steer`, beside this file or in a build tree's `ippmpi` on sys.path."""

from __future__ import annotations

import platform
import sys
from pkgutil import extend_path

import ippmpi

ippmpi.__path__ = extend_path(ippmpi.__path__, ippmpi.__name__)


def _explained(error: ImportError) -> ImportError:
    """What to do about a compiled half that is missing, or was made for another machine."""
    here = f"{platform.python_implementation()} {platform.python_version()}, {platform.machine()}"
    if isinstance(error, ModuleNotFoundError):
        return ModuleNotFoundError(
            f"the compiled half of ippmpi is not installed for this Python ({here}):"
            " `make install` puts it beside this package; in a build tree, put the build folder's"
            " `python` on PYTHONPATH too. It needs CPython 3.11 or later",
            name=error.name,
        )
    return ImportError(
        f"the compiled half of ippmpi does not fit this Python ({here}): {error}. It was built for"
        f" another Python, machine or libzmq: configure it here with PYTHON3={sys.executable},"
        " `make` and `make install`",
        name=error.name,
        path=error.path,
    )


try:
    from ippmpi._steer import ABORTED, ERROR, OK, Connection, Queue, Request
except ImportError as error:
    if error.name != "ippmpi._steer" and isinstance(error, ModuleNotFoundError):
        raise
    raise _explained(error) from None

__all__ = ["ABORTED", "ERROR", "OK", "Connection", "Queue", "Request"]

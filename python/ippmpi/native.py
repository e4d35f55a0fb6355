# SPDX-License-Identifier: BSD-3-Clause
"""The extension module `_steer`, beside this file or in a build tree's `ippmpi` on sys.path."""

from __future__ import annotations

from pkgutil import extend_path

import ippmpi

ippmpi.__path__ = extend_path(ippmpi.__path__, ippmpi.__name__)

try:
    from ippmpi._steer import ABORTED, ERROR, OK, Connection, Queue, Request
except ModuleNotFoundError as missing:
    if missing.name != "ippmpi._steer":
        raise
    raise ModuleNotFoundError(
        "the compiled half of ippmpi is not installed: `make install` puts it beside this package;"
        " in a build tree, put the build folder's `python` on PYTHONPATH too"
        " (it needs CPython 3.11 or later)",
        name=missing.name,
    ) from None

__all__ = ["ABORTED", "ERROR", "OK", "Connection", "Queue", "Request"]

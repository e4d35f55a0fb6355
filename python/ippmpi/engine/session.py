# SPDX-License-Identifier: BSD-3-Clause
"""A jupyter_client Session without a socket: what ipykernel sends goes to C, which frames it."""

from __future__ import annotations

from typing import Any

import _ippmpi_engine as engine
from jupyter_client.jsonutil import json_default
from jupyter_client.session import Session

from .messages import to_json


class EngineSession(Session):
    """Sends every message as an iopub message of the current request."""

    def send(
        self,
        stream: Any,
        msg_or_type: dict[str, Any] | str,
        content: Any = None,
        parent: Any = None,
        ident: Any = None,
        buffers: Any = None,
        track: bool = False,
        header: Any = None,
        metadata: Any = None,
    ) -> dict[str, Any]:
        """Publish a message; parent, ident and header are C's to make. Returns the message."""
        if isinstance(msg_or_type, str):
            message = self.msg(msg_or_type, content, parent, header, metadata)
        else:
            message = msg_or_type
            buffers = buffers or message.get("buffers")
        engine.publish(
            message["header"]["msg_type"],
            to_json(message["content"] or {}, json_default),
            to_json(message["metadata"] or {}, json_default),
            list(buffers or ()),
        )
        return message

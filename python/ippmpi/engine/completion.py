# SPDX-License-Identifier: BSD-3-Clause
"""complete_request and is_complete_request: help for who types code."""

from __future__ import annotations

import codeop
import json
import rlcompleter
import warnings
from typing import Any, Sequence

from . import interrupt, shell
from .messages import to_json

_INDENT = " " * 4
_WORD = set("_.") | set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
_MATCHES_AT_MOST = 1000


def complete(request: Any, namespace: dict[str, Any]) -> tuple[str, bytes, Sequence[Any]]:
    """Names that complete the code at the cursor, as IPython finds them where there is one."""
    content = json.loads(request.content)
    code = content["code"]
    cursor = content.get("cursor_pos")
    cursor = len(code) if cursor is None else max(0, min(cursor, len(code)))
    find = _by_shell if _has_shell() else _by_words
    matches, start, end = interrupt.call_user(find, code, cursor, namespace)
    answer = {
        "status": "ok",
        "matches": matches[:_MATCHES_AT_MOST],
        "cursor_start": start,
        "cursor_end": end,
        "metadata": {},
    }
    return "ok", to_json(answer), []


def _by_shell(code: str, cursor: int, namespace: dict[str, Any]) -> tuple[list[str], int, int]:
    from IPython.core.completer import provisionalcompleter, rectify_completions

    with provisionalcompleter(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        raw = shell.get().Completer.completions(code, cursor)
        found = list(rectify_completions(code, raw))
    if not found:
        return [], cursor, cursor
    matches = list(dict.fromkeys(completion.text for completion in found))
    return matches, found[0].start, found[0].end


def _by_words(code: str, cursor: int, namespace: dict[str, Any]) -> tuple[list[str], int, int]:
    start = cursor
    while start > 0 and (code[start - 1] in _WORD or code[start - 1].isidentifier()):
        start -= 1
    word = code[start:cursor]
    if not word:
        return [], cursor, cursor
    completer = rlcompleter.Completer(namespace)
    find = completer.attr_matches if "." in word else completer.global_matches
    return sorted({match.rstrip("() ") for match in find(word)}), start, cursor


def is_complete(request: Any, namespace: dict[str, Any]) -> tuple[str, bytes, Sequence[Any]]:
    """Whether code can run as it is, needs more lines, or is wrong."""
    code = json.loads(request.content)["code"]
    status, indent = interrupt.call_user(_judge, code)
    told = {"status": status}
    if status == "incomplete":
        told["indent"] = indent
    return "ok", to_json(told), []


def _judge(code: str) -> tuple[str, str]:
    if _has_shell():
        status, spaces = shell.get().input_transformer_manager.check_complete(code)
        return status, " " * (spaces or 0)
    last = code.rstrip("\n").rpartition("\n")[2]
    indent = last[: len(last) - len(last.lstrip())]
    opens = last.rstrip().endswith(":")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            whole = codeop.compile_command(code, "<input>", "exec") is not None
    except (SyntaxError, OverflowError, ValueError):
        return "invalid", ""
    if whole and (not indent or code.endswith("\n")):  # an empty line ends a block, as at a prompt
        return "complete", ""
    return "incomplete", indent + _INDENT * opens


def _has_shell() -> bool:
    try:
        shell.get()
    except ImportError:
        return False
    return True

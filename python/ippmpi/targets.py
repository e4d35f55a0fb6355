# SPDX-License-Identifier: BSD-3-Clause
"""Which engines: what stands between a client's brackets, as docs/protocol.md spells targets."""

from __future__ import annotations

import operator
import re
from typing import Any, Container, Iterable, NamedTuple, Sequence, Union

Key = Union[int, slice, str, Iterable[int]]
_RANGE = re.compile(r"[0-9]+(-[0-9]+)?")


class Targets(NamedTuple):
    """`spec` goes to the bridge; `one` is true where answers are no list."""

    spec: str
    one: bool


def select(key: Key, ids: Sequence[int], names: Container[str] = ()) -> Targets:
    """`key` of `client[key]`, `ids` being the living engines in ascending order.

    An integer is an engine's id (negative: counted from the last one); a slice selects among the
    living ones, `[:]` means all that live when a request arrives; a string lists ids, ranges and
    `names` of groups and hosts. IndexError where an engine or group is not there, ValueError for a string that is no
    list of them, TypeError for other keys.
    """
    if isinstance(key, str):
        spec = key.strip() or "all"
        for part in map(str.strip, spec.split(",")):
            _check(part, ids, names)
        return Targets(spec, spec.isdecimal())
    if isinstance(key, slice):
        if key == slice(None):
            return Targets("all", False)
        return Targets(_listed(ids[key], f"no engine in {_text(key)}"), False)
    if isinstance(key, Iterable):
        return Targets(
            _listed([_id(_number(each), ids) for each in key], "no engine is named"), False
        )
    return Targets(str(_id(_number(key), ids)), True)


def _check(part: str, ids: Sequence[int], names: Container[str]) -> None:
    if part == "all" or part in names:
        return
    wrong = None
    if not part:
        wrong = "it has an empty part"
    elif part[0] == "-":
        wrong = "an id cannot be negative"
    elif not _RANGE.fullmatch(part):
        raise IndexError(f"there is no group {part!r} of engines, and no host")
    else:
        first, last = bounds(part)
        if last < first:
            wrong = "a range in it runs backwards"
        for number in range(first, last + 1):
            _id(number, ids)
    if wrong:
        raise ValueError(f"{part!r} in a list of engines: {wrong}")


def bounds(part: str) -> tuple[int, int]:
    """The first and the last id of "3" or "0-3"; ValueError for what is neither."""
    first, _, last = part.partition("-")
    return int(first), int(last or first)


def _number(key: Any) -> int:
    """An integer; True and False are none here, for who says them means something else."""
    if not isinstance(key, bool):
        try:
            return operator.index(key)
        except TypeError:
            pass
    raise TypeError(
        "engines are chosen by an id, a slice, a list of ids or a string like '0-3,7' or 'ocean',"
        f" not by {type(key).__name__}"
    )


def _id(number: int, ids: Sequence[int]) -> int:
    if number < 0 and -number <= len(ids):
        return ids[number]
    if number not in ids:
        living = f"the living ones are {compress(ids)}" if ids else "none is alive"
        raise IndexError(f"there is no engine {number}: {living}")
    return number


def _listed(ids: Sequence[int], otherwise: str) -> str:
    if not ids:
        raise IndexError(otherwise)
    return compress(ids)


def _text(key: slice) -> str:
    parts = ["" if part is None else str(part) for part in (key.start, key.stop)]
    return f"[{':'.join(parts)}{'' if key.step is None else f':{key.step}'}]"


def compress(ids: Iterable[int]) -> str:
    """compress([0, 1, 2, 7]) is "0-2,7"."""
    ranges: list[list[int]] = []
    for each in sorted(set(ids)):
        if ranges and each == ranges[-1][1] + 1:
            ranges[-1][1] = each
        else:
            ranges.append([each, each])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in ranges)

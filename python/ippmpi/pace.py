# SPDX-License-Identifier: BSD-3-Clause
"""How many tasks travel together, from how long they were measured to take. Pure: time is told."""

from __future__ import annotations

BATCH_S = 0.02  # what a batch should take an engine: many times what it costs to send one
SHARES = 3  # parts per engine into which what is left is cut: the last ones are small
ITEMS_AT_MOST = 20_000
BYTES_AT_MOST = 1 << 20


class Pace:
    """Sizes of batches, and how many of them may be on their way."""

    def __init__(self) -> None:
        self.item_s: float | None = None  # an engine's time for one task; None: not measured
        self.item_bytes = 0.0
        self._weight = 0
        self._free_since: dict[int, float] = {}

    def size(self, waiting: int, engines: int) -> int:
        """How many of `waiting` tasks the next batch takes: at least 1.

        One while nothing is known; few at the end, so that engines finish together.
        """
        if self.item_s is None:
            return 1
        by_time = int(BATCH_S / max(self.item_s, 1e-9))
        by_share = -(-waiting // (SHARES * max(1, engines)))
        by_bytes = int(BYTES_AT_MOST / self.item_bytes) if self.item_bytes else ITEMS_AT_MOST
        return max(1, min(by_time, by_share, by_bytes, ITEMS_AT_MOST))

    def in_flight(self, engines: int) -> int:
        """How many batches may be on their way; the rest can still be cancelled.

        Two for each engine: the next one is there when one ends. With tasks that take long one
        more than engines: whoever is free first gets it.
        """
        if self.item_s is None or self.item_s > BATCH_S:
            return engines + 1
        return 2 * engines

    def done(self, engine: int, items: int, nbytes: int, sent: float, now: float) -> None:
        """A batch of so many tasks and bytes came back, which was sent at `sent` (seconds)."""
        since = max(sent, self._free_since.get(engine, sent))
        self._free_since[engine] = now
        seconds = max(now - since, 0.0)
        # what was measured last, on as many tasks, counts as much as all before
        weight = min(self._weight, items)
        known = self.item_s if self.item_s is not None else 0.0
        self.item_s = (known * weight + seconds) / (weight + items)
        self.item_bytes = (self.item_bytes * weight + nbytes) / (weight + items)
        self._weight = weight + items

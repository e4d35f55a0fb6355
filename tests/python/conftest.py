# SPDX-License-Identifier: BSD-3-Clause
"""Fixtures: an engine shared by a module's tests, and a fresh one for a single test."""

import sys
import types
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from fake_engine import ROOM, Engine  # noqa: E402

sys.path.insert(1, str(ROOM))
sys.modules["_ippmpi_engine"] = types.ModuleType("_ippmpi_engine")  # for units in this process


@pytest.fixture(scope="module")
def engine():
    with Engine() as started:
        yield started


@pytest.fixture
def fresh():
    with Engine() as started:
        yield started

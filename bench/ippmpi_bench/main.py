# SPDX-License-Identifier: BSD-3-Clause
"""The command line of bench/run."""
from __future__ import annotations

import argparse
import json
import warnings

from . import calls, footprint, bulk, scaling, steering, c_tasks  # noqa: F401  (they register, in this order)
from .sides import Bench
from .table import FIGURES


def main(argv: list[str]) -> int:
    warnings.filterwarnings("ignore")
    parser = argparse.ArgumentParser(prog="bench/run", description="Figures of speed and cost.")
    parser.add_argument("--list", action="store_true", help="the names and what they must reach")
    parser.add_argument("names", metavar="NAME", nargs="*", help="a figure; without names: all")
    args = parser.parse_args(argv)
    if args.list:
        for each in FIGURES.values():
            print(f"{each.name:28} {each.must or '-':8} {each.unit:28} {each.doc}")
        return 0
    unknown = [name for name in args.names if name not in FIGURES]
    if unknown:
        parser.error(f"no figure of the name {', '.join(unknown)}; bench/run --list shows them")
    bench, fine = Bench(), True
    try:
        for name in args.names or FIGURES:
            try:
                row = FIGURES[name].row(FIGURES[name].measure(bench))
            except Exception as problem:
                row = FIGURES[name].failed(problem)
                bench.stop()
            fine = fine and row["ok"]
            print(json.dumps(row), flush=True)
    finally:
        bench.stop()
    return 0 if fine else 1

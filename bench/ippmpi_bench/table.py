# SPDX-License-Identifier: BSD-3-Clause
"""The table of figures, and what one line of output says."""
from __future__ import annotations

import operator
from dataclasses import dataclass, field
from typing import Any, Callable

OPERATORS: dict[str, Callable[[float, float], bool]] = {"<=": operator.le, ">=": operator.ge}


@dataclass
class Outcome:
    """A measured value, and what the peer or the limit gave in the same run."""

    value: float
    beside: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Figure:
    """must and aim read like "<= 0.5"; None where nothing is asked."""

    name: str
    unit: str
    must: str | None
    aim: str | None
    measure: Callable[[Any], Outcome]

    @property
    def doc(self) -> str:
        return (self.measure.__doc__ or "").strip().splitlines()[0]

    def row(self, outcome: Outcome) -> dict[str, Any]:
        return {
            "name": self.name,
            "value": rounded(outcome.value),
            "unit": self.unit,
            "must": self.must,
            "aim": self.aim,
            "beside": rounded(outcome.beside),
            "ok": self.must is None or holds(outcome.value, self.must),
        }

    def failed(self, problem: BaseException) -> dict[str, Any]:
        text = f"{type(problem).__name__}: {problem}"
        return {
            "name": self.name,
            "value": None,
            "unit": self.unit,
            "must": self.must,
            "aim": self.aim,
            "beside": {"error": text[:2000]},
            "ok": False,
        }


def holds(value: float, condition: str) -> bool:
    """holds(0.4, "<= 0.5") is True."""
    sign, bound = condition.split()
    return OPERATORS[sign](value, float(bound))


def rounded(value: Any) -> Any:
    """Four significant digits, in nested dicts and lists too."""
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, dict):
        return {key: rounded(each) for key, each in value.items()}
    if isinstance(value, list):
        return [rounded(each) for each in value]
    return value


FIGURES: dict[str, Figure] = {}


def figure(
    unit: str, must: str | None = None, aim: str | None = None
) -> Callable[[Callable[[Any], Outcome]], Callable[[Any], Outcome]]:
    """Registers a function under its own name."""

    def register(measure: Callable[[Any], Outcome]) -> Callable[[Any], Outcome]:
        FIGURES[measure.__name__] = Figure(measure.__name__, unit, must, aim, measure)
        return measure

    return register

"""Lines: a name, what was measured, its bar, and whether it was held."""

import dataclasses
import json
import pathlib
import statistics
import time
from collections.abc import Callable, Iterator

# Rounds further apart than this say nothing.
SPREAD = 0.30


@dataclasses.dataclass(frozen=True)
class Line:
    """One measured number and its bar."""

    name: str
    measured: float
    bar: float
    # "<=" the bar is the most, ">=" the least; "" there is none: reported.
    holds: str = "<="
    unit: str = ""
    # How far the rounds lie from their median at the most; 0 where nothing can differ.
    spread: float = 0.0
    # Why the number does not tell what it is meant to.
    doubt: str = ""
    note: str = ""

    def verdict(self) -> str:
        if not self.holds:
            return "reported"
        # Nothing that could not be told from the rounds' own noise is called held or broken.
        if self.spread > SPREAD or self.doubt:
            return "unclear"
        held = self.measured <= self.bar if self.holds == "<=" else self.measured >= self.bar
        return "ok" if held else "short"

    def __str__(self) -> str:
        sign = {"<=": "≤", ">=": "≥"}.get(self.holds, "")
        bar = f"{sign} {number(self.bar)}" if self.holds else "–"
        spread = f" (rounds ± {self.spread:.0%})" if self.spread > 0.005 else ""
        unit = f" {self.unit}" if self.unit else ""
        note = "".join(f" · {text}" for text in (self.note, self.doubt) if text)
        return f"{self.name} · {number(self.measured)}{unit}{spread} · {bar}{unit if self.holds else ''} · {self.verdict()}{note}"


@dataclasses.dataclass(frozen=True)
class Figure:
    """Measures some lines."""

    name: str
    what: str
    measure: Callable[[bool], Iterator[Line]]
    quick: bool = False
    callgrind: bool = False
    # It tells what `keypool serve` takes.
    served: bool = False
    # Begins what runs beside the other figures that have this: all of them before the first is waited for.
    ahead: Callable[[], None] | None = None


def number(value: float) -> str:
    if value == int(value) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 1 else f"{value:.2f}"


def rounds(values: list[float]) -> tuple[float, float]:
    """The median, and how far the rounds lie from it at the most."""
    middle = statistics.median(values)
    return middle, max(max(values) / middle - 1, 1 - min(values) / middle)


def run(figures: list[Figure], quick: bool, target: pathlib.Path, light: bool = False) -> int:
    began = time.monotonic()
    lines: list[tuple[Figure, Line]] = []
    waiting = [figure.ahead for figure in figures if figure.ahead]
    for figure in figures:
        if figure.ahead:
            while waiting:
                waiting.pop()()
        for line in figure.measure(quick):
            if light and figure.callgrind and "allocations" not in line.name:
                # A release takes a fifth of these instructions.
                line = dataclasses.replace(line, holds="")
            print(line, flush=True)
            lines.append((figure, line))
    short = [line.name for _, line in lines if line.verdict() == "short"]
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(
        json.dumps(
            {
                "quick": quick,
                "light": light,
                "seconds": round(time.monotonic() - began, 1),
                "lines": [
                    {"figure": figure.name, **dataclasses.asdict(line), "verdict": line.verdict()}
                    for figure, line in lines
                ],
            },
            indent=1,
            ensure_ascii=False,
        )
        + "\n"
    )
    print(f"{len(lines)} lines in {time.monotonic() - began:.0f} s, {len(short)} short; {target}")
    return 1 if short else 0

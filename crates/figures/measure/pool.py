"""What a pick costs: instructions, by callgrind."""

import functools
from collections.abc import Iterator

from programs import instructions
from report import Line

INSTRUCTIONS = "instructions"


@functools.cache
def picked(count: int, keys: int, lanes: int, resting: int) -> float:
    return instructions(("pick", keys, lanes, resting), count)


def plain(quick: bool) -> float:
    return picked(10_000 if quick else 40_000, 1_000, 1, 0)


def pick(quick: bool) -> Iterator[Line]:
    yield Line("pick + settle, 1,000 keys, 1 lane", plain(quick), 1_000, unit=INSTRUCTIONS)


def lanes(quick: bool) -> Iterator[Line]:
    measured = picked(10_000 if quick else 40_000, 1_000, 10, 0)
    yield Line("pick + settle, 1,000 keys, 10 lanes", measured, 2_500, unit=INSTRUCTIONS)


def tokens(quick: bool) -> Iterator[Line]:
    measured = instructions(("tokens", 1_000), 5_000 if quick else 20_000)
    yield Line("pick + settle, mixed 1k-200k tokens, 90 % of owners full, over the plain", measured / plain(quick), 3,
               unit="×", note=f"{measured:,.0f} instructions")


def growth(quick: bool) -> Iterator[Line]:
    most, count = (10_000, 30_000) if quick else (100_000, 200_000)
    few, many = picked(10_000, 10, 1, 0), picked(count, most, 1, 0)
    yield Line(f"pick + settle, 10 to {most:,} keys", many / few, 2.5, unit="×",
               note=f"{few:,.0f} to {many:,.0f} instructions")


def resting(quick: bool) -> Iterator[Line]:
    count = 10_000 if quick else 40_000
    rest = picked(count, 1_000, 1, 99)
    yield Line("pick + settle, 0 to 99 % of 1,000 keys resting", rest / plain(quick), 1.5, unit="×",
               note=f"{rest:,.0f} instructions")

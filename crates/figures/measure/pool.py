"""What a pick costs."""

import functools
from collections.abc import Iterator

import programs
from report import Line, rounds

INSTRUCTIONS = "instructions"


@functools.cache
def aside() -> float:
    """What a workload does itself: time that passes, a demand that is made."""
    return programs.instructions(("pass", 10, 1, 0), 1_000)


@functools.cache
def picked(count: int, keys: int, lanes: int, resting: int) -> float:
    """Acquire, judge and end."""
    return programs.instructions(("pick", keys, lanes, resting), count) - aside()


def plain(quick: bool) -> float:
    return picked(10_000 if quick else 40_000, 1_000, 1, 0)


def pick(quick: bool) -> Iterator[Line]:
    yield Line("pick + settle, 1,000 keys, 1 lane", plain(quick), 1_000, unit=INSTRUCTIONS)
    allocations = programs.values("count", "picks")["1 lane"]
    yield Line("pick + settle, allocations in steady state", allocations, 0)


def lanes(quick: bool) -> Iterator[Line]:
    measured = picked(10_000 if quick else 40_000, 1_000, 10, 0)
    yield Line("pick + settle, 1,000 keys, 10 lanes", measured, 2_500, unit=INSTRUCTIONS)


def tokens(quick: bool) -> Iterator[Line]:
    measured = programs.instructions(("tokens", 1_000), 5_000 if quick else 20_000) - aside()
    yield Line("pick + settle, mixed 1k-200k tokens, 90 % of owners full, over the plain", measured / plain(quick), 3,
               unit="×", note=f"{measured:,.0f} instructions")


def growth(quick: bool) -> Iterator[Line]:
    most, count = (1_000, 2_000) if programs.LIGHT else (10_000, 20_000) if quick else (100_000, 200_000)
    few, many = picked(10_000, 10, 1, 0), picked(count, most, 1, 0)
    yield Line(f"pick + settle, 10 to {most:,} keys", many / few, 2.5, unit="×",
               note=f"{few:,.0f} to {many:,.0f} instructions")


def resting(quick: bool) -> Iterator[Line]:
    rest = picked(10_000 if quick else 40_000, 1_000, 1, 99)
    yield Line("pick + settle, 0 to 99 % of 1,000 keys resting", rest / plain(quick), 1.5, unit="×",
               note=f"{rest:,.0f} instructions")


def threads(quick: bool) -> Iterator[Line]:
    told = programs.values("bench", "threads", 5 if quick else 15)
    middle, spread = rounds(told["ratios"])
    yield Line("two threads on one pool, over one", middle, 0.6, ">=", unit="×", spread=spread,
               note=f"{told['one a second'] / 1e6:.2f} and {told['two a second'] / 1e6:.2f} million a second")


def memory(_: bool) -> Iterator[Line]:
    keys = 100_000
    for lanes_a_key, bar in ((1, 300), (10, 1_500)):
        told = programs.values("count", "memory", keys, lanes_a_key)
        note = f"{told['resident']:,.0f} B resident, {told['snapshot']:,.0f} B as the pool says, beyond the secret"
        plural = "lane" if lanes_a_key == 1 else "lanes"
        yield Line(f"memory a key, {keys:,} keys, {lanes_a_key} {plural}", told["allocated"], bar, unit="B", note=note)

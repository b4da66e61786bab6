"""What the layers add to a good answer, and what replay does with bodies."""

from collections.abc import Iterator

import programs
from report import Line


def walked(name: str) -> float:
    return programs.instructions(("walk", name), 4_000)


def rotated(_: bool) -> Iterator[Line]:
    counted = programs.values("count", "walks")
    yield Line("KeyRotation + Cooldown on a good answer, allocations added", counted["rotated"] - counted["bare"], 6)
    yield Line("KeyRotation + Cooldown on a good answer, instructions added", walked("rotated") - walked("bare"), 2_500)


def stack(_: bool) -> Iterator[Line]:
    counted = programs.values("count", "walks")
    added = counted["pooled"] - counted["retried"]
    yield Line("KeyPoolLayer on a good answer, allocations beyond tower's Retry", added, 8)
    pooled, retried = walked("pooled"), walked("retried")
    yield Line("KeyPoolLayer on a good answer, instructions over tower's Retry", pooled / retried, 2, unit="×",
               note=f"{pooled:,.0f} over {retried:,.0f}")


def copies(_: bool) -> Iterator[Line]:
    copied = programs.values("count", "copies")
    yield Line("body bytes copied by replay, 1 KiB to 20 MiB, 3 attempts", sum(copied.values()), 0)


def resident(_: bool) -> Iterator[Line]:
    told = programs.values("bench", "resident")
    yield Line("64 requests of 20 MiB in flight, resident at the most", told["peak MiB"], told["budget MiB"] + 64,
               unit="MiB")
    yield Line("64 requests of 20 MiB in flight, succeeded", told["succeeded"], told["of"], ">=")

"""What the layers add to a good answer, and what replay does with bodies."""

from collections.abc import Iterator

import programs
from report import Line


# What travels: the bars stand on a request and an answer with nothing in them but a small body. What an SDK sends and
# Gemini answers is told beside it.
PLAIN, SDK = "plain", "sdk"


def walked(name: str, traffic: str) -> float:
    return programs.instructions(("walk", name, traffic), 4_000)


def rotated(_: bool) -> Iterator[Line]:
    counted = programs.values("count", "walks")
    for traffic, holds, of in ((PLAIN, "<=", ""), (SDK, "", ", an SDK's headers and JSON")):
        added = counted[f"rotated {traffic}"] - counted[f"bare {traffic}"]
        yield Line(f"KeyRotation + Cooldown on a good answer{of}, allocations added", added, 6, "<=")
        yield Line(f"KeyRotation + Cooldown on a good answer{of}, instructions added",
                   walked("rotated", traffic) - walked("bare", traffic), 2_500, holds)


def stack(_: bool) -> Iterator[Line]:
    counted = programs.values("count", "walks")
    for traffic, of in ((PLAIN, ""), (SDK, ", an SDK's headers and JSON")):
        added = counted[f"pooled {traffic}"] - counted[f"retried {traffic}"]
        yield Line(f"KeyPoolLayer on a good answer{of}, allocations beyond tower's Retry", added, 8)
        pooled, retried = walked("pooled", traffic), walked("retried", traffic)
        yield Line(f"KeyPoolLayer on a good answer{of}, instructions over tower's Retry", pooled / retried, 2, unit="×",
                   note=f"{pooled:,.0f} over {retried:,.0f}")


def copies(_: bool) -> Iterator[Line]:
    copied = programs.values("count", "copies")
    yield Line("body bytes copied by replay, 1 KiB to 20 MiB, 3 attempts", sum(copied.values()), 0)


def resident(_: bool) -> Iterator[Line]:
    told = programs.values("bench", "resident")
    yield Line("64 requests of 20 MiB in flight, resident at the most", told["peak MiB"], told["budget MiB"] + 64,
               unit="MiB")
    yield Line("64 requests of 20 MiB in flight, succeeded", told["succeeded"], told["of"], ">=")

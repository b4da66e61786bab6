"""What the layers add to a good answer, and what replay does with bodies."""

from collections.abc import Iterator

import programs
from report import Line


# What travels: a request and an answer with nothing in them but a small body, or what an SDK sends and Gemini answers.
PLAIN, SDK = "plain", "sdk"
OF = {PLAIN: "nothing but a small body", SDK: "an SDK's headers and JSON"}


def walked(name: str, traffic: str) -> float:
    # Of a build that tests use making the keys is most of the time, and what is counted is told without its bar.
    return programs.instructions(("walk", name, traffic, 100 if programs.LIGHT else 1_000), 4_000)


def rotated(_: bool) -> Iterator[Line]:
    counted = programs.values("count", "walks")
    # The bar is that of a no-op service; the other is told beside it.
    for traffic, holds in ((PLAIN, "<="), (SDK, "")):
        name = f"KeyRotation + Cooldown on a good answer ({OF[traffic]})"
        yield Line(f"{name}, allocations added", counted[f"rotated {traffic}"] - counted[f"bare {traffic}"], 6)
        after, before = walked("rotated", traffic), walked("bare", traffic)
        yield Line(f"{name}, instructions added", after - before, 2_500, holds,
                   note=f"{after:,.0f} over {before:,.0f}")
        floor = walked("floor", traffic) - before
        yield Line(f"a pick, its verdict and end, and the maps of http that key, handle and who served travel in ({OF[traffic]})",
                   floor, 0, "")


def stack(_: bool) -> Iterator[Line]:
    counted = programs.values("count", "walks")
    for traffic in (SDK, PLAIN):
        name = f"KeyPoolLayer on a good answer ({OF[traffic]})"
        added = counted[f"pooled {traffic}"] - counted[f"retried {traffic}"]
        yield Line(f"{name}, allocations beyond tower's Retry", added, 8)
        pooled, retried = walked("pooled", traffic), walked("retried", traffic)
        yield Line(f"{name}, instructions over tower's Retry", pooled / retried, 2, unit="×",
                   note=f"{pooled:,.0f} over {retried:,.0f}")
        floor = walked("by-hand", traffic)
        yield Line(f"the parts that no such layer can do without, by hand ({OF[traffic]}), over tower's Retry",
                   floor / retried, 0, "", unit="×", note=f"{floor:,.0f} over {retried:,.0f}")


def copies(_: bool) -> Iterator[Line]:
    copied = programs.values("count", "copies")
    yield Line("body bytes copied by replay, 1 KiB to 20 MiB, 3 attempts", sum(copied.values()), 0)


def resident(_: bool) -> Iterator[Line]:
    told = programs.values("bench", "resident")
    yield Line("64 requests of 20 MiB in flight, resident at the most", told["peak MiB"], told["budget MiB"] + 64,
               unit="MiB")
    yield Line("64 requests of 20 MiB in flight, succeeded", told["succeeded"], told["of"], ">=")

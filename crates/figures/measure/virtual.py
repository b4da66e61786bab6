"""Exactness and goodput: the whole stack over the simulator, in virtual time."""

from collections.abc import Iterator

import programs
from report import Line


def told(scene: str, quick: bool) -> dict:
    return programs.values("virtual", scene, *(["quick"] if quick else []))


def goodput(quick: bool) -> Iterator[Line]:
    seen = told("goodput", quick)
    span = "six virtual minutes" if quick else "one virtual hour"
    yield Line(f"goodput, 10 owners × 60/minute offered 3 ×, {span}: quota used", seen["used"], 0.99, ">=")
    yield Line("goodput: upstream 429s", seen["upstream 429s"], 0)
    yield Line("goodput: starts over a limit", seen["starts over a limit"], 0)


def unknown(quick: bool) -> Iterator[Line]:
    seen = told("unknown", quick)
    yield Line("limits unknown: owners learned within the first window", seen["owners learned in the first window"], 1,
               ">=", note=f"{seen['upstream 429s in the first window']} 429s in it")
    yield Line("limits unknown: upstream 429s a call after it", seen["429s after it"], 0.01)


def burst(quick: bool) -> Iterator[Line]:
    seen = told("burst", quick)
    yield Line("10 keys × 10/minute, 100 calls at once: succeeded", seen["succeeded"], 100, ">=")


def half_full(quick: bool) -> Iterator[Line]:
    yield Line("1,000 keys of which 500 are full, 10,000 picks: found a key", told("half-full", quick)["found"], 1, ">=")


def failover(quick: bool) -> Iterator[Line]:
    seen = told("failover", quick)
    yield Line("fail-over, 30 % of 1,000 keys bad: client success", seen["success"], 1, ">=")
    yield Line("fail-over: tries of a suspended key", seen["tries of a suspended key"], 1)
    yield Line("fail-over: tries of an invalid key", seen["tries of an invalid key"], 2)


def amplification(quick: bool) -> Iterator[Line]:
    seen = told("amplification", quick)
    yield Line("amplification, 429s and 5xx at 5 % each: upstream calls a request", seen["calls a request"], 1.12)
    yield Line("amplification: calls without an explanation", seen["unexplained calls"], 0)

"""Several processes on one database or one Redis, in real minutes; the simulator's own windows judge.

All rows that were chosen run side by side: they ask for little of the machine and much time.
"""

import atexit
import json
import subprocess
from collections.abc import Callable, Iterator

import programs
from report import Line

# A row takes some three minutes.
LIMIT = 420
STORES = ("sqlite", "redis")
CALLED = {"sqlite": "SQLite", "redis": "Redis"}
# A machine that lets a thread wait for so long lets requests wait, too, and a provider sees them late: the pool allows
# for 250 ms.
STALL_MS = 100
# What is over a limit for another reason is too early by more.
EARLY_MS = 1_000

running: dict[tuple[str, str], subprocess.Popen] = {}


@atexit.register
def end() -> None:
    for process in running.values():
        process.kill()


def ahead(*rows: tuple[str, str]) -> Callable[[], None]:
    def begin() -> None:
        for row in rows:
            command = [str(programs.TARGET / "shared"), *row]
            piped = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
            running[row] = subprocess.Popen(command, stdin=subprocess.DEVNULL, text=True, **piped)

    return begin


def told(scene: str, store: str) -> dict:
    process = running.pop((scene, store))
    try:
        printed, failed = process.communicate(timeout=LIMIT)
    except subprocess.TimeoutExpired as late:
        process.kill()
        raise programs.Failed(f"shared {scene} {store} took longer than {LIMIT} s") from late
    if process.returncode != 0:
        raise programs.Failed(f"shared {scene} {store} ended with {process.returncode}: {failed.strip()[-800:]}")
    return json.loads(printed)


def over(name: str, seen: dict) -> Line:
    early = max((one["early_ms"] for one in seen["overs"]), default=0)
    doubt = ""
    if seen["over"] and seen["stall_ms"] >= STALL_MS and early <= EARLY_MS:
        doubt = f"early by {early} ms at most, on a machine that let a thread wait for {seen['stall_ms']} ms"
    note = f"{seen['arrivals']:,} requests" + (f", early by {early} ms at most" if early and not doubt else "")
    return Line(f"{name}: over a limit", seen["over"], 0, note=note, doubt=doubt)


def served(name: str, seen: dict, bar: float = 0.95, note: str = "") -> Line:
    return Line(f"{name}: served", seen["share"], bar, ">=", note=note or f"of {seen['asked']:,} asked for")


def steady(_: bool) -> Iterator[Line]:
    for store in STORES:
        seen = told("steady", store)
        name = f"4 processes, 20 owners × 100/minute at 0.9 of capacity, {CALLED[store]}"
        yield over(name, seen)
        yield served(name, seen)
        note = f"and {seen['batches']:.1f} batches of counts to the file" if store == "sqlite" else "what keys used goes along"
        yield Line(f"{name}: store calls a second and process", seen["calls"], 2, note=note)


def many(_: bool) -> Iterator[Line]:
    for store in STORES:
        seen = told("many", store)
        name = f"4 processes, 300 owners × 10/minute at 0.9, {CALLED[store]}"
        yield over(name, seen)
        yield served(name, seen)
        if store == "redis":
            note = f"and {seen['hints']:.3f} that the server said of its own accord"
            yield Line(f"{name}: round trips a request", seen["trips"], 0.05, note=note)


def lopsided(_: bool) -> Iterator[Line]:
    for store in STORES:
        seen = told("lopsided", store)
        name = f"4 processes, 100 owners × 10/minute at 0.9, nine tenths of it on one, {CALLED[store]}"
        yield over(name, seen)
        yield served(name, seen)


def lanes(_: bool) -> Iterator[Line]:
    for store in STORES:
        seen = told("lanes", store)
        name = f"2 processes, a lane each, the same 20 owners × 100/minute at 0.9, {CALLED[store]}"
        yield over(name, seen)
        yield served(name, seen, note=f"the lesser of the two; {seen['asked']:,} asked for")


def burst(_: bool) -> Iterator[Line]:
    for store in STORES:
        seen = told("burst", store)
        name = f"10 owners × 10/minute, 4 processes, 100 calls on one of them with 1 s to wait, {CALLED[store]}"
        yield over(name, seen)
        yield Line(f"{name}: succeeded", seen["served"], 100, ">=")


def killed(_: bool) -> Iterator[Line]:
    for store in STORES:
        seen = told("killed", store)
        name = f"one of four killed, the others take its callers, {CALLED[store]}"
        yield over(name, seen)
        yield served(f"{name}: the next minute", seen, bar=0.90)


LOST = {
    "cut": "Redis not to be reached for 30 s",
    "restarted": "Redis killed, and started again after 30 s",
    "flushed": "Redis flushed",
    "stale": "a replica 30 s old promoted",
}


def lost(_: bool) -> Iterator[Line]:
    for scene, name in LOST.items():
        seen = told(scene, "redis")
        yield over(name, seen)
        yield Line(f"{name}: failures other than Exhausted", seen["failed"], 0, note=seen["failure"])
        back = "not back" if seen["back"] is None else f"back for good {seen['back']} s after"
        yield served(f"{name}: a minute after", seen, note=f"{back}; {seen['meanwhile']:.0%} of what was asked for until then")


def both(scene: str) -> Callable[[], None]:
    return ahead(*((scene, store) for store in STORES))

"""SQLite under `keypool serve`: what counting costs, what a start costs, and what kills lose."""

import pathlib
import sqlite3
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator

import programs
import serve
from report import Line, rounds

# On keys with a minute's and a day's limit: so many requests a second that each write has most of them by a key of their
# own, and limits that let through as many as the server answers.
RATE = 2_000
KEYS = 1_000
LIMITS = "rpm=500 rpd=100000"
FAST = "rpm=50000 rpd=90000000"
LAG_MS = 200
# A machine that lets a thread wait for so long has the writer wait, too.
STALL_MS = 50


class Transactions:
    """Counts the transactions that others commit, seen from a connection that stays."""

    def __init__(self, database: pathlib.Path):
        self.connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=5)
        self.seen = self.version()

    def version(self) -> int:
        return self.connection.execute("PRAGMA data_version").fetchone()[0]

    def during(self, seconds: float) -> float:
        """A second. Two within 2 ms are seen as one."""
        count, began = 0, time.monotonic()
        while (passed := time.monotonic() - began) < seconds:
            version = self.version()
            count += version != self.seen
            self.seen = version
            time.sleep(0.002)
        return count / passed


def counting(quick: bool) -> Iterator[Line]:
    """As fast as it answers. At 2,000 a second it is told beside that: so many transactions a second cost the same however many
    requests there are, and are more of what few requests take."""
    yield from counted(quick, None, FAST)
    yield from counted(quick, RATE, LIMITS)


def counted(quick: bool, rate: int | None, limits: str) -> Iterator[Line]:
    """Rounds of short turns. What a server does between its turns (its counts are written behind) is its own, too."""
    count = 3 if quick else 9
    turns, millis = (1, 600 if quick else 1_000) if rate else (5, 100 if quick else 200)
    ratios, own = [], []
    with (
        tempfile.TemporaryDirectory() as folder,
        serve.listening("ends", "json", "64", cores=serve.OTHERS, stdin=subprocess.PIPE) as (ends, upstream),
        serve.serving(upstream, serve.SERVER, keys=KEYS, options=limits) as (off, off_port, _),
        serve.serving(upstream, serve.SERVER, keys=KEYS, options=limits, database=f"{folder}/keypool.db") as (on, on_port, _),
    ):
        sides = {"off": (off, ends, f"127.0.0.1:{off_port}"), "on": (on, ends, f"127.0.0.1:{on_port}")}
        for side in sides.values():
            serve.measured(*side, 1_500, rate)
        for _ in range(count):
            before = {side: serve.spent(process)[0] for side, (process, *_) in sides.items()}
            answers = dict.fromkeys(sides, 0)
            for side in ("off", "on", "on", "off") * turns:
                answers[side] += serve.measured(*sides[side], millis, rate)["answers"]
            costs = {side: (serve.spent(process)[0] - before[side]) / answers[side] for side, (process, *_) in sides.items()}
            ratios.append(costs["on"] / costs["off"])
            own.append(costs["on"] - costs["off"])
        transactions = Transactions(pathlib.Path(folder, "keypool.db"))
        serve.ask(ends, sides["on"][2], 5_500, rate)
        a_second = transactions.during(5)
        ends.stdout.readline()
    ratio, spread = rounds(ratios)
    load = f"{rate:,} a second" if rate else "as many as it answers"
    yield Line(f"CPU a request with SQLite counting on, against off ({load}, {KEYS:,} keys with {limits})",
               ratio, 0 if rate else 1.03, "" if rate else "<=", unit="×", spread=spread,
               note=f"{statistics.median(own) * 1e6:+.1f} µs")
    yield Line(f"SQLite counting, {load}: transactions a second", a_second, 10)


def start(_: bool) -> Iterator[Line]:
    """The first start makes the database, the second finds 5,000 keys and what they used there."""
    times = {"a new file": [], "again": []}
    with tempfile.TemporaryDirectory() as folder, serve.listening("upstream", cores=programs.CORES) as (_, upstream):
        for n in range(5):
            for each in times.values():
                at = {"keys": 5_000, "options": LIMITS, "database": f"{folder}/{n}.db"}
                with serve.serving(upstream, programs.CORES, **at) as (_, _, took):
                    each.append(took)
    for what, each in times.items():
        name = f"serve with 5,000 keys in SQLite, {what}: start to first answer, best of 5"
        yield Line(name, min(each) * 1e3, 100, unit="ms")


def kills(quick: bool) -> Iterator[Line]:
    count = 5 if quick else 50
    told = programs.values("kills", programs.KEYPOOL, count)
    of_day = f"{told['of_a_day']} of a day's {told['a_day']} served; {told['served']:,} answers"
    yield Line(f"kill -9 × {count} under load (SQLite): databases that did not open", told["unopened"], 0)
    lost = told["rests"] + told["disabled"] + told["imports"]
    yield Line("rests, disabled keys and imports lost", lost, 0,
               note=f"{told['suspended']} keys suspended; of {told['late_rests']} nobody had been told")
    held_up = told["lag_ms"] > LAG_MS and told["stall_ms"] >= STALL_MS
    late = f"the machine let a thread wait for {told['stall_ms']} ms" if held_up else ""
    yield Line("counts lag by at most", told["lag_ms"], LAG_MS, unit="ms", doubt=late)
    yield Line("requests over a limit", told["over_limit"], 0, note=of_day)

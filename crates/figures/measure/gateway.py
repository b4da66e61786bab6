"""`keypool serve` with all on that it can do, against the bare proxy; what it holds; and what becomes of it in chaos."""

import contextlib
import json as text
import subprocess
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator

import programs
import serve
from report import Line, rounds

# Ten who ask, with limits that are counted and never met.
TENANT = "kt-not-a-real-token-of-a-tenant-{n:04}"
TENANTS = "".join(
    f"""
[[tenants]]
name = "tenant-{n}"
token = "{TENANT.format(n=n)}"
models = ["gemini-*", "held"]
rpm = 100000000
tpd = 1000000000000
"""
    for n in range(10)
)
# Of keys: both are counted, and neither is met.
LIMITS = "rpm=60000 rpd=50000000"


@contextlib.contextmanager
def all_on(upstream: str, cores: list[int]):
    """Tenants with limits, a line a request in a file, metrics that are read every second, usage in SQLite."""
    with tempfile.TemporaryDirectory() as folder:
        on = {"options": LIMITS, "database": f"{folder}/keypool.db", "config": TENANTS, "log": f"{folder}/lines"}
        with serve.serving(upstream, cores, **on) as served, scraping(served[1]):
            yield served


@contextlib.contextmanager
def scraping(port: int):
    """Reads the metrics every second, as a Prometheus would more seldom."""
    over = threading.Event()

    def read():
        while not over.wait(1):
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/-/metrics", timeout=5).read()

    reader = threading.Thread(target=read)
    reader.start()
    try:
        yield
    finally:
        over.set()
        reader.join()


def throughput(quick: bool) -> Iterator[Line]:
    name = "serve, all on (tenants, log, metrics, usage in SQLite), 1 KiB JSON, 64 connections"
    yield from serve.throughput(name, "json", quick, (0.85, 1.25), gateway=all_on, token=TENANT.format(n=3))


def latency(quick: bool) -> Iterator[Line]:
    for kind, connections, what in (
        ("json", 1, "p50 of an answer at one connection"),
        ("stream", 1, "p50 of a stream's first byte, one stream"),
        ("stream", 8, "p50 of a stream's first byte, 8 streams"),
    ):
        ratios, own = serve.against(kind, quick, connections=connections)
        ratio, spread = rounds(ratios["p50"])
        yield Line(f"serve, {what}, over a bare proxy", ratio, 1.4, unit="×", spread=spread, note=f"{own['p50']:.0f} µs")


def streams(quick: bool) -> Iterator[Line]:
    # Each byte is compared: a stream that differs ends the measurement.
    ratios, own = serve.against("stream", quick, connections=200)
    cost, spread = rounds(ratios["chunk"])
    yield Line("serve, 200 streams of 50 chunks at once, each byte compared: CPU a chunk over a bare proxy", cost, 1.10,
               unit="×", spread=spread, note=f"{own['chunk'] * 1e6:.1f} µs")


def resident(_: bool) -> Iterator[Line]:
    with (
        serve.listening("held", "1000", TENANT.format(n=3), cores=serve.OTHERS, stdin=subprocess.PIPE) as (held, upstream),
        all_on(upstream, programs.CORES) as (process, port, _),
    ):
        time.sleep(2)
        idle = serve.held(process)
        held.stdin.write(f"127.0.0.1:{port}\n")
        held.stdin.flush()
        told = text.loads(held.stdout.readline() or '{"open": 0}')
        time.sleep(2)
        busy = serve.held(process)
        held.stdin.write("\n")
        held.stdin.flush()
    if told["open"] != 1000:
        raise programs.Failed(f"{told['open']} of 1,000 streams were opened")
    yield Line("serve, all on: resident idle", idle, 25, unit="MiB")
    yield Line("serve, all on: resident with 1,000 streams open", busy, 80, unit="MiB")


def chaos(quick: bool) -> Iterator[Line]:
    seconds = 45 if quick else 300
    told = programs.values("chaos", programs.KEYPOOL, seconds, limit=seconds + 120)
    note = f"{told['asked']:,} requests, {told['good']:,} good, {told['left']:,} left, {told['faults']:,} faults, {told['reloads']} reloads"
    yield Line(f"serve, {seconds} s of chaos at half load: slots leaked", told["leaked slots"], 0, note=note)
    yield Line("answers, lines of the log and metrics with a secret in them", told["secrets"], 0,
               note=f"{told['log lines']:,} lines")
    yield Line("resident, grown from the second quarter to the last", told["grown MiB"], 5, unit="MiB",
               note=f"{told['resident MiB']:.0f} MiB at the end")
    yield Line("failures that no fault explains", told["unexplained"], 0,
               note="; ".join([f"{told['failed']} failures", *told["examples"]]))

"""`keypool serve`, against a bare hyper reverse proxy: over loopback, in turns, by the server's own CPU time."""

import contextlib
import json as text
import os
import pathlib
import signal
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator

import programs
from report import Line, rounds

KEYS = 1_000
CONNECTIONS = 64
# What callers send, unless they are told of another.
TOKEN = "PLACEHOLDER_GEMINI_TOKEN"
# Where a server is alone: with two cores it has one to itself, and caller and upstream are one program on the other. What it
# answers in a second is then what its CPU allows, and nothing else. Requests a second are measured with all programs on all
# cores, as whoever tries it does.
SERVER, OTHERS = programs.CORES[:1], programs.CORES[1:] or programs.CORES[:1]


@contextlib.contextmanager
def listening(*args: str, cores: list[int], **options):
    """A program of the bench that prints its address first."""
    command = [str(programs.TARGET / "bench"), *args]
    with programs.running(command, cores, stdout=subprocess.PIPE, **options) as process:
        address = process.stdout.readline().strip()
        if not address:
            raise programs.Failed(f"{' '.join(command)} did not start")
        yield process, address


def keys_in(folder: str, count: int, options: str) -> str:
    path = pathlib.Path(folder, "keys.txt")
    path.write_text("".join(f"AIzaSy-not-a-real-key-{n:017} {options}\n" for n in range(count)))
    return str(path)


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return held.getsockname()[1]


def answered(port: int, token: str = TOKEN) -> bool:
    """Whether a first request gets its answer."""
    body = b'{"contents":[{"parts":[{"text":"hello"}]}]}'
    head = (
        "POST /v1beta/models/gemini-2.5-flash:generateContent HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n"
        f"x-goog-api-key: {token}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    try:
        with socket.create_connection(("127.0.0.1", port), 5) as stream:
            stream.sendall(head.encode() + body)
            first = stream.recv(12)
    except ConnectionRefusedError:
        return False
    if first != b"HTTP/1.1 200":
        raise programs.Failed(f"keypool serve answered {first!r}")
    return True


@contextlib.contextmanager
def serving(upstream: str, cores: list[int], keys: int = KEYS, options: str = "", database: str = "none",
            config: str = "", log: str = ""):
    """keypool serve: the process, its port, and how long it took to its first answer. `log`: the file that takes its lines."""
    with tempfile.TemporaryDirectory() as folder, open(log or os.devnull, "w") as lines:
        port = free_port()
        file = pathlib.Path(folder, "keypool.toml")
        file.write_text(config)
        command = [str(programs.KEYPOOL), "serve", "--keys", keys_in(folder, keys, options),
                   "--listen", f"127.0.0.1:{port}", "--upstream", f"http://{upstream}", "--db", database]
        command += ["--config", str(file)] if config else []
        command += [] if log else ["-q"]
        began = time.monotonic()
        with programs.running(command, cores, stdout=lines, stderr=subprocess.DEVNULL) as process:
            while not answered(port):
                if process.poll() is not None or time.monotonic() - began > 10:
                    raise programs.Failed("keypool serve did not start: " + " ".join(command))
                time.sleep(0.001)
            yield process, port, time.monotonic() - began


def spent(process: subprocess.Popen) -> tuple[float, float]:
    """Seconds that its threads ran, and that they were kept from running by other programs."""
    ran = kept = 0
    for thread in pathlib.Path(f"/proc/{process.pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError):
            nanoseconds = (thread / "schedstat").read_text().split()
            ran, kept = ran + int(nanoseconds[0]), kept + int(nanoseconds[1])
    return ran / 1e9, kept / 1e9


def ask(ends: subprocess.Popen, address: str, millis: int, rate: int | None = None):
    """Has a server asked for so long, so many times a second or as often as it answers."""
    ends.stdin.write(f"{address} {millis} {rate}\n" if rate else f"{address} {millis}\n")
    ends.stdin.flush()


def measured(process: subprocess.Popen, ends: subprocess.Popen, address: str, millis: int, rate: int | None = None,
             alone: bool = True) -> dict:
    """One burst on one server: its rate, and its CPU for each answer and chunk."""
    before = spent(process)
    ask(ends, address, millis, rate)
    line = ends.stdout.readline()
    after = spent(process)
    told = text.loads(line) if line else {"failures": "only", "answers": 0}
    if told["failures"] or not told["answers"]:
        raise programs.Failed(f"{told['failures']} failures beside {told['answers']} answers at {address}")
    ran, kept = after[0] - before[0], after[1] - before[1]
    return {
        # A second in which another program has the core that it has to itself is none of the server's.
        "rate": told["answers"] / (max(told["seconds"] - kept, ran) if alone else told["seconds"]),
        "answer": ran / told["answers"],
        "answers": told["answers"],
        "chunk": ran / max(told["chunks"], 1),
        "busy": min((ran + kept) / told["seconds"], 1),
        "p50": told["p50 us"],
    }


def against(kind: str, quick: bool, connections: int = CONNECTIONS, gateway=serving, token: str = TOKEN,
            alone: bool = True) -> tuple[dict[str, list[float]], dict[str, float]]:
    """Ratios of serve to the proxy, round by round, and serve's own medians. `alone`: each server has a core to itself; else
    all programs share all cores.

    A round is the median of seven short comparisons (proxy, serve, serve, proxy): what a neighbour does to one of them
    does not count.
    """
    count, millis = (5, 60) if quick else (9, 100)
    ratios: dict[str, list[float]] = {"rate": [], "answer": [], "chunk": [], "p50": []}
    own: dict[str, list[float]] = {what: [] for what in (*ratios, "busy")}
    server, others = (SERVER, OTHERS) if alone else (programs.CORES, programs.CORES)
    with (
        listening("ends", kind, str(connections), token, cores=others, stdin=subprocess.PIPE) as (ends, upstream),
        listening("proxy", upstream, cores=server) as (proxy, proxy_at),
        gateway(upstream, server) as (served, port, _),
    ):
        sides = {"proxy": (proxy, ends, proxy_at), "serve": (served, ends, f"127.0.0.1:{port}")}
        for side in sides.values():
            measured(*side, 500)
        for _ in range(count):
            turns = {what: [] for what in ratios}
            for _ in range(7):
                seen = {"proxy": [], "serve": []}
                for side in ("proxy", "serve", "serve", "proxy"):
                    seen[side].append(measured(*sides[side], millis, alone=alone))
                for what, each in own.items():
                    each.append(statistics.fmean(one[what] for one in seen["serve"]))
                for what, each in turns.items():
                    each.append(own[what][-1] / statistics.fmean(one[what] for one in seen["proxy"]))
            for what, each in turns.items():
                ratios[what].append(statistics.median(each))
    return ratios, {what: statistics.median(each) for what, each in own.items()}


def throughput(name: str, kind: str, quick: bool, bars: tuple[float, float], gateway=serving,
               token: str = TOKEN) -> Iterator[Line]:
    """Requests a second and CPU a request, with all programs on all cores; and what each server does alone on one core, where
    the one is nothing but the other turned over."""
    ratios, own = against(kind, quick, gateway=gateway, token=token, alone=False)
    for what, each, unit, bar, holds, note in (
        ("requests/s", "rate", "×", bars[0], ">=", f"{own['rate']:,.0f}/s"),
        ("CPU a request", "answer", "×", bars[1], "<=" if bars[1] else "", f"{own['answer'] * 1e6:.0f} µs"),
    ):
        ratio, spread = rounds(ratios[each])
        yield Line(f"{name}: {what} over a bare proxy", ratio, bar, holds, unit=unit, spread=spread, note=note)
    ratios, own = against(kind, quick, gateway=gateway, token=token)
    for what, each, note in (
        ("requests/s", "rate", f"{own['rate']:,.0f}/s"), ("CPU a request", "answer", f"{own['answer'] * 1e6:.0f} µs"),
    ):
        ratio, spread = rounds(ratios[each])
        yield Line(f"{name}: {what} over a bare proxy, each alone on one core", ratio, 0, "", unit="×", spread=spread,
                   note=note)


def json(quick: bool) -> Iterator[Line]:
    yield from throughput("serve, 1 KiB JSON, 64 connections, 1,000 keys", "json", quick, (0.90, 1.15))


def post(quick: bool) -> Iterator[Line]:
    yield from throughput("serve, 1 MiB POST, replay on", "post", quick, (0.90, 0))


def stream(quick: bool) -> Iterator[Line]:
    ratios, own = against("stream", quick)
    cost, spread = rounds(ratios["chunk"])
    yield Line("serve, 50-chunk event streams: CPU a chunk over a bare proxy", cost, 1.10, unit="×", spread=spread,
               note=f"{own['chunk'] * 1e6:.1f} µs")
    ratios, own = against("gzip", quick)
    cost, spread = rounds(ratios["chunk"])
    yield Line("serve, the same gzip'd: CPU a chunk over a bare proxy", cost, 0, "", unit="×", spread=spread,
               note=f"{own['chunk'] * 1e6:.1f} µs")


def translated(quick: bool) -> Iterator[Line]:
    """The same server, asked in the other dialect and with the same bytes in its own."""
    sizes = {"small": ("1 KiB", 2.5, CONNECTIONS), "long": ("100 KiB", 2.5, 16), "image": ("5 MiB with an image", 2.0, 4)}
    for size, (what, bar, connections) in sizes.items():
        # Long requests are few in a burst.
        count, millis = (5, 60) if quick else (9, 300 if size == "image" else 100)
        ratios, costs = [], []
        with (
            listening("ends", f"chat-{size}", str(connections), cores=OTHERS, stdin=subprocess.PIPE) as (chats, upstream),
            listening("ends", f"same-{size}", str(connections), cores=OTHERS, stdin=subprocess.PIPE) as (same, _),
            serving(upstream, SERVER) as (gateway, port, _),
        ):
            sides = {"chat": (gateway, chats, f"127.0.0.1:{port}"), "same": (gateway, same, f"127.0.0.1:{port}")}
            for side in sides.values():
                measured(*side, 500)
            for _ in range(count):
                turns = []
                for _ in range(5):
                    seen = {"chat": [], "same": []}
                    for side in ("same", "chat", "chat", "same"):
                        seen[side].append(measured(*sides[side], millis)["answer"])
                    costs.append(statistics.fmean(seen["chat"]))
                    turns.append(costs[-1] / statistics.fmean(seen["same"]))
                ratios.append(statistics.median(turns))
        cost, spread = rounds(ratios)
        yield Line(f"serve, a chat of {what} translated: CPU a request over the same bytes passed through", cost, bar,
                   unit="×", spread=spread, note=f"{statistics.median(costs) * 1e6:.0f} µs")


def read(_: bool) -> Iterator[Line]:
    """What the translation takes by itself, without the gateway around it."""
    for size, what in {"small": "1 KiB", "long": "100 KiB", "image": "5 MiB with an image"}.items():
        there = programs.instructions(("there", size), 20 if size == "image" else 200)
        yield Line(f"a chat of {what} read and written for the provider, instructions", there, 0, "")
    yield Line("an answer of 1 KiB read and written for the caller, instructions",
               programs.instructions(("back", "small"), 200), 0, "")


def held(process: subprocess.Popen) -> float:
    """What it has in memory, in MiB."""
    status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def idle(_: bool) -> Iterator[Line]:
    times, resident = [], []
    with listening("upstream", cores=programs.CORES) as (_, upstream):
        for _ in range(5):
            with serving(upstream, programs.CORES) as (process, _, took):
                times.append(took)
                time.sleep(0.5)
                resident.append(held(process))
    yield Line("serve with 1,000 keys: resident idle", statistics.median(resident), 20, unit="MiB")
    yield Line("serve with 1,000 keys: start to first answer, best of 5", min(times) * 1e3, 100, unit="ms")


# A broken pipe to a server that ended is an error of the measurement, not of the interpreter.
signal.signal(signal.SIGPIPE, signal.SIG_IGN)

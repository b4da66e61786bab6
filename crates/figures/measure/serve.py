"""`keypool serve`, against a bare hyper reverse proxy: over loopback, in turns, by the server's own CPU time."""

import contextlib
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
TICKS = os.sysconf("SC_CLK_TCK")
CONNECTIONS = 64
# With two cores the server has one to itself, and caller and upstream share the other.
SERVER, OTHERS = programs.CORES[:1], programs.CORES[1:] or programs.CORES[:1]


@contextlib.contextmanager
def listening(*args: str, cores: list[int]):
    """A program of the bench that prints its address first."""
    command = [str(programs.TARGET / "bench"), *args]
    with programs.running(command, cores, stdout=subprocess.PIPE) as process:
        address = process.stdout.readline().strip()
        if not address:
            raise programs.Failed(f"{' '.join(command)} did not start")
        yield process, address


def keys_in(folder: str) -> str:
    path = pathlib.Path(folder, "keys.txt")
    path.write_text("".join(f"AIzaSy-not-a-real-key-{n:017}\n" for n in range(KEYS)))
    return str(path)


def serve_command(folder: str, port: int, upstream: str) -> list[str]:
    listen = f"127.0.0.1:{port}"
    return [str(programs.TARGET / "keypool"), "serve", "--keys", keys_in(folder), "--listen", listen,
            "--upstream", f"http://{upstream}", "-q"]


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return held.getsockname()[1]


def answered(port: int) -> bool:
    """Whether a first request gets its answer."""
    body = b'{"contents":[{"parts":[{"text":"hello"}]}]}'
    head = (
        "POST /v1beta/models/gemini-2.5-flash:generateContent HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n"
        f"x-goog-api-key: PLACEHOLDER_GEMINI_TOKEN\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
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
def serving(upstream: str, cores: list[int]):
    """keypool serve: the process, its port, and how long it took to its first answer."""
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        command = serve_command(folder, port, upstream)
        began = time.monotonic()
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        with programs.running(command, cores, **quiet) as process:
            while not answered(port):
                if process.poll() is not None or time.monotonic() - began > 10:
                    raise programs.Failed("keypool serve did not start: " + " ".join(command))
                time.sleep(0.001)
            yield process, port, time.monotonic() - began


def cpu(process: subprocess.Popen) -> float:
    """Seconds of CPU that it has used: fields 14 and 15 of its stat, behind the name."""
    fields = pathlib.Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def measured(process: subprocess.Popen, address: str, kind: str, millis: int) -> dict:
    """One load on one server: its rate, and its CPU for each answer and chunk."""
    before = cpu(process)
    told = programs.values("bench", "load", address, kind, CONNECTIONS, millis, cores=OTHERS, limit=60)
    used = cpu(process) - before
    if told["failures"] or not told["answers"]:
        raise programs.Failed(f"{kind}: {told['failures']} failures beside {told['answers']} answers at {address}")
    return {
        "rate": told["answers"] / told["seconds"],
        "answer": used / told["answers"],
        "chunk": used / max(told["chunks"], 1),
        "busy": used / told["seconds"],
    }


def against(kind: str, quick: bool) -> tuple[dict[str, list[float]], dict[str, float]]:
    """Ratios of serve to the proxy, round by round (proxy, serve, serve, proxy), and serve's own medians."""
    count, millis = (5, 700) if quick else (9, 1_500)
    ratios: dict[str, list[float]] = {"rate": [], "answer": [], "chunk": [], "busy": []}
    own: dict[str, list[float]] = {what: [] for what in ratios}
    with (
        listening("upstream", cores=OTHERS) as (_, upstream),
        listening("proxy", upstream, cores=SERVER) as (proxy, proxy_at),
        serving(upstream, SERVER) as (gateway, port, _),
    ):
        sides = {"proxy": (proxy, proxy_at), "serve": (gateway, f"127.0.0.1:{port}")}
        for side in sides.values():
            measured(*side, kind, 500)
        for _ in range(count):
            seen = {"proxy": [], "serve": []}
            for side in ("proxy", "serve", "serve", "proxy"):
                seen[side].append(measured(*sides[side], kind, millis))
            for what, each in ratios.items():
                ours, theirs = (statistics.fmean(one[what] for one in seen[side]) for side in ("serve", "proxy"))
                each.append(ours / theirs)
                own[what].append(ours)
    return ratios, {what: statistics.median(each) for what, each in own.items()}


def idling(own: dict[str, float]) -> str:
    """A server that waits for its callers could serve more: its rate is theirs."""
    share = own["busy"] / len(SERVER)
    return "" if share > 0.9 else f"serve used {share:.0%} of its core: the rate is the callers'"


def json(quick: bool) -> Iterator[Line]:
    ratios, own = against("json", quick)
    rate, rate_spread = rounds(ratios["rate"])
    cost, cost_spread = rounds(ratios["answer"])
    yield Line("serve, 1 KiB JSON, 64 connections, 1,000 keys: requests/s over a bare proxy", rate, 0.90, ">=",
               unit="×", spread=rate_spread, note=f"{own['rate']:,.0f}/s, each server on one core", doubt=idling(own))
    yield Line("serve, 1 KiB JSON: CPU a request over a bare proxy", cost, 1.15, unit="×", spread=cost_spread,
               note=f"{own['answer'] * 1e6:.0f} µs")


def post(quick: bool) -> Iterator[Line]:
    ratios, own = against("post", quick)
    rate, spread = rounds(ratios["rate"])
    yield Line("serve, 1 MiB POST, replay on: requests/s over a bare proxy", rate, 0.90, ">=", unit="×", spread=spread,
               note=f"{own['rate']:,.0f}/s", doubt=idling(own))
    cost, spread = rounds(ratios["answer"])
    yield Line("serve, 1 MiB POST: CPU a request over a bare proxy", cost, 0, "", unit="×", spread=spread,
               note=f"{own['answer'] * 1e6:.0f} µs")


def stream(quick: bool) -> Iterator[Line]:
    ratios, own = against("stream", quick)
    cost, spread = rounds(ratios["chunk"])
    yield Line("serve, 50-chunk event streams: CPU a chunk over a bare proxy", cost, 1.10, unit="×", spread=spread,
               note=f"{own['chunk'] * 1e6:.1f} µs")
    ratios, own = against("gzip", quick)
    cost, spread = rounds(ratios["chunk"])
    yield Line("serve, the same gzip'd: CPU a chunk over a bare proxy", cost, 0, "", unit="×", spread=spread,
               note=f"{own['chunk'] * 1e6:.1f} µs")


def idle(_: bool) -> Iterator[Line]:
    times, resident = [], []
    with listening("upstream", cores=programs.CORES) as (_, upstream):
        for _ in range(5):
            with serving(upstream, programs.CORES) as (process, _, took):
                times.append(took)
                time.sleep(0.5)
                status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
                resident.append(int(status.split("VmRSS:")[1].split()[0]) / 1024)
    yield Line("serve with 1,000 keys: resident idle", statistics.median(resident), 20, unit="MiB")
    yield Line("serve with 1,000 keys: start to first answer, best of 5", min(times) * 1e3, 100, unit="ms")


# A broken pipe to a server that ended is an error of the measurement, not of the interpreter.
signal.signal(signal.SIGPIPE, signal.SIG_IGN)

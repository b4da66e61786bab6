"""The programs that are measured: built once, run with a time limit, ended in any case."""

import contextlib
import json
import os
import pathlib
import re
import shutil
import subprocess

CORES = sorted(os.sched_getaffinity(0))
TARGET = pathlib.Path()
KEYPOOL = pathlib.Path()
# Of the build that tests use: what is counted there says nothing of a release, and is counted over fewer rounds.
LIGHT = False


class Failed(Exception):
    """A program did not do its part."""


def has_valgrind() -> bool:
    return shutil.which("valgrind") is not None


def build(root: pathlib.Path, light: bool, guided: bool) -> None:
    """In steps: a clock that can be paused must not come into a program that is timed, and a `guided` keypool, as it is
    released, is made by several. A light build times nothing: it is made in one, of what the tests were built of."""
    global TARGET, KEYPOOL, LIGHT
    LIGHT = light
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", root / "target"))
    cargo = ["cargo", "build", "--quiet", "--locked"]
    TARGET = target / ("debug" if light else "release")
    KEYPOOL = TARGET / "keypool"
    if light:
        needed = [f"--bin={name}" for name in ("keypool", "batches", "chaos", "count", "virtual", "work")]
        steps = [["--workspace", "--all-features", *needed]]
    else:
        steps = [
            ["--release", "-p", "figures", *([] if guided else ["-p", "keypool"])],
            ["--release", "-p", "figures", "--features", "virtual-time", "--bin", "virtual"],
        ]
    for step in steps:
        if subprocess.run(cargo + step, cwd=root, check=False).returncode != 0:
            raise Failed("the build failed: " + " ".join(cargo + step))
    if guided and not light:
        built = subprocess.run([root / "scripts/guided"], stdout=subprocess.PIPE, text=True, check=False)
        if built.returncode != 0:
            raise Failed("scripts/guided failed; --plain measures keypool as cargo builds it")
        KEYPOOL = pathlib.Path(built.stdout.strip())


def output(program: str, *args: object, cores: list[int] | None = None, limit: float = 600) -> str:
    """What a program prints."""
    command = pinned([str(TARGET / program), *map(str, args)], cores)
    return run(command, limit).stdout


def values(program: str, *args: object, **options) -> dict:
    """The JSON object that a program prints last."""
    printed = output(program, *args, **options).strip().splitlines()
    if not printed:
        raise Failed(f"{program} {' '.join(map(str, args))} printed nothing")
    return json.loads(printed[-1])


def instructions(args: tuple, small: int) -> float:
    """Instructions an iteration of a workload: what twice as many iterations cost more, so that start-up is free."""
    totals = []
    small = max(small // 8, 200) if LIGHT else small
    for count in (small, 2 * small):
        name, *rest = args
        work = [str(TARGET / "work"), name, str(count), *map(str, rest)]
        ran = run(["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", *work], 900)
        collected = re.search(r"Collected : (\d+)", ran.stderr)
        if collected is None:
            raise Failed(f"valgrind said nothing of {' '.join(work)}: {ran.stderr[-400:]}")
        totals.append(int(collected.group(1)))
    return (totals[1] - totals[0]) / small


def run(command: list[str], limit: float) -> subprocess.CompletedProcess:
    try:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=limit, check=False)
    except subprocess.TimeoutExpired as late:
        raise Failed(f"{' '.join(command)} took longer than {limit:.0f} s") from late
    if ran.returncode != 0:
        raise Failed(f"{' '.join(command)} ended with {ran.returncode}: {ran.stderr.strip()[-800:]}")
    return ran


def pinned(command: list[str], cores: list[int] | None) -> list[str]:
    if not cores or shutil.which("taskset") is None:
        return command
    return ["taskset", "-c", ",".join(map(str, cores)), *command]


@contextlib.contextmanager
def running(command: list[str], cores: list[int] | None = None, **options):
    """A program that serves, for as long as the block lasts."""
    process = subprocess.Popen(pinned(command, cores), text=True, **{"stdin": subprocess.DEVNULL, **options})
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

"""Has a keypool that counts what it does do what it mostly does: scripts/guided builds another one by its counts.

    training.py FOLDER KEYPOOL    FOLDER: where the bench's programs lie
"""

import pathlib
import subprocess
import sys

sys.dont_write_bytecode = True

import catalogue  # noqa: E402
import programs  # noqa: E402

# What is asked all day long. What refuses, rests and recovers happens in the demo.
LOADS = ("all-on", "serve-json", "serve-stream", "serve-post", "translated")


def main() -> int:
    programs.TARGET, programs.KEYPOOL = map(pathlib.Path, sys.argv[1:])
    figures = {figure.name: figure for figure in catalogue.FIGURES}
    for load in LOADS:
        # How long anything takes is nothing here.
        for _ in figures[load].measure(True):
            pass
        print(f"asked as in {load}", flush=True)
    subprocess.run([programs.KEYPOOL, "demo"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, timeout=120, check=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

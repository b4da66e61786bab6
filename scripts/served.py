"""Starts `keypool serve` with the simulator behind scripts/answers.py, for scripts that test clients. Installs clients in
target/clients."""

import contextlib
import functools
import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import time

import answers

ROOT = pathlib.Path(__file__).resolve().parent.parent
CLIENTS = ROOT / "target" / "clients"
# The providers' SDKs.
SDKS = ("openai==3.57.0", "anthropic==2.14.0", "google-genai==3.6.1")
KEYS = ["AIzaSy-not-a-real-key-0000000000000001", "AIzaSy-not-a-real-key-0000000000000002"]


def run(*command, **options):
    return subprocess.run(command, check=True, text=True, **options)


@functools.cache
def python_with(*packages, venv="venv"):
    """Returns a Python that has these packages (`name==version`). All packages of one `venv` must be compatible."""
    folder = CLIENTS / venv
    python = folder / "bin" / "python"
    if not python.exists():
        run(sys.executable, "-m", "venv", str(folder))
    known = "from importlib.metadata import distributions; print(*{f'{d.name}=={d.version}' for d in distributions()})"
    there = run(str(python), "-c", known, capture_output=True).stdout.lower().replace("_", "-").split()
    missing = [package for package in packages if re.sub(r"\[.*\]", "", package) not in there]
    if missing:
        install(str(python), missing)
    return str(python)


def install(python, packages):
    """Installs with uv, or with pip if uv is not available. Conflicting frameworks take pip minutes, and uv seconds."""
    pip = (python, "-m", "pip", "install", "-q")
    try:
        run(*pip, "uv")
        run(python, "-m", "uv", "pip", "install", "-q", "--python", python, *packages)
    except subprocess.CalledProcessError:
        run(*pip, *packages)


def node_with(*packages):
    """Returns a folder in which Node finds these packages (`name@version`)."""
    CLIENTS.mkdir(parents=True, exist_ok=True)
    wishes = CLIENTS / "package.json"
    if not wishes.exists():
        wishes.write_text('{"private": true, "type": "module"}')
    asked = json.loads(wishes.read_text()).get("dependencies", {}).items()
    missing = [package for package in packages if tuple(package.rsplit("@", 1)) not in asked]
    if missing:
        run("npm", "install", "--silent", "--no-audit", "--no-fund", "--save-exact", *missing, cwd=CLIENTS)
    return CLIENTS


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_for(port):
    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    sys.exit(f"nothing listens on port {port}")


@contextlib.contextmanager
def certificate():
    """Yields the files of a self-signed certificate for localhost and of its key."""
    with tempfile.TemporaryDirectory() as folder:
        shown, key = f"{folder}/cert.pem", f"{folder}/key.pem"
        curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")
        name = ("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost")
        run("openssl", "req", "-x509", *curve, "-nodes", *name, "-out", shown, "-keyout", key, capture_output=True)
        yield shown, key


@contextlib.contextmanager
def gateway(options="", latency=0, **settings):
    """Yields the port of a running gateway. `settings` are variables such as KEYPOOL__GATEWAY__STRICT="false", `options` are
    options of each key, and `latency` is the simulator's, in milliseconds. If KEYPOOL_BUILT is set, nothing is built."""
    if "KEYPOOL_BUILT" not in os.environ:
        run("cargo", "build", "-q", "-p", "keypool", cwd=ROOT)
        run("cargo", "build", "-q", "-p", "gemini-sim", "--example", "standalone", cwd=ROOT)
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug"
    simulated, upstream, port = free_port(), free_port(), free_port()
    with tempfile.TemporaryDirectory() as folder:
        keys = pathlib.Path(folder) / "key.txt"
        keys.write_text("".join(f"{key} project=project-{n} {options}\n" for n, key in enumerate(KEYS)))
        simulator = subprocess.Popen(
            [target / "examples" / "standalone", "--port", str(simulated), "--chunks", "5", "--latency-ms", str(latency)]
            + [argument for key in KEYS for argument in ("--project", f"free:0:{key}")],
            stdout=subprocess.DEVNULL,
        )
        served = subprocess.Popen(
            [target / "keypool", "serve", "-q", "--keys", keys, "--listen", f"127.0.0.1:{port}"]
            + ["--upstream", f"http://127.0.0.1:{upstream}", "--db", pathlib.Path(folder) / "keypool.db"],
            env={**os.environ, **settings},
        )
        model = answers.serve(upstream, simulated)
        try:
            wait_for(simulated)
            wait_for(port)
            yield port
        finally:
            model.shutdown()
            for process in (served, simulator):
                process.terminate()
                process.wait(10)

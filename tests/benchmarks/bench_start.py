"""How long `import perfmw` and the first request take, in a fresh interpreter.

The modules are compiled beforehand, as pip does when it installs them, also where the environment forbids
Python to write what it compiles; ``--cold`` compiles perfmw's each time.

python -m tests.benchmarks.bench_start [--json] [--cold]
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile

PROGRAM = """
import time
begun = time.perf_counter()
import asyncio
import perfmw
imported = time.perf_counter()

async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"cache-control", b"max-age=60")]})
    await send({"type": "http.response.body", "body": b"hello"})

async def main():
    wrapped = perfmw.PerfMiddleware(app)
    scope = {"type": "http", "method": "GET", "scheme": "http", "path": "/", "raw_path": b"/",
             "query_string": b"", "root_path": "", "headers": [(b"host", b"x.example")],
             "http_version": "1.1", "asgi": {"version": "3.0"}}
    async def receive():
        return {"type": "http.request", "body": b""}
    async def send(message):
        if message["type"] == "http.response.body":
            print(imported - begun, time.perf_counter() - begun)
    await wrapped(scope, receive, send)
    await wrapped.runtime.stop()

asyncio.run(main())
"""


def measure(*, cold: bool, rounds: int = 7) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        compiled = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": folder}
        env = {**os.environ, **({"PYTHONDONTWRITEBYTECODE": "1"} if cold else compiled)}
        run_once(env)  # so that all is compiled, and read from the disk
        rows = [run_once(env) for _ in range(rounds)]
    imported, served = (statistics.median(column) for column in zip(*rows, strict=True))
    return {"import_s": imported, "import_and_first_request_s": served}


def run_once(env: dict[str, str]) -> list[float]:
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=env)
    return [float(number) for number in done.stdout.split()]


def main() -> None:
    figures = measure(cold="--cold" in sys.argv)
    if "--json" in sys.argv:
        print(json.dumps(figures))
        return
    print(f"import perfmw                   {figures['import_s']:.3f} s")
    print(f"import and first request served {figures['import_and_first_request_s']:.3f} s (< 0.5)")


if __name__ == "__main__":
    main()

"""What the dashboard costs: to who looks, and to the server while somebody does.

A real uvicorn in a process of its own, with 1,000 routes and a day of data; the rival is the same server
with no page open, or with the dashboard off, in blocks that take turns.
A page is usable when its first screen is drawn and answers: content painted, document parsed, every module
run, and a picture drawn after that. What lies below the first screen is laid out next; when that was done
is told, too. ``loads`` are of a server that was asked before, ``cold`` of one whose first page it is; both
tell how long the server took to begin its answer.
``python -m tests.benchmarks.bench_dashboard`` prints a line a figure: what it is, its value with the samples
behind it, what it needs, and the verdict. ``--only help,cold,loads,loop,api,none,stream,chromium,pages50``
does some of it; no part takes two minutes. Pages need playwright and chromium, else they are left out.
``healthz``, two letters of text, is the rival of the pages' times (main thread four times slower).
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))
ROUTES = 1_000
DAY, STEP = 86_400.0, 600.0
PAGES = (
    *("healthz", "", "profiles", "caching", "resources", "optimization"),
    *("?window=86400", "alerts", "plugins", "settings"),
)
API = (
    *("overview", "routes?limit=1000", "profiles?limit=100", "cache", "layers", "openapi.json"),
    *("course?window=86400", "pools/history?window=86400", "timeline", "score", "cost", "settings"),
)
OPEN = 50
PAIRS, BLOCK = 8, 6.0
ROUNDS, QUIET, LONG, LOADS = 8, 3.0, 5.0, 5
TAB = 1.0
"""Seconds for a new tab to start, whose window and processes take both cores: no part of a page's load."""
TURNS, STEADY = 4, 12.0
T95 = {3: 3.182, 7: 2.365}
"""Quantiles of Student's distribution by the degrees of freedom."""


def say(figure: str, value: str, needs: str, good: bool) -> None:
    sys.stdout.write(f"{figure}: {value}; needs {needs}: {'holds' if good else 'FAILS'}\n")
    sys.stdout.flush()


def make_app() -> Any:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import PlainTextResponse, Response
    from starlette.routing import Route

    from perfmw import CacheRule, PerfMiddleware, Settings

    async def page(request: Request) -> Response:
        return PlainTextResponse("hello")

    routes = [Route(f"/r{n}/{{id}}", page) for n in range(ROUTES)]
    settings = Settings(
        dashboard=os.environ["BENCH_DASHBOARD"],  # type: ignore[arg-type]
        plugins=(),
        max_profiles=2_000,
        cache_rules=[CacheRule(path="/r1*", ttl=60)],
    )
    app = PerfMiddleware(Starlette(routes=routes), settings=settings)
    a_day_before(app.runtime)
    return app


def a_day_before(runtime: Any) -> None:
    """As if the app had been asked for a day: every route every ten minutes."""
    from perfmw.monitoring.history import History
    from perfmw.profiles.store import WHOLE
    from perfmw.profiles.windows import Windows

    store, end = runtime.profiles, time.time()
    now = [end - DAY]
    store._clock = lambda: now[0]
    store.started_at = store._ticked_at = store._reviewed_at = now[0]
    store.whole = Windows(now[0], WHOLE)
    history = runtime.rounds.history = History(now[0])
    for step in range(int(DAY / STEP)):
        for n in range(ROUTES):
            recorder = store.recorder(f"GET /r{n}/{{id}}")
            recorder.origin(0.001 * (1 + n % 50 + step % 7), 200, "uri-miss")
            recorder.hit(0.0002)
        history.add(now[0], {"cpu": step % 10 / 10, "memory": 0.4, "storage": 0.2})
        now[0] += STEP
        store.tick(now[0])
    store._clock = time.time


@contextmanager
def server(dashboard: str = "loopback") -> Iterator[tuple[int, int]]:
    """Port and process id."""
    command = [sys.executable, "-m", "uvicorn", "bench_dashboard:make_app", "--factory", "--port", "0"]
    paths = f"{ROOT}{os.pathsep}{Path(__file__).parent}"
    environment = {**os.environ, "PYTHONPATH": paths, "BENCH_DASHBOARD": dashboard}
    with subprocess.Popen(
        [*command, "--no-access-log"], stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stderr is not None
        port = next(int(found[1]) for line in process.stderr if (found := re.search(r":(\d+) \(", line)))
        yield port, process.pid
        process.terminate()


def get(connection: http.client.HTTPConnection, path: str) -> float:
    """Seconds for an answer."""
    began = time.perf_counter()
    connection.request("GET", path)
    answer = connection.getresponse()
    answer.read()
    assert answer.status == 200, (path, answer.status)
    return time.perf_counter() - began


def settle() -> None:
    """What a process counted in a day, it has described more than once: not so the one that was just made."""
    time.sleep(3)


def ask_all(port: int) -> None:
    """Every route twice, and a moment for the timer to count it."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    for n in range(2 * ROUTES):
        get(connection, f"/r{n % ROUTES}/{n % 3}")
    connection.close()
    time.sleep(2)


def cpu_of(pid: int) -> float:
    """Seconds that the threads of a process ran, which the scheduler counts in nanoseconds."""
    return sum(int(one.read_text().split()[0]) for one in Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9


def share(pid: int, seconds: float) -> float:
    """The share of a core that the process takes."""
    before, began = cpu_of(pid), time.perf_counter()
    time.sleep(seconds)
    return (cpu_of(pid) - before) / (time.perf_counter() - began)


@contextmanager
def looking(port: int, number: int) -> Iterator[None]:
    """So many open pages, in another process."""
    command = [sys.executable, "-m", "tests.benchmarks.pages", str(port), str(number)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield
        process.kill()


def latencies(port: int, seconds: float) -> list[float]:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    found, until, n = [], time.perf_counter() + seconds, 0
    while time.perf_counter() < until:
        found.append(get(connection, f"/r{n % ROUTES}/{n}"))
        n += 1
        time.sleep(0.002)
    connection.close()
    return found


def p99(values: list[float]) -> float:
    return statistics.quantiles(values, n=100)[98]


def pooled(some: list[list[float]], none: list[list[float]]) -> tuple[float, float, float]:
    """The ratio of the p99 of all blocks together, and where 95% of it lie when pairs are drawn anew."""

    def ratio(chosen: list[int]) -> float:
        above, below = ([one for n in chosen for one in blocks[n]] for blocks in (some, none))
        return p99(above) / p99(below)

    pairs, chance = range(len(some)), random.Random(0)
    drawn = sorted(ratio(chance.choices(pairs, k=len(some))) for _ in range(1_000))
    return ratio(list(pairs)), drawn[25], drawn[-26]


def api_answers(port: int, pid: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("GET", "/_perfmw/api/v1/routes?limit=1")
    one = json.loads(connection.getresponse().read())["items"][0]["id"]
    for path in (*API, f"profiles/{one}/details?window=86400"):
        times = [get(connection, f"/_perfmw/api/v1/{path}") for _ in range(20)]
        median, most = statistics.median(times) * 1e3, max(times) * 1e3
        value = f"median {median:.1f} ms, longest of {len(times)} {most:.1f} ms"
        say(f"API {path}", value, "< 50 ms (median)", median < 50)
    connection.close()


def open_pages(port: int, pid: int) -> None:
    """Pages of the server asked, in turns with as many of another, so that who shows them works as much."""
    alone: list[list[float]] = []
    watched: list[list[float]] = []
    with server() as (other, _):
        ask_all(other)
        latencies(port, 1.0)
        for pair in range(PAIRS):
            for looked_at in (port, other) if pair % 2 else (other, port):
                with looking(looked_at, OPEN):
                    time.sleep(1)
                    (watched if looked_at == port else alone).append(latencies(port, BLOCK))
    ratio, low, high = pooled(watched, alone)
    value = (
        f"ratio {ratio:.2f} [{low:.2f}, {high:.2f}], 95% by resampling {PAIRS} pairs of {BLOCK} s "
        f"with {OPEN} pages of it and of another server (of {p99([*chain(*alone)]) * 1e3:.2f} ms), "
        f"{sum(map(len, watched))} requests"
    )
    say("p99 of requests", value, "<= 1.05", ratio <= 1.05)


def open_page(port: int, pid: int) -> None:
    """One page, some seconds after it was opened, against the same server without."""
    without, watched = [], []
    for _ in range(TURNS):
        without.append(share(pid, STEADY))
        with looking(port, 1):
            time.sleep(3)
            watched.append(share(pid, STEADY))
    tell_share("one open page", watched, without, STEADY, "< 1%", 0.01)


def loop_during_pages(port: int, pid: int) -> None:
    """What a request of the app waits while a page is made: the longest of those asked meanwhile."""
    with server() as (fresh, _):
        settle()
        for which, at, asked in (("first page of a process", fresh, ("",)), ("pages", port, PAGES[1:])):
            waited = [longest_meanwhile(at, f"/_perfmw/{page}") for page in asked]
            longest, middle = max(waited) * 1e3, statistics.median(waited) * 1e3
            value = f"longest {longest:.0f} ms, median of {len(waited)} pages {middle:.0f}"
            say(f"requests during {which}", value, "<= 100 ms", max(waited) <= 0.1)


def longest_meanwhile(port: int, path: str) -> float:
    """The longest that a route took of those asked while a page was."""
    pages = http.client.HTTPConnection("127.0.0.1", port)
    asking = threading.Thread(target=get, args=(pages, path))
    routes = http.client.HTTPConnection("127.0.0.1", port)
    get(routes, "/r1/1")
    asking.start()
    found = []
    while asking.is_alive():
        found.append(get(routes, "/r1/1"))
    pages.close()
    routes.close()
    return max(found, default=0.0)


def nobody_looks(port: int, pid: int) -> None:
    """The dashboard switched on and looked at before, against one that is off."""
    with server("off") as (rival, rival_pid):
        ask_all(rival)
        off: list[float] = []
        on: list[float] = []
        woken = {pid: 0, rival_pid: 0}
        for _ in range(ROUNDS):
            for process, shares in ((rival_pid, off), (pid, on)):
                before = wakes(process)
                shares.append(share(process, QUIET))
                woken[process] += wakes(process) - before
    which = "no page open, against the dashboard off"
    tell_share(which, on, off, QUIET, "0 (within 0.2%, or not to be told from 0)", 0.002)
    most = 1.15 * woken[rival_pid]
    value = f"{woken[pid]} times, {woken[rival_pid]} with the dashboard off"
    say("woken with no page open", value, f"about the same (<= {most:.0f})", woken[pid] <= most)


def wakes(pid: int) -> int:
    """How often the threads of a process began anew after waiting."""
    statuses = (one.read_text() for one in Path(f"/proc/{pid}/task").glob("*/status"))
    return sum(int(text.partition("\nvoluntary_ctxt_switches:")[2].split()[0]) for text in statuses)


@dataclass(frozen=True)
class Load:
    """Seconds until the first screen was drawn and answered, until the rest was there, of the first those
    that the main thread worked, and those until the server's answer began; bytes on the wire."""

    usable: float
    whole: float
    busy: float
    served: float
    size: float


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser; None where there is none."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        path = None
    if path is None:
        yield None
        return
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


def first_loads(port: int, pid: int) -> None:
    with chromium() as browser:
        if browser is None:
            return
        first_load(browser, f"http://127.0.0.1:{port}/_perfmw/healthz")
        for page in PAGES:
            loads = [first_load(browser, f"http://127.0.0.1:{port}/_perfmw/{page}") for _ in range(LOADS)]
            tell_loads(page, loads)


def first_pages() -> None:
    """Each page as the first that a process serves; compiled modules and templates are there."""
    with chromium() as browser:
        if browser is None:
            return
        for page in PAGES[1:]:
            with server() as (port, _):
                settle()
                load = first_load(browser, f"http://127.0.0.1:{port}/_perfmw/{page}")
                tell_loads(page, [load], " of a process")


def tell_loads(page: str, loads: list[Load], which: str = "") -> None:
    """The median decides; the fastest is told as well, as what else the machine does only ever adds."""
    size = max(one.size for one in loads) / 1e3
    say(f"page /{page}, first load{which}", f"{size:.1f} KB on the wire", "<= 40 KB", size <= 40)
    usable, whole, busy, served = (
        statistics.median(getattr(one, name) for one in loads)
        for name in ("usable", "whole", "busy", "served")
    )
    value = (
        f"usable after {usable * 1e3:.0f} ms, median of {len(loads)} "
        f"(fastest {min(one.usable for one in loads) * 1e3:.0f}, server {served * 1e3:.0f}, "
        f"processor time of the page {busy * 1e3:.0f}; all of it there after {whole * 1e3:.0f})"
    )
    say(f"page /{page}{', first' + which if which else ''}", value, "<= 500 ms", usable <= 0.5)


def page_in_chromium(port: int, pid: int) -> None:
    """The server's processor time with a page open against the same with none, in turns."""
    without, watched = [], []
    with chromium() as browser:
        if browser is None:
            return
        for _ in range(ROUNDS):
            without.append(share(pid, LONG))
            tab = browser.new_page()
            tab.goto(f"http://127.0.0.1:{port}/_perfmw/")
            tab.wait_for_timeout(3_000)
            watched.append(share(pid, LONG))
            tab.close()
    tell_share("one open page in Chromium", watched, without, LONG, "< 1%", 0.01)


def tell_share(
    what: str, some: list[float], none: list[float], seconds: float, needs: str, most: float
) -> None:
    """The mean of the differences of blocks that took turns, with its 95% interval (Student's t)."""
    differences = [one - other for one, other in zip(some, none, strict=True)]
    more = statistics.mean(differences)
    half = T95[len(differences) - 1] * statistics.stdev(differences) / len(differences) ** 0.5
    value = (
        f"{more:+.3%} of a core, 95% within [{more - half:+.3%}, {more + half:+.3%}] "
        f"({statistics.mean(none):.2%} without, {len(none)} x {seconds:.0f} s each)"
    )
    say(what, value, needs, more < most or (most < 0.005 and more - half <= 0))


def first_load(browser: Any, url: str) -> Load:
    """In a tab that is open, with nothing in the browser's cache."""
    context = browser.new_context()
    page = context.new_page()
    session = context.new_cdp_session(page)
    session.send("Network.enable")
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    page.wait_for_timeout(TAB * 1e3)
    session.send("Emulation.setCPUThrottlingRate", {"rate": 4})
    sizes: list[float] = []
    session.on("Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"]))
    page.goto(url, wait_until="domcontentloaded")  # which comes after all modules
    told = session.send("Performance.getMetrics")["metrics"]
    busy = next(one["value"] for one in told if one["name"] == "TaskDuration")
    usable, whole, served = (moment / 1e3 for moment in page.evaluate(MOMENTS))
    page.wait_for_timeout(500)
    context.close()
    return Load(usable, whole, busy, served, sum(sizes))


MOMENTS = """async () => {
  const { domContentLoadedEventEnd: ready, requestStart, responseStart } =
    performance.getEntriesByType("navigation")[0];
  const first = (type, name) => performance.getEntriesByName(name, type)[0]?.startTime;
  const when = async (type, name) => {
    while (first(type, name) === undefined) await new Promise((done) => setTimeout(done, 20));
    return first(type, name);
  };
  const painted = Math.max(ready, await when("paint", "first-contentful-paint"));
  if (!document.querySelector("main")) return [painted, painted, responseStart - requestStart];
  const drawn = Math.max(painted, await when("mark", "drawn")); // a part may be painted first
  const whole = await when("mark", "whole");
  return [drawn, whole, responseStart - requestStart];
}"""


def help_of_the_command() -> None:
    """With compiled modules, and as the first time, where all of perfmw and click is compiled."""
    command = [sys.executable, "-m", "perfmw.cli", "--help"]
    with tempfile.TemporaryDirectory() as compiled:
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": compiled, "PYTHONPATH": str(ROOT)}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        cold, *warm = (help_once(command, environment) for _ in range(12))
    say(
        "perfmw --help",
        f"{min(warm):.3f} s, least of {len(warm)} ({cold:.2f} cold)",
        "< 0.15 s",
        min(warm) < 0.15,
    )


def help_once(command: list[str], environment: dict[str, str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - began


PARTS: dict[str, Callable[[int, int], None]] = {
    "loads": first_loads,
    "loop": loop_during_pages,
    "api": api_answers,
    "none": nobody_looks,
    "stream": open_page,
    "chromium": page_in_chromium,
    "pages50": open_pages,
}


def main() -> None:
    known = ("help", "cold", *PARTS)
    parser = argparse.ArgumentParser(description="What the dashboard costs.")
    parser.add_argument("--only", default=",".join(known), help="some of: %(default)s")
    wanted = parser.parse_args().only.split(",")
    if strange := set(wanted) - set(known):
        parser.error(f"no part is named {', '.join(sorted(strange))}; there are {', '.join(known)}")
    if "help" in wanted:
        help_of_the_command()
    if "cold" in wanted:
        first_pages()
    if parts := [work for name, work in PARTS.items() if name in wanted]:
        with server() as (port, pid):
            ask_all(port)
            for work in parts:
                work(port, pid)


if __name__ == "__main__":
    main()

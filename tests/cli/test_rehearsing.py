"""``perfmw simulate --learn`` on traces and logs made here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from perfmw.cli.group import cli


def simulate(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, ["simulate", *map(str, arguments)])


def line(client: str, second: int, path: str, size: int = 1_000) -> str:
    moment = f"{second // 3_600:02}:{second // 60 % 60:02}:{second % 60:02}"
    return f'{client} - - [17/May/2015:{moment} +0000] "GET {path} HTTP/1.1" 200 {size}\n'


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Every ten minutes somebody opens a page and what is embedded in it."""
    path = tmp_path / "access.log"
    with path.open("w") as lines:
        for number in range(140):
            lines.write(line(f"c{number}", 600 * number, "/page"))
            lines.write(line(f"c{number}", 600 * number + 1, "/style.css"))
    return path


def test_the_curve_of_a_trace(tmp_path: Path) -> None:
    trace = tmp_path / "keys"
    trace.write_text("\n".join(["a", "b", "c"] * 10))
    result = simulate(trace, "--learn", "curve", "--size", "2,3", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert [row["hit_ratio"] for row in found["curve"]] == [0.0, 0.9]
    assert (found["knee"], found["footprint"], found["unit"]) == (3, 3, "entries")
    assert found["doubled"][0] == {"size": 2, "more_hits": 27.0}
    assert "knee" in simulate(trace, "--learn", "curve", "--size", "2").stdout


def test_twice_the_memory_is_told_in_money_where_the_trace_tells_costs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An hour of reads of three values that take half a second each, with room for two of them."""
    monkeypatch.setenv("PERFMW_PRICE_ORIGIN_CALL", "0.01")
    monkeypatch.setenv("PERFMW_CURRENCY", "EUR")
    trace = tmp_path / "keys"
    trace.write_text("".join(f"{'abc'[n % 3]} 100 0.5 {1_700_000_000 + 120 * n}\n" for n in range(31)))
    [found] = json.loads(simulate(trace, "--learn", "curve", "--size", "200", "--json").stdout)["doubled"]
    assert found["more_hits"] == pytest.approx(28)
    assert found["an_hour"]["seconds_saved"] == pytest.approx(14)
    assert found["an_hour"]["money_saved"] == pytest.approx(28 * 0.01 + 14 / 3_600 * 0.04)
    assert 0 < found["an_hour"]["worth"] < found["an_hour"]["money_saved"]
    told = simulate(trace, "--learn", "curve", "--size", "2", "--by", "entries").stdout
    assert "+28 hits and spare +14,000 ms an hour; worth +0.2802 EUR an hour" in told


def test_a_trace_with_sizes_has_a_curve_by_bytes(tmp_path: Path) -> None:
    trace = tmp_path / "keys"
    trace.write_text("a 100\nb 200\na 100\nb 200\n")
    found = json.loads(simulate(trace, "--learn", "curve", "--size", "250,400", "--json").stdout)
    assert found["unit"] == "bytes"
    assert [row["hit_ratio"] for row in found["curve"]] == [0.0, 0.5]


def test_what_was_wasted_is_told_where_there_are_sizes(tmp_path: Path) -> None:
    trace = tmp_path / "keys"
    trace.write_text("".join(f"once-{number} 100\n" for number in range(20)))
    told = simulate(trace, "--learn", "curve", "--size", "500").stdout
    assert "100% of the bytes stored were never hit" in told


def test_parts_for_namespaces_of_a_trace(tmp_path: Path) -> None:
    trace = tmp_path / "keys"
    lines = [f"GET https://shop.example/api/{number % 50}\n/export/{number}\n" for number in range(3_000)]
    trace.write_text("".join(lines).replace("GET ", ""))
    result = simulate(trace, "--learn", "partition", "--size", "60,5000", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["namespaces"] == ["api", "export"]
    assert found["plans"][0]["parts"]["api"] >= 50
    assert found["plans"][1]["parts"] is None
    assert "predicted to change" in simulate(trace, "--learn", "partition", "--size", "60").stdout


def test_prefetching_on_a_log(log: Path) -> None:
    found = json.loads(simulate(log, "--learn", "prefetch", "--json").stdout)
    assert found["hit_ratio"] == 0.0
    assert found["hit_ratio_prefetching"] == pytest.approx(0.5, abs=0.02)
    assert found["used"] == 1.0
    assert "used" in simulate(log, "--learn", "prefetch").stdout


def test_a_strategy_of_a_log(log: Path) -> None:
    with log.open("a") as lines:
        for number in range(140):  # what is posted changes what is read within seconds
            post = line("c", 600 * number + 100, "/cart").replace('"GET', '"POST')
            lines.write(post + line("c", 600 * number + 110, "/total", 2_000 + number))
    loose = (log, "--learn", "strategy", "--size", "1MiB", "--max-stale", "0.5")
    found = json.loads(simulate(*loose, "--json").stdout)
    assert found["memory_max_bytes"] < 20_000
    assert 900 <= found["ttl"] <= 86_400
    rules = [(rule["trigger"], rule["invalidates"]) for rule in found["patterns"]["invalidation_rules"]]
    assert rules == [("/cart", "/total")]
    assert "% stale" in found["evidence"]["ttl"]
    assert f"ttl = {found['ttl']:g}" in simulate(*loose).stdout
    strict = json.loads(simulate(log, "--learn", "strategy", "--json").stdout)
    assert strict["ttl"] < 600 < found["ttl"]  # a third of the reads would be stale


def test_neither_a_trace_nor_a_log_has_no_strategy(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("what a fine day it is today\n")
    result = simulate(tmp_path / "text", "--learn", "strategy")
    assert result.exit_code == 2
    assert "no access log" in result.stderr


def test_patterns_in_a_log(log: Path) -> None:
    result = simulate(log, "--learn", "patterns")
    assert result.exit_code == 0, result.output
    assert "280 reads of about 2 keys" in result.stdout


def test_the_ttl_on_a_log(log: Path, tmp_path: Path) -> None:
    changes = tmp_path / "changes.csv"
    changes.write_text("key,at\n/page,1431860400\n/page,1431853200\n")
    result = simulate(log, "--learn", "ttl", "--changes", changes, "--max-stale", "0.2", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["reads"] == 280
    assert found["miss_ratio"] < 1
    assert found["stale_share"] <= 0.2


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("/page\n", "not a key and a time"),
        ("a,1\na,never\n", "'never' is no time"),
        ("a,1\na,nan\n", "'nan' is no time"),
        ("", "no change of what was read"),
        ("/page,1431860400000\n/other,1431860400\n", "no change of what was read"),
    ],
)
def test_changes_that_are_none(log: Path, tmp_path: Path, content: str, problem: str) -> None:
    changes = tmp_path / "changes.csv"
    changes.write_text(content)
    result = simulate(log, "--learn", "ttl", "--changes", changes)
    assert result.exit_code != 0
    assert problem in result.output


def test_a_recording_tells_patterns_and_lifetimes_as_well(tmp_path: Path) -> None:
    trace, changes = tmp_path / "keys", tmp_path / "changes.csv"
    trace.write_text("".join(f"/rows/{n % 5} 100 0.01 {1_700_000_000 + n}\n" for n in range(200)))
    changes.write_text("/rows/0,1700000100\n")
    assert json.loads(simulate(trace, "--learn", "patterns", "--json").stdout)["reads"] == 200
    learned = simulate(trace, "--learn", "ttl", "--changes", changes, "--max-stale", "0.1", "--json")
    assert json.loads(learned.stdout)["reads"] == 200


def test_what_is_missing_is_said(tmp_path: Path, log: Path) -> None:
    other = tmp_path / "other"
    other.write_text("nothing\n")
    for arguments, problem in (
        ((other, "--learn", "prefetch"), "no access log"),
        ((log, "--learn", "ttl"), "--changes"),
        ((other, "--learn", "patterns"), "does not tell when"),
        ((tmp_path / "none", "--learn", "curve"), "does not exist"),
    ):
        result = simulate(*arguments)
        assert result.exit_code != 0
        assert problem in result.output

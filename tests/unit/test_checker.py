"""The stand-in for Prometheus: its PromQL on made-up samples, and the stack's own rules on made-up outages."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

STAGING = Path(__file__).resolve().parents[2] / "fixtures" / "staging"
sys.path.insert(0, str(STAGING))
from checker.promql import Unknown, compiled  # noqa: E402
from checker.rules import read_rules  # noqa: E402

sys.path.remove(str(STAGING))

RULES = yaml.safe_load((STAGING / "prometheus" / "rules.yml").read_text(encoding="utf-8"))


class MadeUp:
    """Series from a table: labels in PromQL's words, and a value for each second."""

    def __init__(self, series: Mapping[str, list[float | None]]) -> None:
        self._series = {_labels(name): values for name, values in series.items()}

    def now(self, matches: Callable[[Mapping[str, str]], bool], at: float) -> dict[Any, float]:
        found = {each: values[int(at)] for each, values in self._series.items() if matches(dict(each))}
        return {each: value for each, value in found.items() if value is not None}

    def within(self, matches: Callable[[Mapping[str, str]], bool], since: float, at: float) -> dict[Any, Any]:
        return {
            each: [(float(t), v) for t, v in enumerate(values) if since <= t <= at and v is not None]
            for each, values in self._series.items()
            if matches(dict(each))
        }


def _labels(text: str) -> frozenset[tuple[str, str]]:
    name, _, rest = text.rstrip("}").partition("{")
    pairs = [pair.partition("=") for pair in rest.split(",") if pair]
    return frozenset({("__name__", name), *((label, value) for label, _, value in pairs)})


def value(expression: str, series: Mapping[str, list[float | None]], at: float = 10) -> dict[str, float]:
    found = compiled(expression)(MadeUp(series), at)
    assert isinstance(found, dict)
    return {",".join(f"{k}={v}" for k, v in sorted(labels) if k != "__name__"): v for labels, v in found.items()}


EVEN = [float(n) for n in range(11)]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("vector(1)", {"": 1.0}),
        ("m", {"a=x": 10.0, "a=y": 20.0}),
        ('m{a="x"}', {"a=x": 10.0}),
        ('m{a!="x"}', {"a=y": 20.0}),
        ('m{a=~"x|z"}', {"a=x": 10.0}),
        ('m{a!~"x.*"}', {"a=y": 20.0}),
        ("max(m)", {"": 20.0}),
        ("min by (a) (m)", {"a=x": 10.0, "a=y": 20.0}),
        ("sum(m) / count(m)", {"": 15.0}),
        ("m > 15", {"a=y": 20.0}),
        ("m == 10", {"a=x": 10.0}),
        ("m / m", {"a=x": 1.0, "a=y": 1.0}),
        ("m > 15 and m > 1", {"a=y": 20.0}),
        ("m > 15 and m < 1", {}),
        ("m > 15 or m", {"a=x": 10.0, "a=y": 20.0}),
        ("m < 1 or vector(1) * 3", {"": 3.0}),
        ("absent(nothing)", {"": 1.0}),
        ("absent(m)", {}),
        ("sum(rate(m[10s]))", {"": 3.0}),
        ("max(last_over_time(gone[5s]))", {"": 7.0}),
        ("gone", {}),
    ],
)
def test_an_expression_means_what_it_means_to_prometheus(expression: str, expected: dict[str, float]) -> None:
    series: dict[str, list[float | None]] = {
        "m{a=x}": list(EVEN),
        "m{a=y}": [2 * n for n in EVEN],
        "gone{a=x}": [*EVEN[:8], None, None, None],
    }
    assert value(expression, series) == pytest.approx(expected)


def test_a_counter_that_began_anew_has_no_negative_rate() -> None:
    series: dict[str, list[float | None]] = {"m": [100.0, 101, 102, 103, 104, 105, 0, 1, 2, 3, 4]}
    assert value("rate(m[10s])", series)[""] == pytest.approx(0.9, abs=0.05)


def test_a_rate_is_extrapolated_as_prometheus_does_it() -> None:
    # Five samples in the last five seconds of ten: half an interval more on the side where there are none.
    series: dict[str, list[float | None]] = {"m": [None] * 6 + [100.0, 110, 120, 130, 140]}
    assert value("rate(m[10s])", series)[""] == pytest.approx(40 * (4 + 0.5) / 4 / 10)


def test_one_sample_has_no_rate() -> None:
    assert value("rate(m[10s])", {"m": [None] * 10 + [5.0]}) == {}


def test_a_quantile_is_interpolated_within_its_bucket() -> None:
    series: dict[str, list[float | None]] = {
        "b{le=0.1}": [50.0] * 11,
        "b{le=0.5}": [90.0] * 11,
        "b{le=1}": [100.0] * 11,
        "b{le=+Inf}": [100.0] * 11,
    }
    assert value("histogram_quantile(0.95, b)", series)[""] == pytest.approx(0.75)
    assert value("histogram_quantile(0.7, b)", series)[""] == pytest.approx(0.3)
    assert math.isnan(value("histogram_quantile(0.7, b)", {name: [0.0] * 11 for name in series})[""])


@pytest.mark.parametrize(
    "expression",
    [
        "m offset 5m",
        "topk(3, m)",
        "m[5s]",
        "rate(m)",
        "m unless m",
        "a / on (x) b",
        "m{",
        "1 +",
        "vector(m)",
        "irate(m[5s])",
    ],
)
def test_what_is_not_known_is_refused_and_never_guessed(expression: str) -> None:
    with pytest.raises(Unknown):
        compiled(expression)(MadeUp({"m": EVEN}), 10)  # type: ignore[dict-item]


def test_every_rule_of_the_stack_is_known() -> None:
    groups = read_rules(RULES)
    known = {(rule.name, *sorted(rule.labels.items())) for rules in groups.values() for rule in rules}
    written = {
        (entry["alert"], *sorted(entry["labels"].items())) for group in RULES["groups"] for entry in group["rules"]
    }
    assert known == written


def firing(series: Mapping[str, list[float | None]], seconds: int) -> dict[str, list[int]]:
    """When each alert of the stack's rules fires."""
    rules = [rule for rules in read_rules(RULES).values() for rule in rules]
    found: dict[str, list[int]] = {}
    for now in range(seconds):
        for rule in rules:
            rule.evaluate(MadeUp(series), float(now))
            if any(active.fired is not None and active.over is None for active in rule.active.values()):
                found.setdefault(rule.name, []).append(now)
    return found


def test_an_outage_of_the_database_fires_at_once_and_its_window_is_kept() -> None:
    up = [1.0] * 20 + [0.0] * 5 + [1.0] * 25
    series: dict[str, list[float | None]] = {
        "dependency_up{job=app,dependency=database,instance=a}": list(up),
        "up{job=app}": [1.0] * 50,
    }
    found = firing(series, 50)
    assert found["DatabaseDown"] == list(range(20, 25))
    assert found["DatabaseOutageInWindow"] == list(range(20, 39))
    assert found["Heartbeat"] == list(range(50))
    assert set(found) == {"DatabaseDown", "DatabaseOutageInWindow", "Heartbeat"}


def test_one_replica_that_reaches_the_database_is_proof_that_it_is_up() -> None:
    series: dict[str, list[float | None]] = {
        "dependency_up{job=app,dependency=database,instance=a}": [0.0] * 20,
        "dependency_up{job=app,dependency=database,instance=b}": [1.0] * 20,
        "up{job=app}": [1.0] * 20,
    }
    assert set(firing(series, 20)) == {"Heartbeat"}


def test_exhausted_connections_page_only_while_the_database_answers() -> None:
    def series(database: float, second: list[float | None]) -> dict[str, list[float | None]]:
        return {
            "dependency_up{job=app,dependency=database,instance=a}": [database] * 20,
            "dependency_up{job=app,dependency=connections,instance=a}": [1.0] * 20,
            "dependency_up{job=app,dependency=connections,instance=b}": second,
            "up{job=app}": [1.0] * 20,
        }

    gone: list[float | None] = [1.0] * 5 + [0.0] * 10 + [1.0] * 5
    assert firing(series(1.0, gone), 20)["ConnectionsExhausted"] == list(range(7, 15))
    assert "ConnectionsExhausted" not in firing(series(0.0, gone), 20)
    assert "ConnectionsExhausted" not in firing(series(1.0, [1.0] * 5 + [0.0] + [1.0] * 14), 20)


def test_a_lock_pages_when_it_is_waited_for_long_and_keeps_what_follows_from_it_back() -> None:
    name = "database_longest_lock_wait_seconds{job=worker}"
    up: dict[str, list[float | None]] = {"up{job=app}": [1.0] * 40}
    found = firing({name: [0.0] * 5 + [1.5] * 10 + [0.0] * 25, **up}, 40)
    assert found["SlowQueries"][0] < 10
    assert found["LockWaitInWindow"][0] < found["SlowQueries"][0]
    assert found["LockWaitInWindow"][-1] > found["SlowQueries"][-1] + 10
    assert "SlowQueries" not in firing({name: [0.0] * 5 + [0.9] * 15 + [math.nan] * 20, **up}, 40)


def test_an_alert_waits_for_its_time() -> None:
    found = firing({"up{job=app}": [1.0] * 5 + [0.0] * 20}, 25)
    assert found["AppDown"] == list(range(15, 25))


def test_errors_of_a_few_requests_wake_nobody() -> None:
    def requests(status: str, a_second: float) -> dict[str, list[float | None]]:
        return {f"http_requests_total{{job=app,path=/orders,status={status}}}": [a_second * n for n in range(30)]}

    up: dict[str, list[float | None]] = {"up{job=app}": [1.0] * 30}
    assert "HighErrorRate" in firing({**requests("201", 9), **requests("500", 1), **up}, 30)
    assert "HighErrorRate" not in firing({**requests("201", 99), **requests("500", 1), **up}, 30)
    assert "HighErrorRate" not in firing({**requests("201", 0.4), **requests("500", 0.4), **up}, 30)


def test_a_certificate_is_a_ticket_in_time_and_a_page_when_it_is_over() -> None:
    def fires(days: float) -> set[str]:
        name = "edge_certificate_days_left{job=edge}"
        return set(firing({name: [days] * 10, "up{job=app}": [1.0] * 10}, 10)) - {"Heartbeat"}

    assert fires(90.0) == fires(math.nan) == set(), "nobody has looked at it yet"
    assert fires(5.0) == {"CertificateExpiring"}
    assert fires(-1.0) == {"CertificateExpired"}


def test_one_replica_that_fails_what_the_edge_gives_it_pages_and_its_window_is_kept() -> None:
    def answers(replica: str, status: str, counts: list[float]) -> dict[str, list[float | None]]:
        return {f"edge_requests_total{{job=edge,replica={replica},status={status}}}": list(counts)}

    up: dict[str, list[float | None]] = {"up{job=app}": [1.0] * 40}
    steady, broken = [10.0 * n for n in range(40)], [10.0 * min(max(n - 5, 0), 10) for n in range(40)]
    found = firing(
        {**answers("a", "200", steady), **answers("b", "200", steady), **answers("b", "500", broken), **up}, 40
    )
    assert found["BadInstanceInWindow"][0] <= found["BadInstance"][0] < 10
    assert found["BadInstanceInWindow"][-1] > found["BadInstance"][-1] + 10
    meant = {**answers("a", "200", steady), **answers("b", "503", broken), **up}
    assert "BadInstance" not in firing(meant, 40), "503 is an answer that was meant"


def test_what_alertmanager_is_told() -> None:
    [rule] = [rule for rules in read_rules(RULES).values() for rule in rules if rule.name == "DiskFilling"]
    series: dict[str, list[float | None]] = {
        "disk_free_bytes{job=app,path=/data}": [10.0] * 5 + [90.0] * 5,
        "disk_size_bytes{job=app,path=/data}": [100.0] * 10,
    }
    told = []
    for now in range(10):
        rule.evaluate(MadeUp(series), float(now))
        told.append(rule.messages(float(now)))
    assert told[0] == []
    [message] = told[2]
    assert message["labels"] == {"alertname": "DiskFilling", "severity": "page", "path": "/data"}
    assert message["annotations"]["summary"] == "Only 10% of /data is free."
    assert message["endsAt"] > told[4][0]["startsAt"]
    # That it is over is said with the moment when it was.
    assert told[9][0]["endsAt"] == told[5][0]["endsAt"] < told[4][0]["endsAt"]


def test_a_rule_tells_what_it_is_and_what_its_query_gave(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = {"alert": "Down", "expr": "up == 0", "for": "2s", "labels": {"severity": "page"}}
    (rule,) = read_rules({"groups": [{"name": "g", "rules": [entry]}]})["g"]
    series = MadeUp({"up{job=app}": [1, 1, 0, 0, 0, 0, 1, 1, 1, 1, 1]})
    monkeypatch.setattr("checker.rules.time.time", lambda: 1000.0)
    monkeypatch.setattr("checker.rules.time.monotonic", lambda: 0.0)
    states = []
    for second in range(8):
        rule.evaluate(series, second)
        states.append(rule.as_seen()["state"])
    assert states == ["inactive", "inactive", "pending", "pending", "firing", "firing", "inactive", "inactive"]
    told = {"name": "Down", "type": "alerting", "query": "up == 0", "duration": 2.0, "labels": {"severity": "page"}}
    assert rule.as_seen() == {**told, "state": "inactive"}
    (found,) = rule.matrix(1000, 1100, 1)
    assert found["metric"]["job"] == "app"
    assert [at for at, _ in found["values"]] == [1002, 1003, 1004, 1005]
    assert [at for at, _ in rule.matrix(1000, 1100, 2)[0]["values"]] == [1002, 1004]
    assert rule.matrix(1006, 1100, 1) == []

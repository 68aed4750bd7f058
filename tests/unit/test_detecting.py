"""What tells of an incident besides an alert: a page, or a probe; and the probes that ask as an operator does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from made_up import DATABASE_DOWN, incident, scenario
from pydantic import ValidationError

from sevdrill.clock import SystemClock
from sevdrill.databases import Sql
from sevdrill.detectors import AlertDetector, PageDetector, alerts_of, listens
from sevdrill.errors import StackError
from sevdrill.judge import Outcome, judge
from sevdrill.lines import Sample
from sevdrill.plan import checks_of, detect_series, make_plan
from sevdrill.ports import Exec, ExecResult, Monitoring, Page, Pager, Ports
from sevdrill.probes.asking import ExecProbe, LogProbe, MetricProbe, SqlProbe
from sevdrill.scenario import Scenario
from sevdrill.severity import load_policy
from sevdrill.stacks.embedded.logs import EmbeddedLogs
from sevdrill.stacks.metrics import instant
from sevdrill.telemetry import Logs, Metrics
from sevdrill.timeline import Timeline

POLICY = load_policy("sop-001")
LOGGED = {"probe": "log", "service": "app", "match": "refused"}


class Received:
    def __init__(self, *pages: Page) -> None:
        self._pages = list(pages)

    def pages(self, since: int) -> list[Page]:
        return self._pages


def page(number: int, status: str, name: str = "DatabaseDown", kind: str = "page") -> Page:
    return Page(number, kind, status, ({"name": name},))


# -- detectors --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("delivered", "tells"),
    [
        ([], False),
        ([page(1, "firing")], True),
        ([page(1, "firing"), page(2, "resolved")], False),
        ([page(1, "firing"), page(2, "resolved"), page(3, "firing")], True),
        ([page(1, "firing", name="Other")], False),
        ([page(1, "firing", kind="ticket")], False),
    ],
)
def test_a_page_tells_while_its_last_delivery_fires(delivered: list[Page], tells: bool) -> None:
    detector = PageDetector.model_validate({"page": "DatabaseDown"})
    assert detector.read(Ports({Pager: Received(*delivered)})).ok is tells


def test_a_ticket_is_no_page() -> None:
    detector = PageDetector.model_validate({"page": "Slow", "as": "ticket"})
    assert detector.title == "ticket for Slow"
    assert detector.read(Ports({Pager: Received(page(1, "firing", "Slow", "ticket"))})).ok
    assert not detector.read(Ports({Pager: Received(page(1, "firing", "Slow"))})).ok


def told_by(*detectors: dict[str, Any]) -> Scenario:
    return scenario(DATABASE_DOWN, detect=list(detectors), verify=[{"check": "no_lost_writes", "ledger": "orders"}])


def test_a_drill_keeps_what_detects_when_it_is_written_and_read() -> None:
    drill = told_by({"alert": "A", "labels": {"x": "y"}}, {"page": "B", "as": "ticket"}, LOGGED)
    assert [type(each) for each in drill.detect] == [AlertDetector, PageDetector, LogProbe]
    assert list(detect_series(drill)) == ["alert:0:A", "detect:1:ticket for B", "detect:2:the log of app has 'refused'"]
    assert type(drill).model_validate(drill.dump()) == drill
    assert alerts_of(drill.detect) == {"A": {"x": "y"}, "B": {}}
    # What was paged has to fall silent again, too.
    titles = [check.title for check in checks_of(drill)]
    assert "alert A is resolved" in titles
    assert "alert B is resolved" in titles


def test_one_alert_with_two_labels_has_to_fall_silent_with_both() -> None:
    drill = told_by({"alert": "Down", "labels": {"replica": "1"}}, {"alert": "Down", "labels": {"replica": "2"}})
    assert [c.title for c in checks_of(drill)].count("alert Down is resolved") == 2


def test_a_probe_detects_what_the_drill_would_miss_without_it() -> None:
    drill = told_by(LOGGED)
    verdict = judge(Timeline(incident(drill)), drill, POLICY)
    assert verdict.outcome is Outcome.PASSED, verdict.reasons
    assert verdict.marks["detected"].hi == pytest.approx(12.0, abs=0.3)
    silent = judge(Timeline(incident(drill, detected=None)), drill, POLICY)
    assert silent.outcome is Outcome.FAILED
    assert any("the log of app has 'refused' was never seen" in reason for reason in silent.reasons)


def test_what_was_seen_before_the_fault_detects_nothing() -> None:
    drill = told_by(LOGGED)
    name = next(iter(detect_series(drill)))
    lines = [
        line.model_copy(update={"ok": True}) if isinstance(line, Sample) and line.series == name else line
        for line in incident(drill)
    ]
    verdict = judge(Timeline(lines), drill, POLICY)
    assert verdict.outcome is Outcome.INVALID, verdict.reasons


def test_monitoring_that_nobody_listens_to_may_be_dead() -> None:
    watched, seen = told_by({"page": "DatabaseDown"}), told_by(LOGGED)
    assert listens(watched.detect)
    assert not listens(seen.detect)
    assert judge(Timeline(incident(watched, monitoring_dies=5)), watched, POLICY).outcome is Outcome.INVALID
    assert judge(Timeline(incident(seen, monitoring_dies=5)), seen, POLICY).outcome is Outcome.PASSED


def test_the_plan_names_what_a_detector_lacks() -> None:
    from sevdrill.errors import Unsupported

    with pytest.raises(Unsupported, match=r"Pager \(for: page for DatabaseDown\)"):
        make_plan(told_by({"page": "DatabaseDown"}), POLICY, Ports({Monitoring: None}))


# -- metric -----------------------------------------------------------------------------------------------------------


class Numbers:
    def __init__(self, *numbers: float) -> None:
        self._numbers = numbers

    def query(self, query: str) -> list[float]:
        return list(self._numbers)


@pytest.mark.parametrize(
    ("limit", "numbers", "good"),
    [
        ({"below": 5}, [1, 4], True),
        ({"below": 5}, [1, 5], False),
        ({"above": 5}, [6, 7], True),
        ({"above": 5}, [6, 5], False),
        ({"above": 5}, [], None),
        ({"above": 5}, [float("nan")], False),
        ({"below": 5}, [float("nan")], False),
    ],
)
def test_every_series_has_to_keep_to_the_limit(
    limit: dict[str, float], numbers: list[float], good: bool | None
) -> None:
    probe = MetricProbe.model_validate({"probe": "metric", "query": "x", "value": limit})
    assert probe.read(Ports({Metrics: Numbers(*numbers)})).ok is good


def test_a_limit_has_one_side() -> None:
    for limit in ({}, {"below": 1, "above": 2}):
        with pytest.raises(ValidationError, match="either"):
            MetricProbe.model_validate({"probe": "metric", "query": "x", "value": limit})


@pytest.mark.parametrize(
    ("answer", "numbers"),
    [
        ({"data": {"resultType": "scalar", "result": [1.5, "3"]}}, [3.0]),
        ({"data": {"resultType": "vector", "result": [{"value": [1, "2"]}, {"value": [1, "NaN"]}]}}, [2.0, None]),
        ({"data": {"resultType": "vector", "result": []}}, []),
    ],
)
def test_what_prometheus_answers(answer: dict[str, Any], numbers: list[float | None]) -> None:
    asked: list[str] = []

    def get(url: str) -> tuple[int, Any]:
        asked.append(url)
        return 200, answer

    found = instant(get, "http://prometheus:9090", 'up{a="b"}')
    assert [None if number != number else number for number in found] == numbers
    assert asked == ["http://prometheus:9090/api/v1/query?query=up%7Ba%3D%22b%22%7D"]


@pytest.mark.parametrize(
    ("status", "answer", "said"),
    [
        (400, {"error": "parse error"}, "answered 400 when asked for x: parse error"),
        (200, "<html>", "answered 200 when asked for x: <html>"),
        (200, {"data": {"resultType": "matrix", "result": []}}, "gives a matrix"),
    ],
)
def test_what_is_no_number_is_no_answer(status: int, answer: Any, said: str) -> None:
    with pytest.raises(StackError, match=said):
        instant(lambda _: (status, answer), "http://prometheus:9090", "x")


# -- sql, exec --------------------------------------------------------------------------------------------------------


class Asked:
    def __init__(self, *rows: str) -> None:
        self._rows = list(rows)

    def query(self, service: str, query: str) -> list[str]:
        return self._rows


@pytest.mark.parametrize(("rows", "good"), [(["3"], True), (["9", "1"], False), ([], None), (["many"], None)])
def test_the_first_row_is_the_number(rows: list[str], good: bool | None) -> None:
    given = {"probe": "sql", "service": "db", "query": "select count(*) from orders", "value": {"below": 5}}
    assert SqlProbe.model_validate(given).read(Ports({Sql: Asked(*rows)})).ok is good


def test_a_query_is_one_statement() -> None:
    given = {"probe": "sql", "service": "db", "query": "select 1; commit; drop table orders", "value": {"above": 0}}
    with pytest.raises(ValidationError):
        SqlProbe.model_validate(given)


class Ends:
    def __init__(self, code: int, out: str) -> None:
        self._result = ExecResult(code, out, "")

    def run(self, service: str, command: Sequence[str], *, timeout: float) -> ExecResult:
        return self._result


@pytest.mark.parametrize(
    ("code", "out", "good"),
    [(1, "no such package\n", True), (0, "no such package\n", False), (1, "built\n", False), (127, "no such\n", None)],
)
def test_a_command_ends_and_prints_as_expected(code: int, out: str, good: bool | None) -> None:
    given = {"probe": "exec", "service": "ci", "command": ["build"], "exit": 1, "prints": "^no such"}
    reading = ExecProbe.model_validate(given).read(Ports({Exec: Ends(code, out)}))
    assert reading.ok is good
    assert f"it ended with {code}" in reading.why


# -- log --------------------------------------------------------------------------------------------------------------


class Written:
    def __init__(self, *lines: str) -> None:
        self._lines = list(lines)

    def lines(self, service: str, seconds: float) -> list[str]:
        return self._lines


def test_a_line_is_found_or_not() -> None:
    probe = LogProbe.model_validate(LOGGED)
    found = probe.read(Ports({Logs: Written("all is well", "connection refused by db")}))
    assert found.ok
    assert found.why == "connection refused by db"
    assert probe.read(Ports({Logs: Written("all is well")})).ok is False
    assert probe.lag == 5.0


class FakeClock(SystemClock):
    def __init__(self) -> None:
        self.time = 100.0

    def now(self) -> float:
        return self.time


class Site:
    """As much of an embedded stack as its logs need."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.own = folder, {"app-1": {}, "app-2": {}}
        (folder / "logs").mkdir()

    @property
    def site(self) -> Site:
        return self

    def service(self, name: str) -> Site:
        return self

    def write(self, replica: str, text: str, mode: str = "a") -> None:
        with (self.folder / "logs" / f"{replica}.log").open(mode, encoding="utf-8") as stream:
            stream.write(text)


def test_only_what_was_written_since_is_found(tmp_path: Path) -> None:
    clock, site = FakeClock(), Site(tmp_path)
    logs = EmbeddedLogs(site, clock)  # type: ignore[arg-type]
    site.write("app-1", "old\n")
    site.write("app-2", "old, too\n")
    assert logs.lines("app", 5.0) == [], "how old it is nobody knows"
    site.write("app-1", "new\n")
    clock.time += 1
    assert logs.lines("app", 5.0) == ["new"]
    site.write("app-2", "the other\n")
    clock.time += 4
    assert logs.lines("app", 5.0) == ["new", "the other"]
    clock.time += 4
    assert logs.lines("app", 5.0) == ["the other"]
    clock.time += 4
    assert logs.lines("app", 5.0) == []
    site.write("app-1", "anew\n", "w")
    clock.time += 1
    assert logs.lines("app", 5.0) == [], "a file that became shorter is begun anew"
    site.write("app-1", "and goes on\n")
    clock.time += 1
    assert logs.lines("app", 5.0) == ["and goes on"]

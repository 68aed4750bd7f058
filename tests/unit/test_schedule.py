"""The month by the SOP's weeks, and which drill has waited for longest."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest
from icalendar import Calendar

from sevdrill.cli import main
from sevdrill.errors import UsageError
from sevdrill.history import History
from sevdrill.schedule import Scheduled, cron, days_of, icalendar, schedule_of, suggestions, week_named, week_of
from sevdrill.severity import load_policy

ROLLBACK = Scheduled("Bad release", frozenset({"release", "rollback"}), "drills/bad.yml")
QUIET = Scheduled("A quiet day", frozenset(), "drills/quiet.yml")
NEW = Scheduled("Brand new", frozenset({"security"}), "drills/new.yml")


def test_a_weekday_s_place_in_the_month_is_its_week() -> None:
    for month in range(1, 13):
        for weekday in range(7):
            days = days_of(dt.date(2026, month, 1), weekday)
            assert [week_of(day) for day in days] == list(range(1, len(days) + 1))
    assert week_of(dt.date(2026, 12, 29)) == 5


def test_a_policy_without_a_schedule_takes_that_of_the_sop_that_has_one_and_says_so() -> None:
    own = schedule_of(load_policy("gpt-platform"))
    assert [own.title(number) for number in range(1, 6)] == [
        "Rollback drill",
        "Database failover",
        "Security incident",
        "Load testing",
        "Free choice",
    ]
    assert own.note == ""
    other = schedule_of(load_policy("playbook"))
    assert other.weeks == own.weeks
    assert other.note == ('playbook has no drill schedule; this one is from gpt-platform, "Monthly Drill Schedule"')


def test_the_week_of_an_option() -> None:
    assert week_named("auto", dt.date(2026, 11, 21)) == 3
    assert week_named("5", dt.date(2026, 11, 21)) == 5
    with pytest.raises(UsageError, match='--drill-week is "6", but expected auto'):
        week_named("6", dt.date(2026, 11, 21))


def test_calendars_repeat_each_week_of_the_month_and_skip_a_fifth_that_is_not_there() -> None:
    planned = schedule_of(load_policy("sop-001"))
    data = icalendar(planned, [ROLLBACK, QUIET], dt.date(2026, 11, 21), 1, dt.time(9, 30))
    events = Calendar.from_ical(data).walk("VEVENT")
    assert [str(event["summary"]) for event in events][4] == "[DRILL] Week 5: Free choice"
    starts = [event.decoded("dtstart") for event in events]
    assert [f"{start:%m-%d %H:%M}" for start in starts] == [
        "12-01 09:30",
        "12-08 09:30",
        "12-15 09:30",
        "11-24 09:30",
        "12-29 09:30",
    ]
    assert [event["rrule"].to_ical().decode() for event in events][1] == "FREQ=MONTHLY;BYDAY=2TU"
    assert "Bad release" in str(events[0]["description"])
    assert "A quiet day" not in str(events[0]["description"])
    assert "A quiet day" in str(events[4]["description"])


def test_a_cron_line_has_the_day_and_the_time() -> None:
    assert cron(1, dt.time(9, 30)) == "30 9 * * 2"
    assert cron(6, dt.time(0, 5)) == "5 0 * * 0"


def test_what_waited_longest_comes_first_with_who_led_it(tmp_path: Path) -> None:
    history = History(tmp_path / "history.db")
    keys = {"file": "x", "severity": "SEV-1", "policy": "sop-001", "stack": "s", "targets": [], "times": {}}
    for day, name, outcome in ((20, "Bad release", "passed"), (1, "A quiet day", "failed")):
        began = f"2026-11-{day:02d}T10:00:00+00:00"
        history.record(f"run-{day}", [{**keys, "drill": name, "folder": name, "began": began, "outcome": outcome}])
    history.led("A quiet day", "ann", "run-1")
    found = list(suggestions([ROLLBACK, QUIET, NEW], history.entries(), history.leaders(), dt.date(2026, 11, 21)))
    assert found == [
        "Brand new: never run (drills/new.yml)",
        "A quiet day: last run 20 days ago (2026-11-01), failed, led by ann (drills/quiet.yml)",
        "Bad release: last run yesterday (2026-11-20), passed, nobody led it (drills/bad.yml)",
    ]


def test_a_history_of_before_gets_the_tables_that_came_later(tmp_path: Path) -> None:
    import sqlite3

    history = History(tmp_path / "history.db")
    history.led("x", "ann", "run-1")
    with sqlite3.connect(history.path) as database:
        database.execute("drop table leaders")
    database.close()
    assert history.leaders() == {}


def test_the_command_shows_a_month_and_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    drills = Path(__file__).parents[2] / "drills"
    arguments = ["schedule", "--month", "2026-12", "--drills", str(drills), "--state", str(tmp_path)]
    assert main(arguments) == 0
    said = capsys.readouterr().out
    assert said.startswith("SOP-001 has no drill schedule; this one is from gpt-platform")
    week, rest = said.split("2026-12-01  week 1  Rollback drill\n")[1].split("  2026-12-08  week 2")
    assert "      A bad release is rolled back (" in week
    assert "A bad release is rolled back" not in rest.split("week 5")[0]
    assert "2026-12-29  week 5  Free choice" in said
    file = tmp_path / "drills.ics"
    assert main([*arguments, "--ical", str(file)]) == 0
    assert len(Calendar.from_ical(file.read_bytes()).walk("VEVENT")) == 5
    assert main([*arguments, "--cron"]) == 0
    assert 'cron: "0 10 * * 2"' in capsys.readouterr().out
    for wrong in (["--month", "2026"], ["--day", "t"], ["--at", "25:00"]):
        assert main([*arguments, *wrong]) == 2
        assert "expected" in capsys.readouterr().err

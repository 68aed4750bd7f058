"""The commands of the weekly drill and of onboarding: ``sevdrill schedule``."""

from __future__ import annotations

import argparse
import datetime as dt
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sevdrill.errors import DrillFileError, UsageError

if TYPE_CHECKING:
    from sevdrill.schedule import Scheduled

__all__ = ["add_commands", "read_drills"]


def add_commands(commands: Any) -> None:
    """Add them to the command line."""
    schedule = commands.add_parser("schedule", help="show which drill is due in which week of the month, by the SOP")
    schedule.add_argument("--month", default="", metavar="YYYY-MM", help="default: this month")
    schedule.add_argument("--day", default="tuesday", metavar="WEEKDAY", help="the day of the drill (default: tuesday)")
    schedule.add_argument("--at", default="10:00", metavar="HH:MM", help="its time (default: 10:00)")
    schedule.add_argument("--drills", type=Path, default=Path("drills"), metavar="DIR", help="default: drills")
    how = schedule.add_mutually_exclusive_group()
    how.add_argument("--ical", metavar="FILE", help="write it as iCalendar; - is standard output")
    how.add_argument("--cron", action="store_true", help="show it as a line of a crontab and for GitHub Actions")
    how.add_argument("--suggest", action="store_true", help="which drill has not been run for longest, and who led it")
    schedule.set_defaults(run=_schedule)
    approve = commands.add_parser("approve", help="say yes to a step that waits for a person's approval")
    approve.add_argument("name", nargs="?", default="", metavar="RUN|STACK", help="default: the one that asks")
    approve.add_argument("--as", dest="by", required=True, metavar="NAME", help="who says so")
    approve.add_argument("--no", action="store_true", help="say no")
    approve.add_argument("--state", type=Path, default=Path(".sevdrill"), metavar="DIR", help="default: .sevdrill")
    approve.set_defaults(run=_approve)
    for command in (schedule,):
        command.add_argument("--policy", default="sop-001", metavar="NAME|FILE", help="default: sop-001")
        command.add_argument("--state", type=Path, default=Path(".sevdrill"), metavar="DIR", help="default: .sevdrill")


def _approve(options: argparse.Namespace) -> int:
    from sevdrill.approving import answer
    from sevdrill.escaping import line

    print(line(answer(options.state, Path(options.name).name, options.by, yes=not options.no)))
    return 0


def read_drills(folder: Path) -> list[Scheduled]:
    """The drills in a folder and below; a file with mistakes is said and left out.

    Raises:
        UsageError: there is no such folder.
    """
    from sevdrill.conftests import user_kinds
    from sevdrill.diagnostics import load
    from sevdrill.reading import is_drill
    from sevdrill.schedule import Scheduled

    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder; --drills DIR says where the drills are")
    kinds, found = user_kinds([]), []
    for file in sorted(path for path in folder.rglob("*.y*ml") if is_drill(path)):
        try:
            scenario = load(file, kinds=kinds).scenario
        except DrillFileError as error:
            print(error, file=sys.stderr)
        else:
            found.append(Scheduled(scenario.drill, frozenset(scenario.tags), str(file), scenario.quiet is None))
    return found


def _today() -> dt.date:
    from sevdrill.clock import SystemClock

    return SystemClock().wall().date()


def _when(options: argparse.Namespace) -> tuple[dt.date, int, dt.time]:
    from sevdrill.schedule import DAYS

    today = _today()
    try:
        month = dt.date.fromisoformat(f"{options.month}-01") if options.month else today.replace(day=1)
    except ValueError:
        raise UsageError(f"--month {options.month}: expected a month such as 2026-12") from None
    named = [number for number, day in enumerate(DAYS) if day.startswith(options.day.lower()) and len(options.day) > 1]
    if len(named) != 1:
        raise UsageError(f"--day {options.day}: expected one of {', '.join(DAYS)}")
    try:
        at = dt.datetime.strptime(options.at, "%H:%M").time()  # noqa: DTZ007 - a time of day has no zone
    except ValueError:
        raise UsageError(f"--at {options.at}: expected a time of day such as 10:00") from None
    return month, named[0], at


def _schedule(options: argparse.Namespace) -> int:
    from sevdrill.schedule import DAYS, cron, days_of, icalendar, schedule_of, suggestions, week_of
    from sevdrill.severity import load_policy

    month, weekday, at = _when(options)
    planned, drills, today = schedule_of(load_policy(options.policy)), read_drills(options.drills), _today()
    if options.ical:
        data = icalendar(planned, drills, max(today, month), weekday, at)
        if options.ical == "-":
            sys.stdout.write(data.decode())
            return 0
        try:
            Path(options.ical).write_bytes(data)
        except OSError as error:
            raise UsageError(f"{options.ical}: cannot be written: {error.strerror}") from None
        print(f"{options.ical}: an event for each week of the month, {DAYS[weekday]}s at {at:%H:%M}")
        return 0
    if options.cron:
        line = cron(weekday, at)
        print(f"# crontab\n{line}  cd PROJECT && pytest drills/ --drill-week auto\n")
        print(
            f'# GitHub Actions (its times are UTC)\non:\n  schedule:\n    - cron: "{line}"\n'
            "jobs:\n  drill:\n    runs-on: ubuntu-latest\n    steps:\n      - uses: actions/checkout@v4\n"
            "      - run: pip install pytest-sevdrill\n"
            "      - run: pytest drills/ --drill-week auto --drill-stack compose"
        )
        return 0
    if planned.note:
        print(planned.note)
    if options.suggest:
        from sevdrill.aftermath import HISTORY
        from sevdrill.history import History

        history = History(options.state / HISTORY)
        print("not run for longest first:")
        for line in suggestions(drills, history.entries(), history.leaders(), today):
            print(f"  {line}")
        return 0
    print(f"{month:%B %Y}, {DAYS[weekday]}s at {at:%H:%M}, by {planned.cite}")
    for day in days_of(month, weekday):
        number = week_of(day)
        now = "  <- this week" if month == today.replace(day=1) and week_of(today) == number else ""
        print(f"  {day}  week {number}  {planned.title(number)}{now}")
        names = [drill for drill in drills if drill.fits(planned.week(number))]
        for drill in names if planned.week(number) is not None else []:
            print(f"      {drill.name} ({drill.file})")
        week = planned.week(number)
        if week is None:
            print("      any drill: `sevdrill schedule --suggest` says which has waited for longest")
        elif not names:
            print(f"      no drill here has the tag {' or '.join(week.tags)}")
    return 0

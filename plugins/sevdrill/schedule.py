"""The drill schedule of an SOP: which drill in which week of the month, and which has not been run for longest."""

from __future__ import annotations

import calendar
import datetime as dt
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from sevdrill.errors import UsageError
from sevdrill.history import Entry
from sevdrill.severity import Policy, load_policy, shipped_policies
from sevdrill.sop import Schedule, Week

__all__ = ["DAYS", "Planned", "Scheduled", "cron", "icalendar", "schedule_of", "suggestions", "week_named", "week_of"]

DAYS: tuple[str, ...] = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_ICAL = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
_CRON = (1, 2, 3, 4, 5, 6, 0)
FREE = "Free choice"
"""What a week is for of which the SOP says nothing, such as the fifth."""


def week_of(day: dt.date) -> int:
    """The week of the month that a day is in: 1 to 5. The second Tuesday, say, is always in week 2."""
    return (day.day - 1) // 7 + 1


@dataclass(frozen=True)
class Planned:
    """The weeks of a month, as an SOP has them."""

    weeks: tuple[Week, ...]
    cite: str
    """Where they come from, as reports cite it."""
    note: str
    """What a reader must know: that this is the schedule of another SOP; empty where it is the policy's own."""

    def week(self, number: int) -> Week | None:
        """What the SOP has for a week; None: free choice."""
        return next((week for week in self.weeks if week.week == number), None)

    def title(self, number: int) -> str:
        """What a week is for, in the SOP's words."""
        week = self.week(number)
        return week.drill if week is not None else FREE


def schedule_of(policy: Policy) -> Planned:
    """The policy's own schedule, or that of the first shipped SOP that has one; then `note` says so.

    Raises:
        UsageError: no SOP has one.
    """
    for each in (policy, *map(load_policy, shipped_policies())):
        schedule: Schedule | None = each.schedule
        if schedule is not None:
            cite = each.cited(schedule.source)
            note = "" if each is policy else f"{policy.cite} has no drill schedule; this one is from {cite}"
            return Planned(schedule.weeks, cite, note)
    raise UsageError(f"{policy.cite} has no drill schedule, and no other policy that is here has one")


def week_named(text: str, today: dt.date) -> int:
    """The week that ``--drill-week`` names: ``auto`` is the one that today is in.

    Raises:
        UsageError: it is neither ``auto`` nor 1 to 5.
    """
    if text == "auto":
        return week_of(today)
    if text in ("1", "2", "3", "4", "5"):
        return int(text)
    raise UsageError(f'--drill-week is "{text}", but expected auto, or a week of the month, 1 to 5')


def days_of(month: dt.date, weekday: int) -> list[dt.date]:
    """Every such weekday of a month (Monday is 0): four or five of them, one a week."""
    last = calendar.monthrange(month.year, month.month)[1]
    days = (month.replace(day=number) for number in range(1, last + 1))
    return [day for day in days if day.weekday() == weekday]


@dataclass(frozen=True)
class Scheduled:
    """A drill file, as far as a schedule needs it."""

    name: str
    tags: frozenset[str]
    file: str
    breaks: bool = True
    """Whether it breaks anything: a quiet drill does not."""

    def fits(self, week: Week | None) -> bool:
        """Whether the drill belongs to a week; to a week of free choice belongs every drill."""
        return week is None or not self.tags.isdisjoint(week.tags)


def cron(weekday: int, at: dt.time) -> str:
    """The line of a crontab, or of a CI's schedule, for that weekday and time (in UTC on most CI services)."""
    return f"{at.minute} {at.hour} * * {_CRON[weekday]}"


def icalendar(planned: Planned, drills: Sequence[Scheduled], start: dt.date, weekday: int, at: dt.time) -> bytes:
    """The schedule for calendars: a monthly event for each week, from ``start`` on; times are local to the reader.

    Raises:
        UsageError: the library icalendar is not installed.
    """
    try:
        from icalendar import Calendar, Event
    except ImportError:
        raise UsageError(
            "to write calendars, install the library icalendar: pip install 'pytest-sevdrill[schedule]'"
        ) from None
    made = Calendar()
    made.add("prodid", "-//sevdrill//drill schedule//EN")
    made.add("version", "2.0")
    for number in range(1, 6):
        event = Event()
        first = _first(start, weekday, number)
        event.add("uid", f"week-{number}@sevdrill")
        event.add("summary", f"[DRILL] Week {number}: {planned.title(number)}")
        event.add("dtstamp", dt.datetime.combine(start, dt.time(), dt.UTC))
        event.add("dtstart", dt.datetime.combine(first, at))  # no zone: the same time of day for every team
        event.add("duration", dt.timedelta(hours=1))
        event.add("rrule", {"freq": "monthly", "byday": f"{number}{_ICAL[weekday]}"})
        names = [drill.name for drill in drills if drill.fits(planned.week(number))]
        listed = "\n".join(names) or "there is no drill for this week yet"
        source = planned.cite if planned.week(number) is not None else f"not in {planned.cite}"
        event.add("description", f"pytest drills/ --drill-week {number}\n\n{listed}\n\nSource: {source}")
        made.add_component(event)
    found: bytes = made.to_ical()
    return found


def _first(start: dt.date, weekday: int, number: int) -> dt.date:
    """The first such day of that week, in the month of ``start`` or after: not every month has a fifth."""
    month = start.replace(day=1)
    while True:
        days = days_of(month, weekday)
        if len(days) >= number and days[number - 1] >= start:
            return days[number - 1]
        month = (month + dt.timedelta(days=32)).replace(day=1)


def suggestions(
    drills: Iterable[Scheduled], entries: Mapping[str, Sequence[Entry]], led: Mapping[str, str], today: dt.date
) -> Iterator[str]:
    """Every drill, the one that has not been run for longest first, and who led it last."""

    def last(drill: Scheduled) -> str:
        runs = entries.get(drill.name, ())
        return runs[-1].began if runs else ""

    for drill in sorted(drills, key=lambda each: (last(each), each.name)):
        runs = entries.get(drill.name, ())
        if not runs:
            yield f"{drill.name}: never run ({drill.file})"
            continue
        day = dt.datetime.fromisoformat(runs[-1].began).date()
        ago = (today - day).days
        when = "today" if ago == 0 else "yesterday" if ago == 1 else f"{ago} days ago"
        leader = led.get(drill.name, "")
        who = f"led by {leader}" if leader else "nobody led it"
        yield f"{drill.name}: last run {when} ({day}), {runs[-1].outcome}, {who} ({drill.file})"

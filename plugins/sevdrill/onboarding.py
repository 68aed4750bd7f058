"""The onboarding track: where a new engineer stands, what comes next, and why."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from sevdrill.errors import UsageError
from sevdrill.escaping import markdown
from sevdrill.history import Lesson
from sevdrill.reports.case import Case, Event, short
from sevdrill.severity import Policy, load_policy, shipped_policies
from sevdrill.sop import Lesson as Step

__all__ = ["JOINED", "Track", "explained", "exported", "track_lines", "track_of"]

JOINED = "joined"
"""What the history calls the day on which somebody began."""
WHY = {
    "read": "whoever does not know the rules cannot follow them at three in the morning",
    "shadow": "seeing one incident from beginning to end shows what the words of the SOP mean",
    "participate": "now the rules and the tools must come together, while nothing is at stake",
    "lead": "whoever leads must find the cause without being told, and have others do the work",
}
"""Why a step of the track is there."""


@dataclass(frozen=True)
class Track:
    """The onboarding track of an SOP."""

    steps: tuple[Step, ...]
    cite: str
    note: str
    """What a reader must know: that this is the track of another SOP; empty where it is the policy's own."""

    def open_from(self, step: Step, joined: dt.date) -> dt.date:
        """The first day on which a step may be done."""
        return joined if step.after is None else joined + dt.timedelta(seconds=float(step.after))

    def next(self, lessons: Sequence[Lesson]) -> Step | None:
        """The first step that is not done; None when all are."""
        done = {lesson.step for lesson in lessons if lesson.done}
        return next((step for step in self.steps if step.does not in done), None)


def track_of(policy: Policy) -> Track:
    """The policy's own track, or that of the first shipped SOP that has one; then `note` says so.

    Raises:
        UsageError: no SOP has one.
    """
    for each in (policy, *map(load_policy, shipped_policies())):
        if each.onboarding is not None:
            cite = each.cited(each.onboarding.source)
            note = "" if each is policy else f"{policy.cite} has no onboarding track; this one is from {cite}"
            return Track(each.onboarding.steps, cite, note)
    raise UsageError(f"{policy.cite} has no onboarding track, and no other policy that is here has one")


def joined_on(lessons: Sequence[Lesson], today: dt.date) -> dt.date:
    """The day on which somebody began; today, when nothing is known of them."""
    return next((lesson.at.date() for lesson in lessons if lesson.step == JOINED), today)


def track_lines(track: Track, who: str, lessons: Sequence[Lesson], today: dt.date) -> Iterator[str]:
    """Where somebody stands, what is next and why, for a terminal."""
    if track.note:
        yield track.note
    joined = joined_on(lessons, today)
    yield f"{who}, since {joined}, by {track.cite}"
    upcoming = track.next(lessons)
    for step in track.steps:
        mine = [lesson for lesson in lessons if lesson.step == step.does]
        done = next((lesson for lesson in mine if lesson.done), None)
        box = "[x]" if done is not None else "[ ]"
        opens = track.open_from(step, joined)
        when = f", from {opens} on" if opens > today and done is None else ""
        yield f"  {box} {step.step}{when}"
        for lesson in mine:
            yield f"        {lesson.at:%Y-%m-%d}  {lesson.what}"
    if upcoming is None:
        yield "next: nothing; the track is done"
        return
    opens = track.open_from(upcoming, joined)
    if opens > today:
        yield f"next: {upcoming.does}, in {(opens - today).days} days, on {opens}: {upcoming.step}"
    else:
        yield f"next: sevdrill onboard {who} {upcoming.does}"
    yield f"why: {WHY[upcoming.does]}"


def exported(track: Track, who: str, lessons: Sequence[Lesson], today: dt.date) -> str:
    """The same for the mentor, as Markdown."""
    joined = joined_on(lessons, today)
    lines = [
        f"# Onboarding of {markdown(who)}",
        "",
        f"Since {joined}; as of {today}. Track: {markdown(track.cite)}.",
        "",
    ]
    if track.note:
        lines += [markdown(track.note), ""]
    for step in track.steps:
        mine = [lesson for lesson in lessons if lesson.step == step.does]
        done = any(lesson.done for lesson in mine)
        lines.append(f"- [{'x' if done else ' '}] {markdown(step.step)}")
        lines += [f"  - {lesson.at:%Y-%m-%d}: {markdown(lesson.what)}" for lesson in mine]
    upcoming = track.next(lessons)
    lines += ["", f"Next: {markdown(upcoming.step)}" if upcoming is not None else "Next: nothing; the track is done."]
    hints = sum(lesson.hints for lesson in lessons)
    lines.append(f"Hints taken in all drills: {hints}.")
    return "\n".join(lines) + "\n"


# -- shadow -----------------------------------------------------------------------------------------------------------

_KINDS = {
    "fault": "What the drill breaks, or mends again. Responders are not told; they see only what follows.",
    "alert": "Monitoring noticed it. Detection ends here, and the clock of the response runs.",
    "page": "Somebody is woken, or a ticket is written.",
    "message": "People are told, in the words of the SOP.",
    "probe": "What users feel, or what steady state means, changed.",
    "check": "Recovery is not enough: what must be true afterwards is looked at.",
    "note": "",
}
_MARKS = {
    "Alert fires": "detect",
    "Acknowledged": "respond",
    "First response done": "respond",
    "Incident declared": "assess",
    "First message": "announce",
    "Rolled back": "rollback",
    "Mitigated": "mitigate",
    "Recovered": "recover",
}


def _explanation(event: Event, case: Case) -> str:
    if event.kind == "mark":
        result = next((r for r in case.verdict.targets if r.target.key == _MARKS.get(event.text)), None)
        if result is None or result.measured is None:
            return ""
        word = "in time" if result.met else "too late"
        return f"{word}: {short(result.measured.hi)} of {result.target.limit} ({result.target.source})"
    if event.kind == "step":
        scenario = case.scenario
        title = event.text.partition(": ")[0]
        steps = (*scenario.investigate, *scenario.respond, *scenario.close)
        step = next((each for each in steps if event.text.startswith(each.title)), None)
        doc = (type(step).__doc__ or "").partition("\n")[0] if step is not None else ""
        return doc or f"A step of the runbook: {title}."
    return _KINDS.get(event.kind, "")


def explained(case: Case, speed: float, sleep: Callable[[float], object]) -> Iterator[str]:
    """A recorded run as it happened, ``speed`` times as fast, with what each event means; 0 does not wait at all."""
    run = case.timeline.run
    yield f"{run.drill}, {run.severity}, as it was on {case.began:%Y-%m-%d at %H:%M} UTC by {case.policy.cite}"
    flow = case.policy.flow
    if flow is not None:
        yield f"the SOP's flow: {' -> '.join(phase.name for phase in flow.phases)}"
    before, said = case.zero, set[str]()
    for event in case.events:
        if event.at < case.zero - 0.001:
            continue
        if speed:
            sleep(max(0.0, event.at - before) / speed)
        before = max(before, event.at)
        yield f"{event.at - case.zero:+8.1f} s  {event.kind:<8} {event.text}"
        why = _explanation(event, case)
        # What a kind of event means is said once; how a time compares with its target, each time.
        if why and (event.kind in ("mark", "step") or why not in said):
            said.add(why)
            yield f"{'':>11}           {why}"
    yield f"outcome: {case.verdict.outcome}. {case.sentence}"

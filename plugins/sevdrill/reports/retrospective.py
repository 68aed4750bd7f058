"""`postmortem.md`: the SOP's own template, filled in with what was measured.

Each section keeps the shape that the SOP gives it: its labels, its table or list, its subheadings. What only people can
know is left as a blank that says so.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Collection, Iterator, Sequence

from sevdrill.checks import Result
from sevdrill.escaping import markdown as _md
from sevdrill.reports.case import MARKS, Case, short, span
from sevdrill.reports.followups import follow_ups, owner
from sevdrill.reports.logs import errors_in_logs
from sevdrill.reports.proposals import action_items, runbook_gaps
from sevdrill.reports.terminal import where

__all__ = ["retrospective"]

BLANK = "_(to be filled in by people)_"
OWNER, DUE = "_(owner)_", "_(due date)_"
TIME = "_(time)_"
DEFAULT_SECTIONS = ("Summary", "Impact", "Timeline", "Root Cause", "Resolution", "Action Items", "Lessons Learned")
# A line of a template that has a label: `- Users affected: [..]`, `**Date:** ..`, `- **Impact:** ..`.
_LABEL = re.compile(r"(?P<before>[-*\s]*(?:\*\*)?)(?P<label>[A-Z][\w /-]+):(?P<after>\*\*)?\s")
# A row of a template's timeline: `| HH:MM | Fix deployed |`, `- HH:MM - Fix deployed`.
_ROW = re.compile(r"\|\s*[\dHM]+:[\dHM]+\s*\|(.+?)\||- [\dHM]+:[\dHM]+ - (.+)")
ROWS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (r"root cause", ()),
    (r"detect|first alert", ("detected",)),
    (r"declared", ("declared",)),
    (r"(investigation|mitigation) started", ("begun",)),
    (r"fix deployed", ("mitigated",)),
    (r"restored", ("recovered",)),
    (r"resolved", ("closed", "recovered")),
)
"""The rows that the SOPs' templates have, and the marks that measure them, the best one first; none is for people."""


def retrospective(case: Case) -> str:
    """The post-mortem of one drill, as Markdown in the shape of the SOP in force."""
    return "\n".join(_Writer(case).document()) + "\n"


class _Writer:
    def __init__(self, case: Case) -> None:
        self.case, self.verdict, self.scenario = case, case.verdict, case.scenario

    def document(self) -> Iterator[str]:
        shape = self.case.policy.postmortem
        title = shape.title if shape is not None else "Post-Mortem: [Title]"
        name = _md(self.scenario.drill)
        filled = re.sub(r"\[(Incident )?Title\]", lambda _: name, title)
        yield f"# [DRILL] {filled if name in filled else f'{filled}: {name}' if filled else name}"
        yield ""
        yield f"**Outcome of the drill:** {self.verdict.outcome}"
        yield ""
        if self.verdict.reasons:
            found = zip(self.verdict.reasons, self.verdict.rests_on, strict=True)
            yield from (f"- {_md(reason)} ({where(lines)})" for reason, lines in found)
        fields = shape.fields if shape is not None else ()
        if self.verdict.reasons and fields:
            yield ""
        yield from (f"**{field.heading}**: {self.labelled(field.heading)}  " for field in fields)
        sections = [(s.heading, s.text) for s in shape.sections] if shape is not None else []
        for heading, text in sections or [(heading, "") for heading in DEFAULT_SECTIONS]:
            yield from ("", f"## {heading}", "", self.section(heading, text))
        yield from self.afterwards()

    # -- sections -----------------------------------------------------------------------------------------------------

    def section(self, heading: str, text: str) -> str:
        writers: dict[str, Callable[[str], str]] = {
            "summary": self.summary,
            "impact": self.labels,
            "timeline": self.timeline,
            "root cause": lambda _: self.cause(),
            "resolution": lambda _: self.resolution(),
            "action items": self.actions,
            "went well": lambda _: self.well(),
            "could be better": lambda _: self.better(),
            "went wrong": lambda _: self.better(),
            "lessons": self.lessons,
            "prevention": lambda _: self.prevention(),
        }
        return next((write(text) for words, write in writers.items() if words in heading.lower()), BLANK)

    def summary(self, text: str) -> str:
        said = f"A drill, not an incident. {_md(self.scenario.about)} {_md(self.case.sentence)}"
        asked = self.labels(text) if _LABEL.search(text) else ""
        run = self.case.timeline.run
        more = [
            f"- Began: {self.case.began:%Y-%m-%d %H:%M} UTC",
            f"- Judged by: {_md(self.case.policy.document.title)} ({_md(run.policy)})",
            f"- Stack: {_md(run.stack)}",
            f"- Runbook: {_md(self.scenario.runbook) or BLANK}",
        ]
        felt = f"\n\n{_md(self.case.felt)}" if self.case.felt else ""
        return "\n\n".join(filter(None, (" ".join(said.split()), asked, "\n".join(more)))) + felt

    def labels(self, text: str) -> str:
        """Every labelled line of the template, its label kept, its placeholder filled in."""
        lines, known = [], []
        for line in text.splitlines():
            match = _LABEL.match(f"{line} ")
            if match is not None:
                known.append(match["label"].lower())
                lines.append(
                    f"{match['before']}{match['label']}:{match['after'] or ''} {self.labelled(match['label'])}"
                )
        if not lines:
            lines = [f"- {label}: {self.labelled(label)}" for label in ("Duration", "Users affected", "Data loss")]
        # What broke users' data must stand here whether or not the template asks.
        if not any("data" in label for label in known) and any(c.invariant for c in self.verdict.checks):
            lines.append(f"- Data loss: {self.data()}")
        # Lines of bold labels without bullets would run into one.
        return "\n".join(line if line.startswith("-") else f"{line}  " for line in lines)

    def labelled(self, label: str) -> str:
        facts: dict[str, Callable[[], str]] = {
            "date": lambda: f"{self.case.began:%Y-%m-%d}",
            "duration": self.duration,
            "severity": lambda: f"{self.scenario.severity} (drilled)",
            "author": lambda: f"sevdrill (draft); {BLANK}",
            "users affected": self.users,
            "requests failed": self.users,
            "services": self.services,
            "data": self.data,
            "revenue": lambda: BLANK,
            "impact": lambda: " ".join(filter(None, (_md(self.scenario.about), self.users()))),
        }
        return next((find() for words, find in facts.items() if words in label.lower()), BLANK)

    def timeline(self, text: str) -> str:
        own, covered = self.template_rows(text)
        # At one moment, what the template has comes first, in its order.
        told = [*own, *((at, len(own), f"{self.case.wall(at):%H:%M:%S}", what) for at, what in self.story(covered))]
        rows = [(when, what) for _, _, when, what in sorted(told)]
        if text.lstrip().startswith("- "):
            return "\n".join(f"- {at} - {what}" for at, what in rows)
        return "\n".join(["| Time | Event |", "| ---- | ----- |", *(f"| {at} | {what} |" for at, what in rows)])

    def template_rows(self, text: str) -> tuple[list[tuple[float, int, str, str]], set[str]]:
        """The rows that the template has, in its words, and the marks that they tell of.

        A row is its moment, its rank at that moment, its time of day, its text. What was not measured stands where the
        template has it.
        """
        rows: list[tuple[float, int, str, str]] = []
        covered: set[str] = set()
        at = self.case.zero
        for rank, match in enumerate(filter(None, map(_ROW.match, text.splitlines()))):
            words = _md(re.sub(r"SEV-[X1-4]", self.scenario.severity, (match[1] or match[2]).strip()))
            marks = next((marks for pattern, marks in ROWS if re.search(pattern, words, re.IGNORECASE)), ())
            covered.update(marks)
            found = self.moment(marks)
            if found is None:
                rows.append((at, rank, TIME, f"**{words}**: {'not measured' if marks else BLANK}"))
            else:
                at = max(at, found)
                rows.append((found, rank, f"{self.case.wall(found):%H:%M:%S}", f"**{words}**"))
        return rows, covered

    def moment(self, marks: Sequence[str]) -> float | None:
        """The first of these marks that was measured."""
        if "begun" in marks:
            steps = [s for s in self.case.events if s.kind == "step" and s.at >= self.case.zero]
            return min((s.at for s in steps), default=None)
        found = [self.verdict.marks[name].hi for name in marks if name in self.verdict.marks]
        return found[0] if found else None

    def story(self, covered: Collection[str]) -> Iterator[tuple[float, str]]:
        # What an event of its own tells is not told again by its mark; nor a message by the step that said it.
        told = {MARKS[name] for name in {"detected", "paged", "announced", *covered} if name in MARKS}
        said = tuple(f"{step.title}: done" for step in self.verdict.steps if step.is_message)
        for event in self.case.events:
            again = event.text in told or (event.kind == "step" and event.text.startswith(said or ("\0",)))
            if event.at >= self.case.zero and event.kind != "probe" and not again:
                yield event.until or event.at, _md(event.text)

    def cause(self) -> str:
        if not self.scenario.inject:
            return "Nothing was injected: a quiet drill."
        if self.scenario.quiet is not None:
            noise = ", ".join(_md(fault.title) for fault in self.scenario.inject)
            return f"Nothing broke: a quiet drill, with noise that is to wake nobody ({noise})."
        faults = "\n".join(f"- {_md(fault.title)}" for fault in self.scenario.inject)
        lines = [f"- {_md(each.source)}: {_md(each.text)}" for each in errors_in_logs(self.case, 5)]
        logs = "\n\nWhat the logs said of it:\n\n" + "\n".join(lines) if lines else ""
        return f"The drill injected:\n\n{faults}{logs}"

    def resolution(self) -> str:
        steps = [s for s in self.verdict.steps if not s.is_message]
        done = [f"1. {_md(s.title)}: {'done' if s.ok else 'FAILED'}: {_md(s.why)}" for s in steps]
        return "\n".join(done) or "No step of the runbook was done."

    def actions(self, text: str) -> str:
        items = [_md(item) for item in action_items(self.case)]
        items += [_md(f"runbook: {gap}") for gap in runbook_gaps(self.case)]
        items = items or [f"Nothing was missed. {BLANK}"]
        first = text.lstrip().splitlines()[0] if text.strip() else ""
        if first.startswith("|"):
            head = text.strip().splitlines()[:2]
            return "\n".join([*head, *(f"| {item} | {OWNER} | {DUE} |" for item in items)])
        if "Assigned to" in first:
            return "\n".join(f"{n}. [ ] {item} - Assigned to: {OWNER} - Due: {DUE}" for n, item in enumerate(items, 1))
        return "\n".join(f"- [ ] {item} - {OWNER} - {DUE}" for item in items)

    def lessons(self, text: str) -> str:
        heads = re.findall(r"^(?:### |- )(.+)$", text, re.MULTILINE)
        parts = {"well": self.well, "improve": self.better}
        written = []
        for head in (head for head in heads if "[" not in head):
            body = next((write() for words, write in parts.items() if words in head.lower()), f"- {BLANK}")
            written.append(f"### {head}\n\n{body}")
        return "\n\n".join(written) or f"### What went well\n\n{self.well()}\n\n### What to learn\n\n- {BLANK}"

    def prevention(self) -> str:
        gaps = runbook_gaps(self.case)
        if not gaps:
            return BLANK
        return "Proposed changes of the runbook:\n\n" + "\n".join(f"- {_md(gap)}" for gap in gaps) + f"\n\n{BLANK}"

    def well(self) -> str:
        lines = [
            f"- {r.target.key}: {span(r.measured)} against {short(r.target.limit)} ({_md(r.target.source)})"
            for r in self.verdict.targets
            if r.met and r.measured is not None
        ]
        lines += [
            f"- {_md(c.title)}: {_md(c.finding.why)}" for c in self.verdict.checks if c.finding.result is Result.HOLDS
        ]
        return "\n".join([*lines, f"- {BLANK}"])

    def better(self) -> str:
        lines = [f"- {_md(item)}" for item in action_items(self.case)]
        return "\n".join([*lines, f"- {BLANK}"])

    # -- facts --------------------------------------------------------------------------------------------------------

    def duration(self) -> str:
        time = self.verdict.since_injected("recovered")
        if time is None:
            return "not recovered while the drill watched"
        ends = self.case.wall(self.verdict.marks["recovered"].hi)
        return f"{span(time)}, {self.case.wall(self.case.zero):%H:%M:%S} to {ends:%H:%M:%S} UTC"

    def users(self) -> str:
        worst = self.case.worst
        if worst is None:
            return BLANK
        return f"at worst {worst.error_rate:.1%} of requests failed, p95 {short(worst.p95)} (users of the drill's load)"

    def services(self) -> str:
        found = sorted({service for fault in self.scenario.inject for service in fault.services})
        return ", ".join(map(_md, found)) or "none"

    def data(self) -> str:
        checks = [c for c in self.verdict.checks if c.invariant]
        broken = [c for c in checks if c.finding.result is not Result.HOLDS]
        if not checks:
            return f"not checked by this drill; {BLANK}"
        return "; ".join(f"{_md(c.title)}: {_md(c.finding.why)}" for c in broken) or "none found"

    # -- what the SOP wants besides -----------------------------------------------------------------------------------

    def afterwards(self) -> Iterator[str]:
        ups = follow_ups(self.case)
        meeting = self.case.policy.meeting
        if ups or meeting is not None:
            yield from ("", "---")
        if ups:
            yield from ("", "**Follow-ups** (`sevdrill reviews` lists what is open)", "")
            for up in ups:
                due = f"due {_when(up['due'])}" if up["due"] else "no time set"
                yield f"- [ ] {_md(up['what'])} - {_md(up['owner'])} - {due} ({_md(up['source'])})"
        if meeting is not None:
            yield from (
                "",
                f"**Review meeting**, {meeting.length} ({_md(self.case.policy.cited(meeting.source))})",
                "",
            )
            review = self.case.policy.level(self.scenario.severity).review
            ends = self.verdict.marks.get("recovered")
            if review is not None and review.due is not None:
                by = self.case.wall((ends.hi if ends is not None else self.case.end) + float(review.due))
                yield f"By: {_when(by.isoformat())} ({_md(review.sop)})  "
            yield f"Called by: {_md(owner(self.case))}  "
            yield f"Attendees: {', '.join(map(_md, meeting.attendees))}"
            yield ""
            yield from (f"{n}. {_md(point.what)} ({point.takes})" for n, point in enumerate(meeting.agenda, 1))
        missing = [
            MARKS[name].lower() for name in ("detected", "mitigated", "recovered") if name not in self.verdict.marks
        ]
        if "injected" in self.verdict.marks and missing:
            yield from ("", f"Not measured: {', '.join(missing)}.")


def _when(moment: str) -> str:
    return f"{dt.datetime.fromisoformat(moment):%Y-%m-%d %H:%M} UTC"

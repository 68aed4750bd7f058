"""What an SOP says besides its targets, as data: the blocks that a policy file is made of.

Every block carries ``source``, the title of the SOP's section that it comes from, word for word, so that reports can
cite it and a reader can look it up. Nothing here decides anything: `sevdrill.severity` makes targets of a policy and
`sevdrill.decisions` applies its rules.
"""

from __future__ import annotations

import datetime as dt
import re
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from sevdrill.model import Model
from sevdrill.units import Duration

__all__ = [
    "SEVERITIES",
    "Agenda",
    "Alert",
    "Alerts",
    "Block",
    "Channel",
    "Checklist",
    "Contact",
    "Contacts",
    "Document",
    "Flow",
    "FlowPhase",
    "Guidance",
    "Lesson",
    "Meeting",
    "Named",
    "Onboarding",
    "Phase",
    "PostMortem",
    "Procedure",
    "QuickFix",
    "QuickFixes",
    "Role",
    "Roles",
    "Scenario",
    "Schedule",
    "Section",
    "Severity",
    "Status",
    "StatusWord",
    "StatusWords",
    "Step",
    "Template",
    "Text",
    "Week",
]

Severity = Literal["SEV-1", "SEV-2", "SEV-3", "SEV-4"]
SEVERITIES: tuple[Severity, ...] = ("SEV-1", "SEV-2", "SEV-3", "SEV-4")
"""The severities, worst first."""

Phase = Literal["detect", "triage", "communicate", "contain", "investigate", "resolve", "review"]
"""The phases that SOPs share, whatever each one calls them."""

Status = Literal["investigating", "identified", "monitoring", "resolved"]
"""The statuses that a drill's `announce` names; a policy says its SOP's own word for each."""

Text = Annotated[str, Field(min_length=1)]


class Block(Model):
    """A part of a policy that comes from one section of the SOP."""

    source: Text
    """Title of the SOP's section that this comes from, word for word."""


class Named(Block):
    """A block that people refer to by name."""

    name: Text
    """What the SOP calls it."""


class Document(Model):
    """Which document a policy was made of."""

    file: Text
    """File name of the SOP."""
    cite: Text
    """How reports cite it, such as `SOP-001`."""
    title: Text
    """The document's title."""
    id: str = ""
    """The document's own number, where it has one."""
    version: str = ""
    """The document's version, where it states one."""
    last_updated: str = ""
    """The day the document says it was last changed, as written."""
    owner: str = ""
    """The role or team that keeps the document."""
    audience: tuple[str, ...] = ()
    """Whom the document says it is for."""
    tags: tuple[str, ...] = ()
    """The document's own tags."""
    purpose: str = ""
    """What the document says it is for."""
    sections: tuple[Text, ...] = ()
    """Every heading of the document below its title, in order, word for word."""


class Step(Model):
    """One step of a procedure."""

    do: Text
    """What to do, in the SOP's words."""
    run: str = ""
    """The command that the SOP gives, as written; sevdrill never runs it."""
    points: tuple[str, ...] = ()
    """The points under the step."""


class FlowPhase(Model):
    """One phase of the SOP's incident flow."""

    name: Text
    """The SOP's name of the phase."""
    phase: Phase
    """Which of the shared phases it is."""
    window: str = ""
    """The SOP's time window, in its words."""
    do: tuple[str, ...] = ()
    """What happens in it."""


class Flow(Block):
    """The SOP's incident flow, in order."""

    phases: tuple[FlowPhase, ...]
    """The phases, in the SOP's order."""


class Checklist(Named):
    """A checklist; it exists to be ticked off by people or by the `checklist` check."""

    phase: Phase
    """When it is worked through."""
    severities: tuple[Severity, ...] = SEVERITIES
    """The severities that it is for."""
    within: Duration | None = None
    """When it must be complete, where the SOP says so."""
    items: tuple[Text, ...]
    """The items, in order."""


class StatusWord(Model):
    """One status word of the SOP."""

    word: Text
    """The SOP's word."""
    says: tuple[Status, ...]
    """The statuses of a drill that it stands for."""


class StatusWords(Block):
    """The SOP's status words, in its own order."""

    words: tuple[StatusWord, ...]
    """The words, first to last."""


class Template(Block):
    """A message template of the SOP; `{field}` marks what is filled in."""

    to: tuple[Text, ...]
    """Who reads it: status-page, stakeholders, team, affected-users, ..."""
    statuses: tuple[Status, ...]
    """The statuses that it can announce."""
    severities: tuple[Severity, ...] = SEVERITIES
    """The severities that it is for."""
    subject: str = ""
    """Subject line, where it has one; may hold fields too."""
    text: Text
    """The message, with `{field}` where the SOP has a placeholder."""
    words: dict[Status, Text] = Field(default={})
    """The status words of this template, where they are others than the SOP's."""
    placeholders: dict[str, Text] = Field(default={})
    """The SOP's own placeholder of each field, shown where a field has no value."""

    @model_validator(mode="after")
    def _fields_match(self) -> Self:
        used, named = set(self.fields), set(self.placeholders)
        if used != named:
            wrong = ", ".join(f'"{name}"' for name in sorted(used ^ named))
            raise PydanticCustomError(
                "fields", "text and placeholders must name the same fields; only one names {wrong}", {"wrong": wrong}
            )
        return self

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields of subject and text, in order of appearance, each once."""
        return tuple(dict.fromkeys(re.findall(r"\{(\w+)\}", f"{self.subject}\n{self.text}")))

    def as_written(self) -> str:
        """The text exactly as the SOP has it."""
        return self.fill({})

    def fill(self, values: dict[str, str]) -> str:
        """The text with ``values`` in their places; a field without a value keeps the SOP's placeholder."""
        return self._fill(self.text, values)

    def fill_subject(self, values: dict[str, str]) -> str:
        """The subject with ``values`` in their places; empty where the template has none."""
        return self._fill(self.subject, values)

    def _fill(self, text: str, values: dict[str, str]) -> str:
        # One pass, so that a value that happens to contain "{status}" is not filled in itself.
        return re.sub(r"\{(\w+)\}", lambda match: values.get(match[1], self.placeholders[match[1]]), text)


class Channel(Block):
    """How the SOP names the channel of an incident."""

    pattern: Text
    """The SOP's pattern: YYYY, MM, DD are the day, ### a number, `description` or `name` a few words."""

    def name(self, day: dt.date, number: int = 1, description: str = "drill") -> str:
        """The channel's name for an incident on ``day``, such as `#incident-20260122-001`."""
        slug = re.sub(r"[^a-z0-9]+", "-", description.lower()).strip("-") or "drill"
        parts = {"YYYY": f"{day:%Y}", "MM": f"{day:%m}", "DD": f"{day:%d}", "###": f"{number:03d}", "description": slug}
        return re.sub("|".join(map(re.escape, parts)), lambda match: parts[match[0]], self.pattern)


class Role(Model):
    """One role in an incident."""

    role: Text
    """Its name."""
    does: str = ""
    """What whoever has it does."""


class Roles(Block):
    """The roles that the SOP assigns."""

    roles: tuple[Role, ...]
    """The roles, in the SOP's order."""


class Contact(Model):
    """Whom, or what, to contact."""

    role: Text
    """The role, vendor or system."""
    contact: str = ""
    """Handle, address or page, as the SOP has it; often a placeholder."""
    when: str = ""
    """When to use it, in the SOP's words."""


class Contacts(Named):
    """A table of contacts."""

    contacts: tuple[Contact, ...]
    """The contacts, in the SOP's order."""


class Agenda(Model):
    """One point of the review meeting."""

    what: Text
    """The point."""
    takes: Duration
    """How long it is given."""


class Meeting(Block):
    """The review meeting."""

    attendees: tuple[Text, ...]
    """Who attends."""
    length: Duration
    """How long it is."""
    agenda: tuple[Agenda, ...]
    """The points, in order."""


class Section(Model):
    """One section of the post-mortem template."""

    heading: Text
    """Its heading, without the hashes."""
    text: str = ""
    """What the SOP's template has below the heading, as written."""


class PostMortem(Block):
    """The SOP's post-mortem template."""

    title: str = ""
    """The document's title line, as written, without the hash; empty where the template has none."""
    fields: tuple[Section, ...] = ()
    """The fields between title and first section, such as `Duration`, with what the template has there."""
    sections: tuple[Section, ...]
    """The sections, in the SOP's order."""


class Week(Model):
    """One week of the drill schedule."""

    week: Annotated[int, Field(ge=1, le=5)]
    """The week of the month."""
    drill: Text
    """The SOP's words."""
    tags: tuple[Text, ...]
    """Drills with any of these tags belong to the week."""


class Schedule(Block):
    """The SOP's drill schedule."""

    weeks: tuple[Week, ...]
    """The weeks of a month, first to last."""


class Lesson(Model):
    """One step of the onboarding track."""

    step: Text
    """The SOP's words."""
    does: Literal["read", "shadow", "participate", "lead"]
    """What the new engineer does."""
    after: Duration | None = None
    """How long after joining at the earliest."""


class Onboarding(Block):
    """The SOP's onboarding track."""

    steps: tuple[Lesson, ...]
    """The steps, first to last."""


class QuickFix(Model):
    """A symptom and its quick fix."""

    symptom: Text
    """What is seen."""
    fix: Text
    """What to try first."""
    also: tuple[Text, ...] = ()
    """Other words that people may look for it by; ours, not the SOP's."""
    see: tuple[Text, ...] = ()
    """Names of the procedures and tables of contacts that the fix needs."""


class QuickFixes(Block):
    """The SOP's table of quick fixes."""

    fixes: tuple[QuickFix, ...]
    """The rows, in the SOP's order."""


class Alert(Model):
    """An alert that the SOP expects."""

    alert: Text
    """The alert."""
    cause: str = ""
    """Its likely cause."""
    action: str = ""
    """What to do first."""
    also: tuple[Text, ...] = ()
    """Other words that people may look for it by; ours, not the SOP's."""
    see: tuple[Text, ...] = ()
    """Names of the procedures and tables of contacts that the action needs."""


class Alerts(Block):
    """The SOP's table of common alerts."""

    alerts: tuple[Alert, ...]
    """The rows, in the SOP's order."""


class Procedure(Named):
    """A procedure or a set of commands of the SOP."""

    phase: Phase
    """When it is used."""
    about: str = ""
    """What the SOP says about it."""
    steps: tuple[Step, ...]
    """The steps, in order."""


class Scenario(Named):
    """One of the SOP's own scenarios."""

    symptoms: tuple[str, ...] = ()
    """What is seen."""
    investigate: tuple[Step, ...] = ()
    """What to look at, where the SOP keeps that apart from the steps."""
    steps: tuple[Step, ...]
    """What to do, in order."""
    otherwise: tuple[str, ...] = ()
    """What to do when the steps do not help."""
    escalation: tuple[str, ...] = ()
    """Whom to bring in, and what else must be done then."""
    also: tuple[Text, ...] = ()
    """Other words that people may look for it by; ours, not the SOP's."""


class Guidance(Named):
    """A list of the SOP that is none of the other things: priorities, prevention, standing rules."""

    items: tuple[Text, ...]
    """The items, in order."""

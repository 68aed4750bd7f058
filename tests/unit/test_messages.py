"""What is said to people, in the words of the policy, and to whom."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from made_up import DATABASE_DOWN, scenario

from sevdrill.clock import SystemClock
from sevdrill.errors import ActionError
from sevdrill.facts import facts
from sevdrill.lines import MessageLine, Sample, StepLine
from sevdrill.messages import ESCALATED, EVERYBODY, OVER, Announcer
from sevdrill.plan import effect_series, steady_series
from sevdrill.severity import load_policy, shipped_policies
from sevdrill.timeline import TimelineWriter


class Talk:
    """An announcer on a timeline of its own."""

    def __init__(self, folder: Path, policy: str = "playbook", **changes: Any) -> None:
        self.scenario = scenario(DATABASE_DOWN, **changes)
        self.policy = load_policy(policy)
        self.writer = TimelineWriter(folder / "timeline.jsonl", SystemClock())
        self.announcer = Announcer(self.scenario, self.policy, self.writer, SystemClock())

    def incident(self) -> None:
        """Users suffer, and the runbook's step is done."""
        self.writer.mark("injected", 0.0)
        for name, probe in steady_series(self.scenario).items():
            if probe.probe == "load":
                self.writer.write(Sample(series=name, start=1, end=1.1, ok=False, value=0.43))
        for name in effect_series(self.scenario):
            self.writer.write(Sample(series=name, start=1, end=1.1, ok=True))
        step = {"part": "respond", "index": 1, "action": "restart", "title": "restart db", "ok": True}
        self.writer.write(StepLine.model_validate({**step, "event": "ended"}))

    @property
    def said(self) -> list[MessageLine]:
        return [line for line in self.writer.lines if isinstance(line, MessageLine)]


@pytest.fixture
def talks(tmp_path: Path) -> Iterator[Callable[..., Talk]]:
    made: list[Talk] = []

    def make(policy: str = "playbook", **changes: Any) -> Talk:
        made.append(Talk(tmp_path / str(len(made)), policy, **changes))
        return made[-1]

    yield make
    for talk in made:
        talk.writer.close()


def test_the_next_level_of_the_path_is_told_and_then_the_one_after(talks: Callable[..., Talk]) -> None:
    talk = talks()
    for _ in range(3):
        talk.announcer.escalate("", "")
    assert [line.to for line in talk.said] == ["Engineering Manager", "VP Engineering / CTO", "CEO / Legal"]
    assert {line.status for line in talk.said} == {ESCALATED}
    assert all(line.text.startswith("[DRILL] Escalation to ") for line in talk.said)
    assert "if unresolved in 30 min" in talk.said[0].text
    talk.announcer.escalate("", "")
    assert len(talk.said) == 3  # nobody is left
    nobody = talks("gpt-platform", severity="SEV-4", targets={})
    with pytest.raises(ActionError, match="gpt-platform has no level above the first for SEV-4; its path: nobody"):
        nobody.announcer.escalate("", "")


def test_a_level_can_be_named_and_one_that_is_not_in_the_path_is_refused(talks: Callable[..., Talk]) -> None:
    talk = talks()
    talk.announcer.escalate("CEO / Legal", "the data of users are out")
    assert [line.to for line in talk.said] == ["CEO / Legal"]
    assert "the data of users are out" in talk.said[0].text
    with pytest.raises(ActionError, match=r'no level "Night Watch" for SEV-1; its path: On-call Engineer, Engineering'):
        talk.announcer.escalate("Night Watch", "")


@pytest.mark.parametrize("name", shipped_policies())
def test_every_template_of_every_sop_is_filled_with_facts(talks: Callable[..., Talk], name: str) -> None:
    talk = talks(name)
    talk.incident()
    for template in talk.policy.messages.values():
        for status in template.statuses:
            values = facts(talk.announcer.situation, template, status, template.to[0])
            assert set(template.fields) <= set(values)
            said = template.fill(values) + template.fill_subject(values)
            left = [p for key, p in template.placeholders.items() if p in said and values[key] != p and "[" in p]
            assert not left, f"{name}: {said}"
            assert "{" not in said


@pytest.mark.parametrize("name", shipped_policies())
def test_every_message_begins_with_drill_and_has_the_sop_s_own_status_word(
    talks: Callable[..., Talk], name: str
) -> None:
    talk = talks(name)
    talk.announcer.announce("team", "declared", "")
    for to in ("status-page", "team", "stakeholders", "affected-users", "legal"):
        for status in ("investigating", "identified", "monitoring", "resolved"):
            talk.announcer.announce(to, status, "")
    talk.announcer.over("because of a real incident", None)
    talk.announcer.escalate("", "")
    assert len(talk.said) == 23
    assert all(line.text.startswith("[DRILL] ") for line in talk.said)
    assert all(line.subject.startswith("[DRILL] ") for line in talk.said if line.subject)
    team = {line.status: line.text for line in talk.said if line.to == "team"}
    words = {
        "sop-001": ("Status: INVESTIGATING", "Status: MONITORING"),
        "playbook": ("Investigating", "Current Status: Mitigating"),
        "emergency-procedures": ("Investigating: ", "Monitoring: "),
        "sv-sdk": ("Status: Investigating", "Status: In Progress"),
        "gpt-platform": ("Status: Investigating", "Status: Monitoring"),
    }[name]
    assert words[0] in team["investigating"]
    assert words[1] in team["monitoring"]


def test_customers_are_told_what_happened_when_it_is_over(talks: Callable[..., Talk]) -> None:
    talk = talks("gpt-platform")
    talk.incident()
    talk.announcer.announce("affected-users", "resolved", "")
    [line] = talk.said
    assert line.subject.startswith("[DRILL] Service Disruption - 20")
    assert "- Affected: up to 43% of requests failed; orders fail" in line.text
    assert "Resolution:\nrestart db\n" in line.text
    assert line.text.endswith("We apologize for the inconvenience.")


def test_the_first_message_is_sent_once_and_updates_are_counted(talks: Callable[..., Talk]) -> None:
    talk = talks("playbook")
    for _ in range(3):
        talk.announcer.announce("status-page", "investigating", "")
    first, *updates = [line.text for line in talk.said]
    assert "Production Incident" in first
    assert ["Update #1" in updates[0], "Update #2" in updates[1]] == [True, True]


def test_the_channel_has_the_sop_s_name(talks: Callable[..., Talk]) -> None:
    talk = talks("playbook")
    talk.announcer.number = 7
    talk.announcer.announce("team", "declared", "")
    assert re.search(r"^Channel: #incident-\d{8}-007$", talk.said[0].text, re.MULTILINE)
    quiet = talks("playbook", severity="SEV-3", targets={})
    quiet.announcer.announce("team", "declared", "")
    assert "Channel" not in quiet.said[0].text


def test_what_people_must_find_out_no_message_says(talks: Callable[..., Talk]) -> None:
    talk = talks("gpt-platform", about="The secret cause")
    talk.announcer.reveals = False
    talk.incident()
    for status in ("declared", "investigating", "identified", "monitoring"):
        talk.announcer.announce("team", status, "")
    talk.announcer.escalate("", "")
    said = "\n".join(line.text for line in talk.said)
    assert "secret cause" not in said
    assert talk.scenario.drill not in said
    assert "restart db" not in said


def test_everybody_is_told_that_a_drill_is_over(talks: Callable[..., Talk]) -> None:
    talk = talks()
    for undone in (None, True, False):
        talk.announcer.over("stopped because of a real incident", undone)
    assert {(line.to, line.status) for line in talk.said} == {(EVERYBODY, OVER)}
    assert "may be real" in talk.said[0].text
    assert "Everything that it broke is undone" in talk.said[1].text
    assert "NOT everything could be undone" in talk.said[2].text


def brought_in(talk: Talk, elapsed: float) -> list[str]:
    """Who is told in all when so many seconds have passed."""
    talk.announcer.due(elapsed)
    return [line.to for line in talk.said]


def test_past_each_limit_the_next_level_is_told_once(talks: Callable[..., Talk]) -> None:
    talk = talks("playbook", severity="SEV-2", targets={})
    assert brought_in(talk, 0) == []
    assert brought_in(talk, 1799) == []
    assert brought_in(talk, 1800) == ["Engineering Manager"]
    assert brought_in(talk, 3599) == ["Engineering Manager"]
    assert brought_in(talk, 3601) == ["Engineering Manager", "VP Engineering / CTO"]
    assert brought_in(talk, 99999) == ["Engineering Manager", "VP Engineering / CTO"]
    assert "if unresolved in 30 min (unresolved for 30m)" in talk.said[0].text


def test_severity_alone_can_be_reason_enough(talks: Callable[..., Talk]) -> None:
    assert brought_in(talks("playbook"), 1) == ["VP Engineering / CTO"]
    assert brought_in(talks("gpt-platform"), 1) == ["Team Lead", "CTO"]
    assert brought_in(talks("gpt-platform", severity="SEV-3", targets={}), 86399) == []
    assert brought_in(talks("gpt-platform", severity="SEV-4", targets={}), 1e9) == []


def test_the_cause_brings_in_whom_it_concerns(talks: Callable[..., Talk]) -> None:
    # A killed container is infrastructure; whatever else it is, the drill says.
    assert brought_in(talks("sop-001"), 1) == ["Dev Lead", "DevOps Lead"]
    assert brought_in(talks("sop-001", causes=["business"]), 1) == ["Dev Lead", "DevOps Lead", "Project Lead"]
    assert brought_in(talks("playbook", causes=["data_breach"]), 1) == ["VP Engineering / CTO", "CEO / Legal"]
    asked = talks("emergency-procedures")
    assert "A person" not in brought_in(asked, 1)
    asked.announcer.ask("restart db")
    assert "A person" in brought_in(asked, 1)
    assert "Approval needed: restart db" in next(line.text for line in asked.said if line.status == "approval")

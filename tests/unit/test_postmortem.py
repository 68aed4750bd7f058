"""`postmortem.md`: the template of each SOP, filled in with what was measured."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from looked_at import LOG, case, with_load
from made_up import DATABASE_DOWN, QUIET, incident, quiet, scenario

from sevdrill.reports.followups import owner
from sevdrill.reports.proposals import action_items, runbook_gaps
from sevdrill.reports.retrospective import retrospective
from sevdrill.severity import load_policy, shipped_policies

DRILL = scenario(DATABASE_DOWN)
MISSED: dict[str, Any] = {"detected": 51.0, "mitigated": 52.0, "recovered": 54.0}


def sections(text: str) -> dict[str, str]:
    parts = re.split(r"^## (.+)$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], (part.strip() for part in parts[2::2]), strict=True))


@pytest.mark.parametrize("policy", shipped_policies())
def test_every_section_and_every_label_of_the_template_is_there_in_its_order(policy: str) -> None:
    shape = load_policy(policy).postmortem
    assert shape is not None
    found = sections(retrospective(case(with_load(incident(DRILL, **MISSED), 0.8), policy=policy)))
    assert list(found) == [section.heading for section in shape.sections]
    for section in shape.sections:
        written = found[section.heading]
        labels = re.findall(r"^[-* ]*(?:\*\*)?([A-Z][\w ]+):(?:\*\*)? ", section.text, re.MULTILINE)
        at = [written.index(f"{label}:") for label in labels]
        assert at == sorted(at)
        # No placeholder of the template stays.
        assert not re.search(r"HH:MM|YYYY|SEV-X|\[(number|TIME|Action|Item|list|yes)|14:23", written)


@pytest.mark.parametrize(
    ("policy", "timeline", "actions"),
    [
        (
            "sop-001",
            r"\| \d\d:\d\d:\d\d \| Fault injected \|",
            r"\| detection took .* \| _\(owner\)_ \| _\(due date\)_ \|",
        ),
        (
            "playbook",
            r"\| \d\d:\d\d:\d\d \| Fault injected \|",
            r"- \[ \] detection took .* - _\(owner\)_ - _\(due date\)_",
        ),
        ("emergency-procedures", r"- \d\d:\d\d:\d\d - Fault injected", r"- \[ \] detection took"),
        ("sv-sdk", r"- \d\d:\d\d:\d\d - Fault injected", r"1\. \[ \] detection took .* - Assigned to: .* - Due: "),
        ("gpt-platform", r"\| \d\d:\d\d:\d\d \| Fault injected \|", r"- \[ \] detection took"),
    ],
)
def test_timeline_and_actions_have_the_sops_own_form(policy: str, timeline: str, actions: str) -> None:
    found = sections(retrospective(case(incident(DRILL, **MISSED), policy=policy)))
    assert re.search(timeline, found["Timeline"])
    assert re.search(actions, found["Action Items"])


def test_what_was_measured_is_filled_in_and_what_was_not_is_a_blank() -> None:
    found = sections(retrospective(case(with_load(incident(DRILL), 0.8), policy="playbook")))
    assert "- Users affected: at worst 80.0% of requests failed, p95 110 ms" in found["Impact"]
    assert "- Duration: 8 s (±110 ms), 00:00:10 to 00:00:18 UTC" in found["Impact"]
    assert "- Services impacted: db" in found["Impact"]
    assert "- Data loss: none found" in found["Impact"]
    assert "detect: 2 s (±110 ms) against 30 s (the drill)" in found["What Went Well"]
    assert found["What Could Be Better"] == "- _(to be filled in by people)_"
    lost = {"no_lost_writes": {"attempted": 9, "acknowledged": 8, "found": 7, "lost": ["k"], "duplicated": []}}
    assert "lost" in sections(retrospective(case(incident(DRILL, reads=lost), policy="playbook")))["Impact"]


def test_the_review_meeting_has_its_attendees_and_agenda() -> None:
    text = retrospective(case(incident(DRILL, **MISSED), policy="playbook"))
    assert "**Review meeting**, 1h (playbook" in text
    assert "Attendees: Incident responders, Engineering lead, Product manager, Customer support (if customer" in text
    assert "By: 2026-01-03 00:00 UTC (Within 48 hours)" in text
    assert "2. Root cause analysis (15m)" in text
    assert "- [ ] Post-mortem - Incident Commander - due 2026-01-03 00:00 UTC" in text
    assert "Review meeting" not in retrospective(case(incident(DRILL), policy="sop-001"))


def test_action_items_name_what_stands_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "evidence").mkdir()
    known = {
        "scrape_interval": 1,
        "evaluation_interval": 1,
        "rules": [{"name": "DatabaseDown", "for": 20.0}, {"name": "Other", "for": 60.0}],
    }
    (tmp_path / "evidence" / "prometheus.json").write_text(json.dumps(known), encoding="utf-8")
    (tmp_path / "evidence" / "app.log").write_text(LOG, encoding="utf-8")
    made = case(incident(DRILL, **MISSED), tmp_path)
    assert action_items(made)[0] == (
        "detection took 41 s against 30 s: “DatabaseDown” waits “for: 20 s”, rules are evaluated every 1 s (the drill)"
    )
    assert "app: connection to db:5432 refused, attempt 1" in sections(retrospective(made))["Root Cause"]
    never = action_items(case(incident(DRILL, detected=None, mitigated=None, recovered=None)))
    assert "alert DatabaseDown never fired: make its rule see this fault" in never
    assert "“restart db” had no effect that could be proved: not proved within 60s" in never
    assert action_items(case(incident(DRILL))) == []


def test_gaps_of_the_runbook_are_what_nobody_did_not_what_did_not_work() -> None:
    gaps = runbook_gaps(case(incident(DRILL, pages=0, recovered=None), policy="playbook"))
    told = "add to respond: {action: announce, to: stakeholders, status: investigating} (SEV-1 Response Checklist: "
    assert f"{told}“Stakeholders notified”; no message to stakeholders or leadership)" in gaps
    assert any(gap.startswith("route the alert to somebody's pager (") and "never paged" in gap for gap in gaps)
    assert not any("Service verified healthy" in gap for gap in gaps)


def test_a_change_of_the_runbook_is_one_that_can_be_made() -> None:
    def proposed(drill: Any) -> set[str]:
        made = case(incident(drill), policy="sv-sdk", drill=drill)
        return set(re.findall(r"^add to (\w+): (\{action.*?\})", "\n".join(runbook_gaps(made)), re.MULTILINE))

    first = proposed(DRILL)
    assert ("close", "{action: announce, to: status-page, status: resolved}") in first
    data = {key: list(DATABASE_DOWN.get(key, ())) for key in ("respond", "close")}
    for part, step in first:
        data[part].append(yaml.safe_load(step))
    # They are steps as a drill file has them, and the drill that has them is not asked for them again.
    assert {step.title for step in scenario(DATABASE_DOWN, **data).close} == {"announce resolved to status-page"}


ROWS = {
    "sop-001": r"""
        00:00:51 \| \*\*Issue first detected\*\* \|
        00:00:51 \| \*\*Investigation started\*\* \|
        _\(time\)_ \| \*\*Root cause identified\*\*: _\(to be filled in by people\)_ \|
        00:00:52 \| \*\*Fix deployed\*\* \|
        00:00:54 \| \*\*Issue resolved\*\* \|""",
    "playbook": r"""
        00:00:51 \| \*\*Initial detection\*\* \|
        _\(time\)_ \| \*\*Incident declared SEV-1\*\*: not measured \|
        00:00:51 \| \*\*Mitigation started\*\* \|
        00:00:54 \| \*\*Service restored\*\* \|
        00:00:54 \| \*\*Incident resolved\*\* \|""",
    "emergency-procedures": r"""
        00:00:51 - \*\*First alert\*\*
        00:00:51 - \*\*Investigation started\*\*
        _\(time\)_ - \*\*Root cause identified\*\*: _\(to be filled in by people\)_
        00:00:52 - \*\*Fix deployed\*\*
        00:00:54 - \*\*Resolved\*\*""",
    "sv-sdk": r"""
        00:00:51 - \*\*Issue detected\*\*
        _\(time\)_ - \*\*Incident declared \(SEV-1\)\*\*: not measured
        _\(time\)_ - \*\*Root cause identified\*\*: _\(to be filled in by people\)_
        00:00:52 - \*\*Fix deployed\*\*
        00:00:54 - \*\*Incident resolved\*\*""",
}


@pytest.mark.parametrize("policy", ROWS)
def test_the_rows_of_the_templates_timeline_are_filled_in_in_its_words(policy: str) -> None:
    found = sections(retrospective(case(incident(DRILL, **MISSED), policy=policy)))["Timeline"]
    wanted = r"[\s\S]*?".join(line.strip() for line in ROWS[policy].strip().splitlines())
    assert re.search(wanted, found.replace("\\(", "(").replace("\\)", ")")), found
    assert "Mitigated" not in found or policy == "playbook", "what a row of the template tells is not told twice"


def test_a_row_of_the_template_that_never_came_true_is_not_measured() -> None:
    never = case(incident(DRILL, detected=None, mitigated=None, recovered=None), policy="sv-sdk")
    found = sections(retrospective(never))["Timeline"]
    assert found.count("not measured") == 4


def test_follow_ups_are_owned_by_people() -> None:
    for policy in shipped_policies():
        who = owner(case(incident(DRILL, **MISSED), policy=policy))
        assert who not in ("Automated alerts", "Self-remediation", "nobody is named")


def test_a_quiet_drill_and_a_killed_one_have_theirs() -> None:
    assert "Nothing was injected" in retrospective(case(quiet(scenario(QUIET)), drill=scenario(QUIET)))
    lines = incident(DRILL)
    text = retrospective(case([line for line in lines if line.t < 13]))
    assert "Not measured: mitigated, recovered." in text

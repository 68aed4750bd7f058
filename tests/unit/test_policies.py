"""The shipped policies against the SOPs: the figures are written out here, with the section that has them."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sevdrill.severity import SEVERITIES, Policy, load_policy, shipped_policies

SOPS = Path(__file__).parents[3] / "shared" / "sops"

M, H, D = 60, 3600, 86400


def limits(name: str, severity: str) -> dict[str, float]:
    return {key: float(target.limit) for key, target in load_policy(name).targets(severity).items()}


def derived(name: str, severity: str) -> set[str]:
    return {key for key, target in load_policy(name).targets(severity).items() if target.derived}


ALL_DERIVED = {"detect", "rollback", "mitigate", "recover"}


class TestSop001:
    sop = load_policy("sop-001")

    @pytest.mark.parametrize(
        ("severity", "response"), [("SEV-1", 15 * M), ("SEV-2", 1 * H), ("SEV-3", 4 * H), ("SEV-4", 24 * H)]
    )
    def test_severity_levels(self, severity: str, response: float) -> None:
        """Section "Severity Levels": < 15 min, < 1 hour, < 4 hours, < 24 hours; no other times."""
        keys = ("detect", "respond", "rollback", "mitigate", "recover")
        assert limits("sop-001", severity) == dict.fromkeys(keys, response)
        assert derived("sop-001", severity) == ALL_DERIVED
        assert {t.source for t in self.sop.targets(severity).values()} == {'SOP-001, "Severity Levels"'}

    def test_names(self) -> None:
        """Section "Severity Levels"."""
        assert [self.sop.level(s).name for s in SEVERITIES] == ["Critical", "High", "Medium", "Low"]

    def test_post_mortem_is_mandatory_for_sev_1_only(self) -> None:
        """Section "SEV-1 Response (Critical)", line 7."""
        reviews = [self.sop.level(severity).review for severity in SEVERITIES]
        assert [review is not None and review.mandatory for review in reviews] == [True, False, False, False]

    def test_escalation_by_role(self) -> None:
        """Section "Emergency Contacts"."""
        for severity, first in [("SEV-1", True), ("SEV-2", True), ("SEV-3", False), ("SEV-4", False)]:
            level = self.sop.level(severity)
            assert [step.to for step in level.escalations_due(0)] == ["On-Call Dev", *(["Dev Lead"] if first else [])]
            assert "DevOps Lead" in [step.to for step in level.escalations_due(0, {"infrastructure"})]
            assert "Project Lead" in [step.to for step in level.escalations_due(0, {"business"})]

    def test_status_words_in_order(self) -> None:
        """Section "Communication Template"."""
        assert self.sop.statuses is not None
        words = [word.word for word in self.sop.statuses.words]
        assert words == ["INVESTIGATING", "IDENTIFIED", "MONITORING", "RESOLVED"]

    def test_post_mortem_sections(self) -> None:
        """Section "Post-Mortem Template"."""
        assert headings(self.sop) == [
            "Summary",
            "Impact",
            "Timeline",
            "Root Cause",
            "Resolution",
            "Action Items",
            "Lessons Learned",
            "Prevention",
        ]

    def test_quick_fixes_and_alerts(self) -> None:
        """Sections "Common Quick Fixes" and "Common Alerts"."""
        assert self.sop.quick_fixes is not None
        assert self.sop.alerts is not None
        assert len(self.sop.quick_fixes.fixes) == 5
        assert len(self.sop.alerts.alerts) == 4
        assert self.sop.quick_fixes.fixes[0].fix == "Switch to backup key, reduce requests"

    def test_flow_and_checklists(self) -> None:
        """Sections "Incident Response Flow", "Quick Assessment Checklist" and "Verification Checklist"."""
        assert self.sop.flow is not None
        names = [phase.name for phase in self.sop.flow.phases]
        assert names == ["DETECT", "TRIAGE", "CONTAIN", "INVESTIGATE", "RESOLVE", "POST-MORTEM"]
        assert [len(checklist.items) for checklist in self.sop.checklists] == [4, 5]


class TestPlaybook:
    sop = load_policy("playbook")

    @pytest.mark.parametrize(
        ("severity", "response"), [("SEV-1", 15 * M), ("SEV-2", 1 * H), ("SEV-3", 4 * H), ("SEV-4", 24 * H)]
    )
    def test_incident_severity_levels_and_resolve(self, severity: str, response: float) -> None:
        """Sections "Incident Severity Levels" and "5. RESOLVE [Target: < Response Time]"."""
        found = limits("playbook", severity)
        assert {found[key] for key in ("detect", "respond", "rollback", "mitigate", "recover")} == {response}
        assert derived("playbook", severity) == {"detect", "rollback", "mitigate"}
        assert self.sop.targets(severity)["recover"].source == 'playbook, "5. RESOLVE [Target: < Response Time]"'

    def test_assess_within_5_minutes(self) -> None:
        """Section "1. ASSESS [0-5 minutes]"."""
        assert {limits("playbook", severity)["assess"] for severity in SEVERITIES} == {5 * M}

    def test_announce_within_10_minutes_and_update_every_15(self) -> None:
        """Sections "2. COMMUNICATE [0-10 minutes]" and "For SEV-1 & SEV-2"; no status page for SEV-3 and SEV-4."""
        for severity in ("SEV-1", "SEV-2"):
            assert (limits("playbook", severity)["announce"], limits("playbook", severity)["update"]) == (
                10 * M,
                15 * M,
            )
            assert self.sop.level(severity).status_page
            assert self.sop.level(severity).pages
        for severity in ("SEV-3", "SEV-4"):
            assert not {"announce", "update"} & set(limits("playbook", severity))
            level = self.sop.level(severity)
            assert level.status_page is not None
            assert not level.status_page
            assert not level.pages
            assert level.ticket

    def test_escalation_path(self) -> None:
        """Section "Escalation Path"."""

        def to(severity: str, elapsed: float, *conditions: str) -> list[int]:
            return [step.level for step in self.sop.level(severity).escalations_due(elapsed, conditions)]

        assert to("SEV-2", 0) == [1]
        assert to("SEV-2", 30 * M) == [1, 2]
        assert to("SEV-2", 1 * H) == [1, 2, 3]
        assert to("SEV-1", 0) == [1, 3]
        assert to("SEV-4", 0, "data_breach") == [1, 4]
        assert to("SEV-4", 0, "major") == [1, 4]

    def test_review_within_48_hours_and_its_meeting(self) -> None:
        """Sections "6. REVIEW [Within 48 hours]" and "Post-Mortem Meeting"."""
        assert {review.due for s in SEVERITIES if (review := self.sop.level(s).review)} == {48 * H}
        meeting = self.sop.meeting
        assert meeting is not None
        assert [point.takes for point in meeting.agenda] == [10 * M, 15 * M, 10 * M, 15 * M, 10 * M]
        assert sum(point.takes for point in meeting.agenda) == meeting.length == 1 * H
        assert len(meeting.attendees) == 4

    def test_watch_for_15_minutes_after_a_rollback(self) -> None:
        """Section "Rollback Commands"."""
        assert self.sop.remedy is not None
        assert self.sop.remedy.watch == 15 * M

    def test_channel(self) -> None:
        """Section "For SEV-1 & SEV-2": #incident-YYYYMMDD-###."""
        assert self.sop.channel is not None
        assert self.sop.channel.name(dt.date(2026, 1, 22), 7) == "#incident-20260122-007"

    def test_scenarios_and_sev_1_checklist(self) -> None:
        """Sections "Common Emergency Scenarios" and "SEV-1 Response Checklist"."""
        assert [(scenario.name, len(scenario.steps)) for scenario in self.sop.scenarios] == [
            ("Production Database Down", 5),
            ("API Rate Limit Exceeded", 4),
            ("Security Breach Suspected", 6),
            ("Payment Processing Failed", 5),
        ]
        assert len(self.sop.checklists_for("SEV-1", "resolve")[0].items) == 11
        assert self.sop.checklists_for("SEV-2", "resolve") == ()

    def test_its_three_status_words(self) -> None:
        """Section "Progress Update"."""
        words = [self.sop.status_word(status) for status in ("investigating", "identified", "monitoring", "resolved")]
        assert words == ["Investigating", "Mitigating", "Mitigating", "Resolved"]

    def test_post_mortem_sections(self) -> None:
        """Section "Post-Mortem Document"."""
        assert headings(self.sop)[5:] == ["What Went Well", "What Could Be Better", "Action Items", "Lessons Learned"]


class TestEmergencyProcedures:
    sop = load_policy("emergency-procedures")

    def test_immediate_is_our_reading(self) -> None:
        """Section "SEV-1: Critical (Production Down)": "Immediate, all hands" has no number."""
        target = self.sop.targets("SEV-1")["respond"]
        assert target.limit == 5 * M
        assert 'the SOP says "Immediate"; read as 5m because' in target.note

    @pytest.mark.parametrize(("severity", "response"), [("SEV-1", 5 * M), ("SEV-2", 1 * H)])
    def test_within_one_hour(self, severity: str, response: float) -> None:
        """Section "Immediate (Within 1 Hour)": root cause, fix, verified."""
        found = limits("emergency-procedures", severity)
        assert {found[key] for key in ("rollback", "mitigate", "recover", "root_cause")} == {1 * H}
        assert {found[key] for key in ("detect", "respond")} == {response}
        assert derived("emergency-procedures", severity) == {"detect"}

    def test_sev_3_and_sev_4(self) -> None:
        """Sections "SEV-3: Minor (Limited Impact)": 24 hours, and "SEV-4: Low (Minimal Impact)": normal queue."""
        assert set(limits("emergency-procedures", "SEV-3").values()) == {24 * H}
        assert derived("emergency-procedures", "SEV-3") == ALL_DERIVED
        assert limits("emergency-procedures", "SEV-4") == {}

    def test_follow_ups(self) -> None:
        """Sections "Immediate (Within 1 Hour)" and "Follow-Up (Within 24 Hours)"."""
        for severity in SEVERITIES:
            level = self.sop.level(severity)
            assert [item.due for item in level.follow_ups] == [1 * H] * 5 + [24 * H] * 5
            assert level.review is not None
            assert level.review.due == 24 * H

    def test_waits_for_a_person_and_changes_nothing_without_approval(self) -> None:
        """Section "Escalation Path"."""
        level = self.sop.level("SEV-1")
        assert len(level.escalations_due(0)) == 2
        assert level.escalations_due(0, {"human_decision"})[-1].to == "A person"
        assert self.sop.guidance[0].items == ("Never make production changes without explicit approval",)

    def test_scenarios(self) -> None:
        """Section "Emergency Response Procedures"."""
        assert [(scenario.name, len(scenario.steps)) for scenario in self.sop.scenarios] == [
            ("Production System Down", 7),
            ("Security Breach", 6),
            ("Data Corruption", 6),
            ("Memory/Disk Full", 4),
        ]

    def test_post_mortem_sections(self) -> None:
        """Section "Post-Mortem Template"."""
        expected = ["Incident Summary", "Timeline", "Root Cause", "Resolution", "Prevention", "Action Items"]
        assert headings(self.sop) == expected


class TestSvSdk:
    sop = load_policy("sv-sdk")

    @pytest.mark.parametrize(
        ("severity", "response", "recover"),
        [("SEV-1", 5 * M, 1 * H), ("SEV-2", 15 * M, 4 * H), ("SEV-3", 1 * H, 24 * H)],
    )
    def test_response_and_resolution_time(self, severity: str, response: float, recover: float) -> None:
        """Sections "SEV-1: Critical" to "SEV-3: Medium"; "Immediate" is our reading."""
        found = limits("sv-sdk", severity)
        assert {found[key] for key in ("detect", "respond", "rollback", "mitigate")} == {response}
        assert found["recover"] == recover
        assert derived("sv-sdk", severity) == {"detect", "rollback", "mitigate"}
        assert ("read as 5m" in self.sop.targets(severity)["detect"].note) == (severity == "SEV-1")

    def test_best_effort_and_next_release_bind_nothing(self) -> None:
        """Section "SEV-4: Low"; what is left is the initial assessment."""
        assert limits("sv-sdk", "SEV-4") == {"assess": 5 * M}

    def test_initial_assessment(self) -> None:
        """Section "1. Detection": < 5 minutes."""
        assert {limits("sv-sdk", severity)["assess"] for severity in SEVERITIES} == {5 * M}

    def test_follow_ups(self) -> None:
        """Section "5. Post-Incident": within 24 hours, within 1 week."""
        level = self.sop.level("SEV-2")
        assert [item.due for item in level.follow_ups] == [24 * H] * 3 + [7 * D] * 3
        assert level.review is not None
        assert level.review.due == 7 * D

    def test_escalation_path(self) -> None:
        """Section "Escalation Path"."""

        def to(severity: str, elapsed: float, *conditions: str) -> list[str]:
            return [step.to for step in self.sop.level(severity).escalations_due(elapsed, conditions)]

        assert to("SEV-2", 29 * M) == ["On-Call Engineer"]
        assert to("SEV-2", 30 * M) == ["On-Call Engineer", "Senior Engineer"]
        assert to("SEV-1", 0) == ["On-Call Engineer", "Engineering Manager"]
        assert to("SEV-1", 0, "major")[-1] == "CTO/VP Engineering"

    def test_scenarios(self) -> None:
        """Section "Common Incidents"."""
        assert [scenario.name for scenario in self.sop.scenarios] == [
            "Application Down",
            "Database Connection Failed",
            "High Error Rate",
            "Email Queue Backed Up",
        ]

    def test_three_messages_for_the_status_page_and_one_internal(self) -> None:
        """Section "Communication Templates"."""
        for status in ("investigating", "identified", "resolved"):
            message = self.sop.message(status, to="status-page")
            assert message is self.sop.messages[status]
            assert self.sop.message(status, to="team") is self.sop.messages["internal_update"]


class TestGptPlatform:
    sop = load_policy("gpt-platform")

    @pytest.mark.parametrize(
        ("severity", "response"), [("SEV-1", 15 * M), ("SEV-2", 30 * M), ("SEV-3", 1 * H), ("SEV-4", 4 * H)]
    )
    def test_response(self, severity: str, response: float) -> None:
        """Sections "SEV 1 - Critical (Response: 15 minutes)" to "SEV 4 - Low (Response: 4 hours)"."""
        found = limits("gpt-platform", severity)
        assert (found["detect"], found["respond"], found["assess"]) == (response, response, 5 * M)

    @pytest.mark.parametrize("severity", ["SEV-1", "SEV-2"])
    def test_phases(self, severity: str) -> None:
        """Sections "Phase 1: Detection & Triage (0-5 min)" to "Phase 3: Root Cause Analysis (30 min - 2 hours)"."""
        found = limits("gpt-platform", severity)
        assert (found["rollback"], found["mitigate"], found["announce"]) == (30 * M, 30 * M, 30 * M)
        assert found["root_cause"] == 2 * H
        assert found["recover"] == 30 * M
        assert derived("gpt-platform", severity) == {"detect", "recover"}

    @pytest.mark.parametrize("severity", ["SEV-3", "SEV-4"])
    def test_phases_end_before_the_milder_severities_must_be_answered(self, severity: str) -> None:
        """The same sections: they cannot mean severities with a response time of 1 and 4 hours."""
        assert derived("gpt-platform", severity) == ALL_DERIVED
        assert not {"announce", "update", "root_cause"} & set(limits("gpt-platform", severity))

    def test_updates(self) -> None:
        """Sections "Initial Alert (SEV 1/2)": every 15 minutes, and "Update (Every 15-30 min)"."""
        every = self.sop.level("SEV-1").update_every
        assert every is not None
        assert (every.promise, every.limit) == (15 * M, 30 * M)
        assert limits("gpt-platform", "SEV-2")["update"] == 30 * M

    def test_review(self) -> None:
        """Section "Phase 5: Post-Mortem (within 48 hours)"."""
        assert {review.due for s in SEVERITIES if (review := self.sop.level(s).review)} == {48 * H}

    def test_escalation_paths(self) -> None:
        """Section "Escalation Paths"."""

        def to(severity: str, elapsed: float) -> list[str]:
            return [step.to for step in self.sop.level(severity).escalations_due(elapsed)]

        assert to("SEV-1", 0) == ["On-call", "Team Lead", "CTO"]
        assert (to("SEV-2", 0), to("SEV-2", 30 * M)) == (["On-call"], ["On-call", "Team Lead"])
        assert (to("SEV-3", 23 * H), to("SEV-3", 24 * H)) == (["On-call"], ["On-call", "Team Lead"])
        assert to("SEV-4", 9 * D) == []
        assert self.sop.level("SEV-4").ticket

    def test_sev_1_has_bridge_and_leadership(self) -> None:
        """Section "SEV 1 - Critical (Response: 15 minutes)"."""
        assert self.sop.level("SEV-1").bridge
        assert not self.sop.level("SEV-2").bridge
        assert "leadership" in [tell.who for tell in self.sop.level("SEV-1").tell]

    def test_matrix(self) -> None:
        """Section "Severity Matrix"."""
        assert self.sop.matrix is not None
        rows = [(row.impact, row.users, row.downtime, row.severity) for row in self.sop.matrix.rows]
        assert rows == [
            ("Complete outage", "All", "Any", "SEV-1"),
            ("Core feature down", "> 50%", "> 1 hour", "SEV-1"),
            ("Core feature degraded", "> 25%", "> 2 hours", "SEV-2"),
            ("Minor feature down", "< 25%", "Any", "SEV-2"),
            ("Performance issue", "Any", "> 4 hours", "SEV-2"),
            ("Non-critical feature", "< 10%", "Any", "SEV-3"),
        ]

    def test_schedule_and_onboarding(self) -> None:
        """Sections "Monthly Drill Schedule" and "New Engineer Onboarding"."""
        assert self.sop.schedule is not None
        assert self.sop.onboarding is not None
        weeks = [(week.week, week.drill) for week in self.sop.schedule.weeks]
        assert weeks == [(1, "Rollback drill"), (2, "Database failover"), (3, "Security incident"), (4, "Load testing")]
        assert [step.does for step in self.sop.onboarding.steps] == ["read", "shadow", "participate", "lead"]
        assert self.sop.onboarding.steps[3].after == 91 * D

    def test_channel_and_roles(self) -> None:
        """Section "Phase 1: Detection & Triage (0-5 min)"."""
        assert self.sop.channel is not None
        assert self.sop.roles is not None
        name = self.sop.channel.name(dt.date(2026, 1, 22), description="Database down!")
        assert name == "#incident-2026-01-22-database-down"
        roles = [role.role for role in self.sop.roles.roles]
        assert roles == ["Incident Commander", "Tech Lead", "Communications Lead", "Scribe"]

    def test_scenarios(self) -> None:
        """Section "Common Incident Scenarios"."""
        assert [(scenario.name, len(scenario.steps)) for scenario in self.sop.scenarios] == [
            ("Complete Outage", 3),
            ("Database Issues", 4),
            ("Worker Queue Backed Up", 4),
            ("High Error Rate", 4),
            ("Security Incident", 4),
            ("Performance Degradation", 4),
        ]

    def test_customers_are_told_with_their_own_template(self) -> None:
        """Section "Customer Communication"."""
        message = self.sop.message("resolved", to="affected-users")
        assert message is self.sop.messages["customers"]
        assert message.fill_subject({"date": "today"}) == "Service Disruption - today"


def headings(policy: Policy) -> list[str]:
    assert policy.postmortem is not None
    return [section.heading for section in policy.postmortem.sections]


def strings(value: Any, *keys: str) -> Iterator[str]:
    """Every text that stands below one of ``keys`` in ``value``."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key in keys and isinstance(inner, str):
                yield inner
            elif key in keys and isinstance(inner, tuple | list) and all(isinstance(each, str) for each in inner):
                yield from inner
            else:
                yield from strings(inner, *keys)
    elif isinstance(value, tuple | list):
        for inner in value:
            yield from strings(inner, *keys)


def plain(text: str) -> str:
    """``text`` without Markdown and line ends, for comparison."""
    return re.sub(r"[\s*`|\\\[\]#]+", " ", text).strip()


@pytest.mark.skipif(not SOPS.exists(), reason="the SOPs are not beside this checkout")
@pytest.mark.parametrize("name", shipped_policies())
def test_the_policy_quotes_its_sop(name: str) -> None:
    policy = load_policy(name)
    text = (SOPS / policy.document.file).read_text(encoding="utf-8")
    outside_code = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    titles = {plain(title) for title in re.findall(r"^#+ (.*)$", outside_code, re.MULTILINE)}
    data = policy.model_dump()
    sources = set(strings(data, "source", "watch_source", "actions_source")) - {""}
    assert {source for source in sources if plain(source) not in titles} == set()

    # What people read as the SOP's words are its words.
    quoted = [*strings(data, "do", "run", "items", "symptoms", "symptom", "fix", "otherwise", "investigate", "points")]
    quoted += [*strings(data, "contact", "role", "step", "drill", "heading", "cause", "action", "attendees", "window")]
    lines = [line for each in quoted for line in each.splitlines() if line.strip()]
    unlinked = plain(re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", text))
    ours = {
        "sv-sdk": {"Within 24 hours / Within 1 week"},  # two headings of one phase
    }
    missing = {line for line in lines if plain(line) not in unlinked} - ours.get(name, set())
    assert missing == set()

    margins = re.sub(r"^[ \t]+|[ \t]+$", "", text, flags=re.MULTILINE)
    for message in policy.messages.values():
        assert message.as_written() in margins

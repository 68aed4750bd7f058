"""The decision rules, line by line against the SOPs."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sevdrill.conditions import ImpactWhen, SituationWhen
from sevdrill.decisions import Impact, Situation, declare, remedy, severity_from_impact
from sevdrill.severity import load_policy, shipped_policies
from sevdrill.sop import SEVERITIES

M, H = 60, 3600

PLAYBOOK = load_policy("playbook")
GPT = load_policy("gpt-platform")


def impact(*what: str, data: tuple[str, ...] = (), **others: Any) -> Impact:
    return Impact(what=frozenset(what), data=frozenset(data), **others)  # type: ignore[arg-type]


class TestRemedy:
    @pytest.mark.parametrize(
        ("situation", "sop"),
        [
            (Situation(down=True), "Production completely down"),
            (Situation(data_corrupted=True), "Data corruption detected"),
            (Situation(breach=True), "Security breach identified"),
            (Situation(error_rate=0.101), "Error rate > 10%"),
        ],
    )
    def test_the_immediate_list_wins_over_the_tree(self, situation: Situation, sop: str) -> None:
        """playbook, "When to Rollback": also when a fix would take five minutes and rolling back is not safe."""
        told = {field.name: getattr(situation, field.name) for field in fields(situation)}
        choice = remedy(Situation(**told | {"fix_time": 5 * M, "rollback_safe": False}), PLAYBOOK)
        assert choice.remedy == "rollback"
        assert choice.line is not None
        assert (choice.line.sop, choice.line.source) == (sop, 'playbook, "When to Rollback"')

    @pytest.mark.parametrize(
        ("situation", "expected"),
        [
            (Situation(error_rate=0.10, fix_time=29 * M), "hotfix"),
            (Situation(fix_time=30 * M, rollback_safe=True), "rollback"),
            (Situation(fix_time=30 * M, rollback_safe=False), "flags"),
            (Situation(fix_time=30 * M, rollback_safe=None), "flags"),  # NO/UNSURE
            (Situation(rollback_safe=True), "rollback"),
            (Situation(), "flags"),
        ],
    )
    def test_the_tree(self, situation: Situation, expected: str) -> None:
        """playbook, "Rollback vs Hotfix?": < 30 min, then is rollback safe."""
        choice = remedy(situation, PLAYBOOK)
        assert choice.remedy == expected
        assert choice.line is not None
        assert choice.line.source == 'playbook, "Rollback vs Hotfix?"'

    def test_what_to_consider_is_shown_and_does_not_decide(self) -> None:
        """playbook, "When to Rollback": the lists "Consider Rollback" and "Hotfix Instead"."""
        choice = remedy(Situation(down=False, fix_time=10 * M, slowdown=0.6, simple_fix=True), PLAYBOOK)
        assert choice.remedy == "hotfix"
        assert [line.sop for line in choice.for_it] == ["Fix is simple and quick"]
        assert [line.sop for line in choice.against_it] == ["Performance degradation > 50%"]

    def test_rules_that_lack_a_value_are_named(self) -> None:
        choice = remedy(Situation(down=False, data_corrupted=False, breach=False, fix_time=1 * M), PLAYBOOK)
        assert [line.sop for line in choice.undecided] == ["Error rate > 10%"]

    @pytest.mark.parametrize(
        ("policy", "situation", "expected"),
        [
            ("sop-001", Situation(recent_deploy=True), "rollback"),  # "SEV-1 Response (Critical)"
            ("sop-001", Situation(one_feature=True, recent_deploy=True), "flags"),  # "Feature Flag Disable"
            ("sop-001", Situation(recent_deploy=False), "hotfix"),
            ("emergency-procedures", Situation(recent_deploy=True), "rollback"),  # "Production System Down", step 5
            ("emergency-procedures", Situation(external=True), "failover"),
            ("emergency-procedures", Situation(code_bug=True), "hotfix"),
            ("sv-sdk", Situation(recent_deploy=True, error_rate=0.06), "rollback"),  # "High Error Rate"
            ("sv-sdk", Situation(recent_deploy=True, error_rate=0.05), "hotfix"),
            ("gpt-platform", Situation(down=True, recent_deploy=False), "rollback"),  # "Scenario 1: Complete Outage"
            ("gpt-platform", Situation(one_feature=True), "flags"),  # "Scenario 4: High Error Rate"
            ("gpt-platform", Situation(recent_deploy=False), "hotfix"),
            ("gpt-platform", Situation(), "rollback"),  # "Option 1: Rollback (fastest)"
        ],
    )
    def test_the_other_sops(self, policy: str, situation: Situation, expected: str) -> None:
        assert remedy(situation, load_policy(policy)).remedy == expected

    def test_no_rule_fits(self) -> None:
        choice = remedy(Situation(), load_policy("emergency-procedures"))
        assert (choice.remedy, choice.line) == (None, None)
        assert "no rule of emergency-procedures" in choice.note


class TestDeclare:
    @pytest.mark.parametrize(
        ("measured", "declared", "do"),
        [
            (impact("complete_outage", users=0.0), False, "Monitor closely"),
            (impact("cosmetic", users=0.5, core=False), False, "SEV-3 or SEV-4"),
            (impact("core_down", users=0.5, fix_time=14 * M), False, "Fix then document"),
            (impact("core_down", users=0.5, fix_time=15 * M), True, "DECLARE INCIDENT: SEV-1 or SEV-2"),
            (impact("core_down", users=0.01), True, "DECLARE INCIDENT: SEV-1 or SEV-2"),
        ],
    )
    def test_the_tree(self, measured: Impact, declared: bool, do: str) -> None:
        """playbook, "Should I Declare an Incident?"."""
        found = declare(measured, PLAYBOOK)
        assert (found.declare, found.do) == (declared, do)
        assert found.line is not None
        assert found.line.source == 'playbook, "Should I Declare an Incident?"'

    def test_what_is_not_known_does_not_lead_out_of_the_tree(self) -> None:
        found = declare(Impact(), PLAYBOOK)
        assert found.declare
        assert len(found.undecided) == 3

    def test_call_immediately(self) -> None:
        """gpt-platform, "Emergency Contacts"."""
        found = declare(impact(data=("breach",)), GPT)
        assert (found.declare, found.severities, found.do) == (True, ("SEV-1",), "CALL IMMEDIATELY")

    @pytest.mark.parametrize("name", ["sop-001", "emergency-procedures", "sv-sdk"])
    def test_without_rules_the_severity_rows_decide_and_the_answer_says_so(self, name: str) -> None:
        policy = load_policy(name)
        found = declare(impact("complete_outage"), policy)
        assert (found.declare, found.severities) == (True, ("SEV-1",))
        assert "no rule that says when to declare: its severity rows decide" in found.note
        assert not declare(Impact(), policy).declare


class TestSeverity:
    @pytest.mark.parametrize(
        ("measured", "severity", "row"),
        [
            (impact("complete_outage", users=1.0), "SEV-1", "Complete outage | All | Any"),
            (impact("core_down", users=0.51, downtime=math.inf), "SEV-1", "Core feature down | > 50% | > 1 hour"),
            (impact("core_degraded", users=0.26, downtime=3 * H), "SEV-2", "Core feature degraded | > 25% | > 2 hours"),
            (impact("minor_feature", users=0.24), "SEV-2", "Minor feature down | < 25% | Any"),
            (impact("performance", users=0.3, downtime=5 * H), "SEV-2", "Performance issue | Any | > 4 hours"),
            (impact("noncritical_feature", users=0.09), "SEV-3", "Non-critical feature | < 10% | Any"),
        ],
    )
    def test_matrix(self, measured: Impact, severity: str, row: str) -> None:
        """gpt-platform, "Severity Matrix", each row."""
        choice = severity_from_impact(measured, GPT)
        assert choice.severity == severity
        assert choice.line is not None
        assert (choice.line.sop, choice.line.source) == (row, 'gpt-platform, "Severity Matrix"')
        assert choice.note == ""

    @pytest.mark.parametrize(
        ("measured", "severity", "line"),
        [
            (impact("core_down", users=0.5, downtime=math.inf), "SEV-2", "Core feature degraded"),
            (impact("core_down", users=0.9, downtime=1 * H), "SEV-2", "Core feature degraded"),
            (impact("performance", downtime=4 * H), "SEV-3", "Performance degradation"),
            (impact("minor_feature", users=0.25), "SEV-3", "Non-critical feature impaired"),
            (impact(data=("breach",)), "SEV-1", "Data breach or security incident"),
            (impact("cosmetic", money=10001.0), "SEV-1", "Financial impact > $10k/hour"),
            (impact("cosmetic", money=10000.0), "SEV-4", "Cosmetic issues"),
            (impact("core_down", users=1.0, downtime=60.0), "SEV-1", "Complete loss of core functionality"),
        ],
    )
    def test_just_beside_the_matrix_the_definitions_decide(self, measured: Impact, severity: str, line: str) -> None:
        """gpt-platform, "SEV 1 - Critical (Response: 15 minutes)" to "SEV 4 - Low (Response: 4 hours)"."""
        choice = severity_from_impact(measured, GPT)
        assert choice.severity == severity
        assert line in [row.sop for row in choice.rows]

    def test_the_worst_row_wins(self) -> None:
        choice = severity_from_impact(impact("cosmetic", "noncritical_feature", "complete_outage", users=1.0), GPT)
        assert choice.severity == "SEV-1"
        assert choice.rows[-1].answer == "SEV-4"

    def test_a_worse_row_that_lacks_a_value_is_named(self) -> None:
        choice = severity_from_impact(impact("core_down", users=0.6), GPT)
        assert choice.severity == "SEV-2"
        assert "Core feature down | > 50% | > 1 hour" in [line.sop for line in choice.undecided]

    @pytest.mark.parametrize(
        ("name", "measured", "severity", "line"),
        [
            ("sop-001", impact("complete_outage"), "SEV-1", "Complete outage"),
            ("sop-001", impact("api_failures"), "SEV-2", "API failures"),
            ("sop-001", impact("performance"), "SEV-3", "degraded performance"),
            ("sop-001", impact("cosmetic"), "SEV-4", "UI bugs"),
            ("playbook", impact(data=("loss",)), "SEV-1", "data loss"),
            ("playbook", impact("partial_functionality"), "SEV-3", "partial functionality"),
            ("emergency-procedures", impact(data=("loss",)), "SEV-1", "Data loss occurring"),
            ("emergency-procedures", impact(data=("partial_loss",)), "SEV-2", "Partial data loss"),
            ("emergency-procedures", impact("minor_bug", workaround=True), "SEV-3", "Workaround available"),
            ("sv-sdk", impact(response_time=5.1), "SEV-2", "Slow response times (> 5 seconds)"),
            ("sv-sdk", impact("performance", response_time=5.0), "SEV-3", "Minor performance issues"),
        ],
    )
    def test_without_a_matrix_the_definitions_decide_and_the_answer_says_so(
        self, name: str, measured: Impact, severity: str, line: str
    ) -> None:
        choice = severity_from_impact(measured, load_policy(name))
        assert choice.severity == severity
        assert choice.line is not None
        assert choice.line.sop == line
        assert "has no severity matrix: its severity definitions decide" in choice.note

    @pytest.mark.parametrize("name", shipped_policies())
    def test_no_impact_has_no_severity(self, name: str) -> None:
        choice = severity_from_impact(Impact(users=0.0), load_policy(name))
        assert (choice.severity, choice.line) == (None, None)
        assert "describes this impact" in choice.note

    @pytest.mark.parametrize("name", shipped_policies())
    def test_an_outage_and_a_breach_are_sev_1_everywhere(self, name: str) -> None:
        policy = load_policy(name)
        assert severity_from_impact(impact("complete_outage"), policy).severity == "SEV-1"
        assert severity_from_impact(impact(data=("breach",)), policy).severity == "SEV-1"

    @given(
        name=st.sampled_from(shipped_policies()),
        some=st.frozensets(st.sampled_from(["cosmetic", "minor_bug", "performance", "core_degraded", "core_down"])),
        more=st.sampled_from(["noncritical_feature", "performance_severe", "core_down", "complete_outage"]),
        downtime=st.floats(0, 10 * H),
        longer=st.floats(0, 10 * H),
    )
    def test_more_impact_is_never_a_milder_severity(
        self, name: str, some: frozenset[str], more: str, downtime: float, longer: float
    ) -> None:
        policy = load_policy(name)
        before = severity_from_impact(impact(*some, users=0.3, downtime=downtime), policy).severity
        after = severity_from_impact(impact(*some, more, users=0.3, downtime=downtime + longer), policy).severity
        if before is not None:
            assert after is not None
            assert SEVERITIES.index(after) <= SEVERITIES.index(before)


def test_every_condition_has_a_fact_to_ask() -> None:
    assert set(ImpactWhen.model_fields) <= {field.name for field in fields(Impact)}
    assert set(SituationWhen.model_fields) <= {field.name for field in fields(Situation)}


@pytest.mark.parametrize("share", [-0.1, 1.1, 50])
def test_shares_are_shares(share: float) -> None:
    with pytest.raises(ValueError, match="users is a share between 0 and 1"):
        Impact(users=share)
    with pytest.raises(ValueError, match="error_rate is a share between 0 and 1"):
        Situation(error_rate=share)

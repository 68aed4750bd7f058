"""The judge, on made-up timelines: what passes, and what each single thing that goes wrong makes of it."""

from __future__ import annotations

from typing import Any

import made_up
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up import DATABASE_DOWN, QUIET, ROLLBACK, incident, quiet, scenario

from sevdrill.judge import Outcome, Verdict, judge
from sevdrill.lines import FaultLine, Line, MarkLine, PhaseLine, ReadLine, Sample, StepLine, Stopped
from sevdrill.severity import load_policy
from sevdrill.timeline import Timeline

DB = scenario(DATABASE_DOWN)
BAD_RELEASE = scenario(ROLLBACK)
POLICY = load_policy("sop-001")


def judged(lines: list[Line], drill: Any = DB, policy: str = "sop-001") -> Verdict:
    return judge(Timeline(lines), drill, load_policy(policy))


def test_a_drill_in_which_everything_went_right_passes() -> None:
    verdict = judged(incident(DB))
    assert (verdict.outcome, verdict.reasons) == (Outcome.PASSED, ())
    assert {"injected", "symptom", "detected", "paged", "responded", "mitigated", "recovered", "announced"} <= set(
        verdict.marks
    )


def test_times_are_intervals_that_contain_the_truth() -> None:
    verdict = judged(incident(DB, injected=10.0, detected=12.05, recovered=18.05))
    detected, recovered = verdict.since_injected("detected"), verdict.since_injected("recovered")
    assert detected is not None
    assert recovered is not None
    assert detected.lo <= 2.05 <= detected.hi
    assert recovered.lo <= 8.05 <= recovered.hi
    assert detected.width <= made_up.EVERY * 1.2


def met(verdict: Verdict) -> dict[str, bool | None]:
    return {result.target.key: result.met for result in verdict.targets}


def test_what_never_came_is_no_miss_in_a_run_that_ended_before_it_was_due() -> None:
    stopped = Stopped(t=13.0, kind="aborted", reason="interrupted by Ctrl-C")
    early = judged([*[line for line in incident(DB) if line.t < 13], stopped])
    assert early.outcome is Outcome.ABORTED
    assert met(early) == {"detect": True, "respond": None, "rollback": None, "mitigate": None, "recover": None}
    # Ended when it was long due: then it was missed, whoever ended it.
    never = incident(DB, mitigated=None, recovered=None)
    late = judged([*[line for line in never if line.t < 75], stopped.model_copy(update={"t": 75.0})])
    assert met(late) == {"detect": True, "respond": None, "rollback": None, "mitigate": False, "recover": None}
    killed = judged([line for line in never if line.t < 75])
    assert met(killed) == met(late)
    assert met(judged(never))["respond"] is False, "a run that went to its end"


def test_an_invalid_drill_says_of_nothing_that_it_was_missed() -> None:
    verdict = judged(incident(DB, fault_on=False, detected=None, mitigated=None, recovered=None))
    assert verdict.outcome is Outcome.INVALID
    assert set(met(verdict).values()) == {None}


def test_rolled_back_is_measured_against_the_response_time() -> None:
    verdict = judged(incident(BAD_RELEASE, mitigated=16.0), BAD_RELEASE)
    assert verdict.outcome is Outcome.PASSED
    result = next(r for r in verdict.targets if r.target.key == "rollback")
    assert result.met
    assert result.target.derived
    assert result.target.limit == 3600


@pytest.mark.parametrize(
    ("change", "outcome", "names"),
    [
        ({"detected": None}, Outcome.FAILED, "DatabaseDown never fired"),
        ({"detected": 45.0, "mitigated": 46.0, "recovered": 48.0}, Outcome.FAILED, "detect: the limit is 30s"),
        ({"mitigated": None}, Outcome.FAILED, "never mitigated"),
        ({"mitigated": 71.0, "recovered": 72.0}, Outcome.FAILED, "mitigate: the limit is 1m"),
        ({"recovered": None}, Outcome.FAILED, "never recovered"),
        ({"recovered": 101.0}, Outcome.FAILED, "recover: the limit is 1m30s"),
        ({"pages": 2}, Outcome.FAILED, "2 deliveries"),
        ({"pages": 0}, Outcome.FAILED, "0 deliveries"),
        ({"dirty": True}, Outcome.FAILED, "could not be brought back"),
        ({"fault_on": False}, Outcome.INVALID, "the fault had no effect"),
        ({"healthy_before": False}, Outcome.INVALID, "not healthy before the fault"),
        ({"monitoring_dies": 5.0}, Outcome.INVALID, "monitoring was not alive"),
        ({"monitoring_dies": 10.1}, Outcome.INVALID, "monitoring was not alive"),
        ({"ended": False}, Outcome.ABORTED, "the run was killed"),
    ],
)
def test_one_thing_gone_wrong(change: dict[str, Any], outcome: Outcome, names: str) -> None:
    verdict = judged(incident(DB, **change))
    assert verdict.outcome is outcome
    assert names in " | ".join(verdict.reasons)


@pytest.mark.parametrize(
    ("read", "names"),
    [
        ({"acknowledged": 80, "found": 78, "lost": ["a-1", "a-2"], "duplicated": []}, "lost: a-1, a-2"),
        ({"acknowledged": 0, "found": 0, "lost": [], "duplicated": []}, "nothing is proved"),
        ({}, "cannot be judged"),
    ],
)
def test_lost_writes_fail_and_are_named(read: dict[str, Any], names: str) -> None:
    verdict = judged(incident(DB, reads={"no_lost_writes": read}))
    assert verdict.outcome is Outcome.FAILED
    assert names in " | ".join(verdict.reasons)


def test_lost_data_stays_failed_whatever_else_went_wrong() -> None:
    lost = {"acknowledged": 80, "found": 79, "lost": ["a-1"], "duplicated": []}
    verdict = judged(incident(DB, fault_on=False, reads={"no_lost_writes": lost}))
    assert verdict.outcome is Outcome.FAILED
    assert "a-1" in verdict.reasons[0]


def test_an_interrupted_run_is_aborted_even_with_lost_data() -> None:
    lost = {"acknowledged": 80, "found": 79, "lost": ["a-1"], "duplicated": []}
    lines = incident(DB, reads={"no_lost_writes": lost})
    lines.append(Stopped(t=99, kind="aborted", reason="interrupted by Ctrl-C"))
    assert judged(lines).outcome is Outcome.ABORTED


def test_an_alert_that_still_fires_fails() -> None:
    verdict = judged(incident(DB, reads={"alert_resolved": {"firing": 1, "alive": True, "why": ""}}))
    assert verdict.outcome is Outcome.FAILED
    assert "still fires" in verdict.reasons[0]


def test_the_silence_of_a_dead_monitoring_means_nothing() -> None:
    verdict = judged(incident(DB, reads={"alert_resolved": {"firing": 0, "alive": False, "why": "no heartbeat"}}))
    assert verdict.outcome is Outcome.FAILED
    assert "means nothing" in verdict.reasons[0]


def test_a_steady_state_that_never_broke_proves_no_recovery() -> None:
    lines = [
        line.model_copy(update={"ok": True}) if isinstance(line, Sample) and line.series.startswith("steady:") else line
        for line in incident(DB)
    ]
    verdict = judged(lines)
    assert verdict.outcome is Outcome.INVALID
    assert "the steady state was never left" in verdict.reasons[0]


def test_an_effect_that_never_came_is_invalid() -> None:
    lines = [
        line.model_copy(update={"ok": False})
        if isinstance(line, Sample) and line.series.startswith("effect:")
        else line
        for line in incident(DB)
    ]
    assert judged(lines).outcome is Outcome.INVALID


def test_an_alert_that_fired_before_the_fault_is_invalid() -> None:
    lines = [
        line.model_copy(update={"ok": True}) if isinstance(line, Sample) and line.series.startswith("alert:") else line
        for line in incident(DB)
    ]
    verdict = judged(lines)
    assert verdict.outcome is Outcome.INVALID
    assert "not known to be false before the fault" in " | ".join(verdict.reasons)


def test_a_gap_in_the_samples_breaks_the_hold() -> None:
    whole = judged(incident(DB, recovered=18.0))
    # Nobody looked for a while after the recovery: it counts from when somebody looked again.
    lines = [
        line
        for line in incident(DB, recovered=18.0)
        if not (isinstance(line, Sample) and line.series.startswith("steady:") and 18.1 < line.start < 18.5)
    ]
    assert judged(lines).marks["recovered"].hi > whole.marks["recovered"].hi


def test_a_resilience_drill_fails_when_users_feel_anything() -> None:
    steady = {**DATABASE_DOWN["steady_state"], "throughout": True}
    drill = scenario(DATABASE_DOWN, steady_state=steady, effect=[])
    verdict = judged(incident(drill), drill)
    assert verdict.outcome is Outcome.FAILED
    assert "users felt it" in " | ".join(verdict.reasons)


@pytest.mark.parametrize(
    ("change", "outcome"),
    [
        ({}, Outcome.PASSED),
        ({"pages": 1}, Outcome.FAILED),
        ({"healthy": False}, Outcome.FAILED),
        ({"monitoring_dies": 12.0}, Outcome.INVALID),
    ],
)
def test_quiet_drills(change: dict[str, Any], outcome: Outcome) -> None:
    drill = scenario(QUIET)
    assert judged(quiet(drill, **change), drill).outcome is outcome


def test_the_same_timeline_under_another_policy() -> None:
    plain = scenario(DATABASE_DOWN, targets={})
    lines = incident(plain, detected=12.0, mitigated=16.0, recovered=18.0)
    assert judged(lines, plain, "sop-001").outcome is Outcome.PASSED
    sources = {r.target.source for r in judged(lines, plain, "playbook").targets}
    assert all("SOP-001" not in source for source in sources)


# -- properties -----------------------------------------------------------------------------------------------------

ORDER = [Outcome.ABORTED, Outcome.INVALID, Outcome.FAILED, Outcome.PASSED]
GOOD = incident(DB)


@given(detected=st.floats(10.5, 40), more=st.floats(0, 60))
@settings(deadline=None, max_examples=40)
def test_a_later_detection_never_improves_an_outcome(detected: float, more: float) -> None:
    def outcome(moment: float) -> int:
        lines = incident(DB, detected=moment, mitigated=moment + 2, recovered=moment + 4)
        return ORDER.index(judged(lines).outcome)

    assert outcome(detected + more) <= outcome(detected)


@given(recovered=st.floats(17, 90), more=st.floats(0, 60))
@settings(deadline=None, max_examples=40)
def test_a_later_recovery_never_improves_an_outcome(recovered: float, more: float) -> None:
    def outcome(moment: float) -> int:
        return ORDER.index(judged(incident(DB, recovered=moment)).outcome)

    assert outcome(recovered + more) <= outcome(recovered)


def _evidence(line: Line) -> bool:
    return isinstance(line, (Sample, FaultLine, StepLine, ReadLine, MarkLine, PhaseLine))


@given(data=st.data())
@settings(deadline=None, max_examples=150)
def test_deleting_evidence_never_turns_a_verdict_into_passed(data: st.DataObject) -> None:
    change = data.draw(
        st.sampled_from(
            [
                {"detected": None},
                {"mitigated": None},
                {"recovered": None},
                {"fault_on": False},
                {"healthy_before": False},
                {"monitoring_dies": 10.1},
                {"ended": False},
                {"reads": {"no_lost_writes": {"acknowledged": 8, "found": 7, "lost": ["a"], "duplicated": []}}},
                {"detected": 45.0, "mitigated": 46.0, "recovered": 48.0},
            ]
        )
    )
    lines = incident(DB, **change)  # type: ignore[arg-type]
    start = data.draw(st.integers(1, len(lines) - 1))
    length = data.draw(st.integers(1, 200))
    kept = [line for number, line in enumerate(lines) if not (start <= number < start + length and _evidence(line))]
    assert judged(kept).outcome is not Outcome.PASSED


@given(data=st.data())
@settings(deadline=None, max_examples=60)
def test_deleting_a_whole_series_never_passes(data: st.DataObject) -> None:
    names = sorted({line.series for line in GOOD if isinstance(line, Sample)})
    gone = data.draw(st.sampled_from(names))
    kept = [line for line in GOOD if not (isinstance(line, Sample) and line.series == gone)]
    assert judged(kept).outcome is not Outcome.PASSED


@pytest.mark.parametrize("kind", [FaultLine, StepLine, ReadLine, MarkLine])
def test_deleting_every_line_of_a_kind_never_passes(kind: type) -> None:
    assert judged([line for line in GOOD if not isinstance(line, kind)]).outcome is not Outcome.PASSED


def test_judging_twice_gives_the_same() -> None:
    assert judged(GOOD) == judged(GOOD)

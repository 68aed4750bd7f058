"""What no change of a timeline may do to its verdict."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_up import DATABASE_DOWN, QUIET, ROLLBACK, incident, numbered, quiet, recorded, scenario, series

from sevdrill.errors import RunError, SevdrillError
from sevdrill.judge import Outcome, Verdict, judge
from sevdrill.lines import (
    End,
    FaultLine,
    Line,
    MarkLine,
    MessageLine,
    PageLine,
    PhaseLine,
    ReadLine,
    Sample,
    StepLine,
    Stopped,
)
from sevdrill.plan import detect_series, steady_series
from sevdrill.rejudging import rejudge
from sevdrill.scenario import Scenario
from sevdrill.severity import load_policy, shipped_policies
from sevdrill.timeline import Timeline

DB, BAD_RELEASE, CALM = scenario(DATABASE_DOWN), scenario(ROLLBACK), scenario(QUIET)
THROUGHOUT = scenario(
    DATABASE_DOWN, steady_state={**DATABASE_DOWN["steady_state"], "throughout": True}, effect=[], drill="Resilient"
)
POLICY = load_policy("sop-001")
LOST = {"no_lost_writes": {"acknowledged": 8, "found": 7, "lost": ["a"], "duplicated": []}}
# One thing that is wrong with a run, and makes it fail.
WRONG: list[dict[str, Any]] = [
    {"detected": None},
    {"mitigated": None},
    {"recovered": None},
    {"fault_on": False},
    {"healthy_before": False},
    {"monitoring_dies": 10.1},
    {"ended": False},
    {"dirty": True},
    {"pages": 2},
    {"reads": LOST},
    {"detected": 45.0, "mitigated": 46.0, "recovered": 48.0},
]
ORDER = [Outcome.ABORTED, Outcome.INVALID, Outcome.FAILED, Outcome.PASSED]

quick = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


def judged(lines: list[Line], drill: Scenario = DB) -> Verdict:
    return judge(Timeline(lines), drill, POLICY)


def rank(lines: list[Line], drill: Scenario = DB) -> int:
    return ORDER.index(judged(lines, drill).outcome)


@pytest.fixture(scope="module")
def bad() -> list[list[Line]]:
    stopped = Stopped(t=30.0, kind="aborted", reason="interrupted by Ctrl-C")
    felt = incident(THROUGHOUT)
    runs = [incident(DB, **change) for change in WRONG] + [[*incident(DB)[:-1], stopped, incident(DB)[-1]]]
    return [*(numbered(run) for run in runs), numbered(felt), numbered(quiet(CALM, pages=1))]


GOOD = [(DB, numbered(incident(DB))), (BAD_RELEASE, numbered(incident(BAD_RELEASE))), (CALM, numbered(quiet(CALM)))]


def drill_of(lines: list[Line]) -> Scenario:
    return {"Resilient": THROUGHOUT, "Quiet day": CALM, "Bad release": BAD_RELEASE}.get(
        getattr(lines[0], "drill", ""), DB
    )


# -- lines that are not there ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("drill", "lines"), GOOD, ids=lambda value: getattr(value, "drill", ""))
def test_no_line_can_be_taken_out(drill: Scenario, lines: list[Line]) -> None:
    assert judged(lines, drill).outcome is Outcome.PASSED
    step = max(1, len(lines) // 60)
    for number in [*range(1, len(lines), step), len(lines) - 1]:
        assert judged(lines[:number] + lines[number + 1 :], drill).outcome is not Outcome.PASSED


@given(data=st.data())
@quick
def test_no_set_of_lines_can_be_taken_out(data: st.DataObject, bad: list[list[Line]]) -> None:
    lines = data.draw(st.sampled_from([*bad, *(lines for _, lines in GOOD)]))
    share, seed = data.draw(st.floats(0.001, 0.999)), data.draw(st.integers(0, 2**32))
    chosen = random.Random(seed)
    kept = [lines[0], *(line for line in lines[1:] if chosen.random() > share)]
    if len(kept) < len(lines):
        verdict = judged(kept, drill_of(lines))
        assert verdict.outcome is not Outcome.PASSED
        assert (
            any("missing after line" in r or "was killed" in r for r in verdict.reasons) or "lost" in verdict.reasons[0]
        )


@pytest.mark.parametrize("change", WRONG[:-3], ids=str)
def test_not_even_where_lines_have_no_numbers(change: dict[str, Any]) -> None:
    # Without numbers nobody knows that a line is missing; all the same, no kind of evidence can be left out.
    lines = incident(DB, **change)
    kinds: list[Callable[[Line], bool]] = [
        *(
            lambda line, kind=kind: isinstance(line, kind)
            for kind in (FaultLine, StepLine, ReadLine, MarkLine, PhaseLine)
        ),
        *(
            lambda line, name=name: isinstance(line, Sample) and line.series == name
            for name in sorted({line.series for line in lines if isinstance(line, Sample)})
        ),
        lambda line: isinstance(line, Sample) and line.ok is not True,
        lambda line: isinstance(line, Sample) and line.start > 12,
    ]
    if change != {"dirty": True} and change != {"ended": False}:
        for gone in kinds:
            assert judged([line for line in lines if not gone(line)]).outcome is not Outcome.PASSED


@given(moment=st.floats(1, 28), delta=st.floats(0, 100))
@quick
def test_a_gap_in_time_never_improves_an_outcome(bad: list[list[Line]], moment: float, delta: float) -> None:
    # As if the machine had slept: nothing is seen for a while.
    def later(line: Line) -> Line:
        names = [name for name in ("t", "lo", "hi", "start", "end") if getattr(line, name, 0.0) >= moment]
        return line.model_copy(update={name: getattr(line, name) + delta for name in names})

    for lines in [*bad[:: len(bad) // 3], GOOD[0][1]]:
        moved = [later(line) for line in lines]
        assert rank(moved, drill_of(lines)) <= max(rank(lines, drill_of(lines)), ORDER.index(Outcome.FAILED))


# -- lines in another order, or of another run ---------------------------------------------------------------------


@given(data=st.data())
@quick
def test_lines_in_another_order_are_refused(data: st.DataObject, bad: list[list[Line]]) -> None:
    lines = list(data.draw(st.sampled_from(bad)))
    one, other = data.draw(st.lists(st.integers(0, len(lines) - 1), min_size=2, max_size=2, unique=True))
    lines[one], lines[other] = lines[other], lines[one]
    with pytest.raises(RunError, match=r"order|no timeline|begins another"):
        Timeline(lines)


@given(data=st.data())
@quick
def test_a_line_that_is_there_twice_is_refused(data: st.DataObject, bad: list[list[Line]]) -> None:
    lines = list(data.draw(st.sampled_from(bad)))
    lines.insert(data.draw(st.integers(1, len(lines))), data.draw(st.sampled_from(lines[1:])))
    with pytest.raises(RunError, match="order"):
        Timeline(lines)


@given(data=st.data())
@quick
def test_lines_of_another_run_are_refused(data: st.DataObject, bad: list[list[Line]]) -> None:
    lines, other = list(data.draw(st.sampled_from(bad))), numbered(incident(DB), run="ffffffff")
    begin = data.draw(st.integers(1, min(len(lines), len(other)) - 1))
    with pytest.raises(RunError, match="another run"):
        Timeline(lines[:begin] + other[begin:])
    with pytest.raises(RunError, match="another run"):
        Timeline([*lines[:begin], data.draw(st.sampled_from(other)), *lines[begin + 1 :]])
    with pytest.raises(RunError, match="another run"):
        Timeline(lines + other)


def test_lines_without_numbers_are_refused_in_a_file(tmp_path: Path) -> None:
    text = "".join(line.model_dump_json() + "\n" for line in incident(DB))
    (tmp_path / "timeline.jsonl").write_text(text, encoding="utf-8")
    with pytest.raises(RunError, match=r"timeline\.jsonl:1: the lines have no numbers"):
        rejudge(tmp_path)


# -- torn files ------------------------------------------------------------------------------------------------------


def test_a_torn_file_is_judged_as_far_as_it_goes_or_refused(tmp_path: Path) -> None:
    path = recorded(tmp_path, incident(DB)) / "timeline.jsonl"
    raw, chosen = path.read_bytes(), random.Random(7)
    assert rejudge(tmp_path).verdict.outcome is Outcome.PASSED
    for cut in [0, 1, len(raw) - 2, *(chosen.randrange(len(raw)) for _ in range(25))]:
        path.write_bytes(raw[:cut])
        try:
            verdict = rejudge(tmp_path).verdict
        except RunError:
            assert cut < raw.index(b"\n")
        else:
            assert verdict.outcome is Outcome.ABORTED
            assert "the run was killed" in verdict.reasons[0]
    for begin in (chosen.randrange(len(raw)) for _ in range(10)):
        # A hole, as a disk leaves one.
        hole = raw[begin : begin + 300]
        path.write_bytes(raw[:begin] + b"\0" * len(hole) + raw[begin + 300 :])
        with pytest.raises(RunError):
            rejudge(tmp_path)


ODD_BYTES = b"0129eE.,:\"'{}[]tfn-\\ \n\x00\x1b\xff"


@given(data=st.data())
@quick
def test_changed_bytes_are_refused_or_judged_but_never_end_in_an_exception(data: st.DataObject, tmp_path: Path) -> None:
    path = recorded(tmp_path, incident(DB)[::7]) / "timeline.jsonl"
    raw = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 5))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(
            st.sampled_from(b"0129eE.,:\"'{}[]tfn-\\ \n\x00\x1b\xff")
        )
    path.write_bytes(raw)
    with contextlib.suppress(SevdrillError):
        rejudge(tmp_path)


# -- later is never better --------------------------------------------------------------------------------------------


MOMENTS = st.tuples(st.floats(10.5, 45), st.floats(0.3, 40), st.floats(0.3, 40))


@given(moments=MOMENTS, count=st.integers(0, 300))
@quick
def test_later_samples_of_an_alert_never_improve_an_outcome(moments: tuple[float, float, float], count: int) -> None:
    detected, mitigated, recovered = moments[0], moments[0] + moments[1], moments[0] + moments[1] + moments[2]
    lines = incident(DB, detected=detected, mitigated=mitigated, recovered=recovered)
    assert rank(_bad_for_longer(lines, set(detect_series(DB)), count)) <= rank(lines)


@given(moments=MOMENTS, count=st.integers(0, 300), both=st.booleans())
@quick
def test_later_samples_of_the_steady_state_never_improve_an_outcome(
    moments: tuple[float, float, float], count: int, both: bool
) -> None:
    detected, mitigated, recovered = moments[0], moments[0] + moments[1], moments[0] + moments[1] + moments[2]
    lines = incident(DB, detected=detected, mitigated=mitigated, recovered=recovered)
    steady = list(steady_series(DB))
    assert rank(_bad_for_longer(lines, set(steady if both else steady[:1]), count)) <= rank(lines)


def _bad_for_longer(lines: list[Line], names: set[str], count: int) -> list[Line]:
    """The first so many good samples after the first bad one since the injection are bad, too."""
    seen: dict[str, int] = {}
    result: list[Line] = []
    for line in lines:
        changed = line
        if isinstance(line, Sample) and line.series in names and line.end >= 10:
            if line.ok is False:
                seen.setdefault(line.series, 0)
            elif line.series in seen and seen[line.series] < count:
                seen[line.series] += 1
                changed = line.model_copy(update={"ok": False})
        result.append(changed)
    return result


@given(mitigated=st.floats(13, 100), more=st.floats(0, 5000))
@quick
def test_a_step_that_ended_later_never_improves_an_outcome(mitigated: float, more: float) -> None:
    for drill in (DB, BAD_RELEASE):
        lines = incident(drill, mitigated=mitigated, recovered=mitigated + 2)
        later = [
            line.model_copy(update={"hi": line.hi + more, "t": line.t + more}) if isinstance(line, StepLine) else line
            for line in lines
        ]
        assert rank(later, drill) <= rank(lines, drill)


@given(
    name=st.sampled_from(["declared", "responded", "rolled_back", "mitigated", "announced"]), more=st.floats(0, 9000)
)
@quick
def test_a_mark_that_somebody_set_later_never_improves_an_outcome(name: str, more: float) -> None:
    lines = incident(DB)
    mark = MarkLine(t=12, name=name, lo=12, hi=12.5)
    later = mark.model_copy(update={"lo": 12 + more, "hi": 12.5 + more})
    assert rank([*lines, later]) <= rank([*lines, mark])


@pytest.mark.parametrize("name", ["symptom", "detected", "paged", "recovered"])
def test_nobody_can_say_what_only_samples_show(name: str) -> None:
    lines = incident(DB, detected=None, recovered=None)
    said = judged([*lines, MarkLine(t=12, name=name, lo=12, hi=12)])
    assert said.marks.get(name) == judged(lines).marks.get(name)


# -- always the same, never an exception -------------------------------------------------------------------------------


def test_judging_twice_gives_the_same_from_memory_and_from_the_file(tmp_path: Path, bad: list[list[Line]]) -> None:
    for number, lines in enumerate(bad):
        verdict = judged(lines, drill_of(lines))
        assert judged(lines, drill_of(lines)) == verdict
        folder = recorded(tmp_path / str(number), lines)
        assert rejudge(folder).verdict == rejudge(folder).verdict == verdict


def test_every_reason_names_lines_that_are_there(bad: list[list[Line]]) -> None:
    for lines in bad:
        verdict = judged(lines, drill_of(lines))
        assert verdict.reasons
        assert len(verdict.rests_on) == len(verdict.reasons)
        for numbers in verdict.rests_on:
            assert numbers
            assert all(1 <= number <= len(lines) for number in numbers)


def test_a_reason_names_the_line_that_says_so(bad: list[list[Line]]) -> None:
    def named(change: dict[str, Any], words: str) -> list[Line]:
        lines = numbered(incident(DB, **change))
        verdict = judged(lines)
        numbers = next(n for r, n in zip(verdict.reasons, verdict.rests_on, strict=True) if words in r)
        return [lines[number - 1] for number in numbers]

    injected, before, first = named({"detected": 45.0, "mitigated": 46.0, "recovered": 48.0}, "detect: the limit")
    assert (injected.type, before.type, first.type) == ("mark", "sample", "sample")
    assert isinstance(before, Sample)
    assert isinstance(first, Sample)
    assert (before.series, before.ok, first.ok) == ("alert:0:DatabaseDown", False, True)
    assert [line.type for line in named({"reads": LOST}, "no acknowledged write")] == ["read"]
    assert [line.type for line in named({"mitigated": None}, "respond: restart db")] == ["step"]
    assert [line.type for line in named({"dirty": True}, "could not be brought back")] == ["end"]
    assert [line.type for line in named({"fault_on": False}, "the fault had no effect")] == ["fault"]


NUMBERS = st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from([0.0, -1.0, 10.0, 12.5, 1e308, -1e308])
TEXTS = st.sampled_from(
    ["", "x", "\x1b[31m", "detected", "recovered", "rolled_back", "steady:0:health", "DatabaseDown", "\u202e", "9" * 50]
)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
NAMES = st.sampled_from(
    [
        *steady_series(DB),
        *detect_series(DB),
        "effect:0:orders fail",
        "monitoring",
        "pager",
        "fault:0",
        "",
        "alert:",
        "::",
    ]
)
EVENTS = ["prepared", "injected", "failed", "on", "without-effect", "undone", "dirty"]
READS = st.dictionaries(
    st.sampled_from(["acknowledged", "found", "lost", "duplicated", "alive", "why", "firing", "attempted"]), JSON
)
LINES: st.SearchStrategy[Line] = st.one_of(
    st.builds(
        PhaseLine,
        t=NUMBERS,
        name=st.sampled_from(
            ["prepare", "steady", "inject", "detect", "respond", "recover", "close", "verify", "restore"]
        ),
    ),
    st.builds(Sample, t=NUMBERS, series=NAMES, start=NUMBERS, end=NUMBERS, ok=st.none() | st.booleans(), value=NUMBERS),
    st.builds(MarkLine, t=NUMBERS, name=TEXTS | st.just("injected") | st.just("quiet"), lo=NUMBERS, hi=NUMBERS),
    st.builds(FaultLine, index=st.integers(-1, 3), fault=TEXTS, title=TEXTS, event=st.sampled_from(EVENTS)),
    st.builds(
        StepLine,
        part=st.sampled_from(["investigate", "respond", "close"]),
        index=st.integers(-1, 3),
        action=TEXTS,
        title=TEXTS,
        event=st.sampled_from(["began", "ended"]),
        ok=st.none() | st.booleans(),
        mark=TEXTS,
        lo=NUMBERS,
        hi=NUMBERS,
        is_message=st.booleans(),
    ),
    st.builds(MessageLine, t=NUMBERS, to=TEXTS, status=TEXTS, text=TEXTS),
    st.builds(
        PageLine,
        id=st.integers(),
        kind=st.sampled_from(["page", "ticket"]),
        status=st.just("firing") | TEXTS,
        lo=NUMBERS,
        hi=NUMBERS,
        alerts=st.lists(st.dictionaries(TEXTS | st.just("name"), JSON, max_size=2), max_size=2),
    ),
    st.builds(ReadLine, check=st.integers(-1, 4), when=st.just("verify"), ok=st.booleans(), data=READS),
    st.builds(Stopped, kind=st.sampled_from(["aborted", "invalid"]), reason=TEXTS),
    st.builds(End, dirty=st.booleans()),
)


@given(lines=st.lists(LINES, max_size=25), keep=st.booleans(), policy=st.sampled_from(shipped_policies()))
@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_timeline_that_can_be_read_is_judged(tmp_path: Path, lines: list[Line], keep: bool, policy: str) -> None:
    for drill in (scenario(DATABASE_DOWN, targets={}), BAD_RELEASE, CALM):
        base = (quiet(CALM) if drill is CALM else incident(drill))[::5]
        base[0] = base[0].model_copy(update={"policy": policy})
        made = numbered([base[0], *(base[1:] if keep else []), *lines])
        verdict = judge(Timeline(made), drill, load_policy(policy))
        assert all(verdict.rests_on)
        result = rejudge(recorded(tmp_path, made))
        assert result.verdict == verdict


def test_a_verdict_is_not_changed_by_lines_that_nobody_reads() -> None:
    lines = incident(DB)
    more = series("something:else", 20, lambda t: t > 5)
    assert judged([*lines, *more]).outcome is Outcome.PASSED

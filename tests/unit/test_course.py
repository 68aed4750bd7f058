"""What the SOP asks for was done in its order; what was prevented was never felt."""

from __future__ import annotations

import pytest

from sevdrill.checks import Result
from sevdrill.checks.course import Checklist, StayedGood
from sevdrill.lines import FaultLine, Line, MessageLine, RunLine, Sample, StepLine
from sevdrill.timeline import Timeline

FIRST = RunLine(drill="x", severity="SEV-1", policy="sop-001", stack="x", wall="2026-01-01T00:00:00+00:00", scenario={})


def done(action: str, *, to: str = "", ok: bool = True, part: str = "respond") -> list[Line]:
    said: list[Line] = [MessageLine(to=to, status="identified", text="x")] if to else []
    step = {"part": part, "index": 0, "action": action, "title": action, "event": "ended", "ok": ok}
    return [*said, StepLine.model_validate({**step, "is_message": bool(to)})]


@pytest.mark.parametrize(
    ("steps", "result"),
    [
        ([done("rollback"), done("announce", to="vendor"), done("maintenance")], Result.HOLDS),
        ([done("rollback"), done("run"), done("announce", to="vendor"), done("maintenance")], Result.HOLDS),
        ([done("rollback"), done("announce", to="team"), done("maintenance")], Result.BROKEN),
        ([done("announce", to="vendor"), done("rollback"), done("maintenance")], Result.BROKEN),
        ([done("rollback", ok=False), done("announce", to="vendor"), done("maintenance")], Result.BROKEN),
        ([done("rollback", part="investigate"), done("announce", to="vendor"), done("maintenance")], Result.BROKEN),
        ([], Result.BROKEN),
    ],
)
def test_a_checklist_is_done_in_its_order(steps: list[list[Line]], result: Result) -> None:
    check = Checklist(check="checklist", done=("rollback", "announce vendor", "maintenance"))
    finding = check.judge({}, Timeline([FIRST, *(line for step in steps for line in step)]))
    assert finding.result is result, finding.why


def test_of_two_steps_of_a_kind_each_is_known_by_its_title() -> None:
    one, other = done("http"), done("http")
    lines = [line.model_copy(update={"title": f"ask {n}"}) for n, line in enumerate((*one, *other))]
    check = Checklist(check="checklist", done=("ask 0", "ask 1"))
    assert check.judge({}, Timeline([FIRST, *lines])).result is Result.HOLDS
    assert check.judge({}, Timeline([FIRST, lines[1]])).result is Result.BROKEN
    assert check.judge({}, Timeline([FIRST, *reversed(lines)])).result is Result.BROKEN


@pytest.mark.parametrize(
    ("looks", "began", "result"),
    [
        # A deployment may interrupt it; what counts begins with the first good look.
        ([False, True, True, True], 30.0, Result.HOLDS),
        ([True, True, False, True], 30.0, Result.BROKEN),
        ([True, True, None, True], 30.0, Result.BROKEN),
        # Bad only after the step began: that is the step's doing.
        ([True, True, False, False], 12.0, Result.HOLDS),
        ([False, False, False, False], 30.0, Result.UNKNOWN),
        ([True, True, True, True], None, Result.UNKNOWN),
    ],
)
def test_what_was_prevented_was_never_felt(looks: list[bool | None], began: float | None, result: Result) -> None:
    lines: list[Line] = [Sample(series="steady:1:every replica", start=1, end=2, ok=False)]
    lines.append(FaultLine(t=10, index=0, fault="x", title="x", event="on"))
    lines += [
        Sample(series="steady:1:every replica", start=10.1 + n, end=10.5 + n, ok=ok) for n, ok in enumerate(looks)
    ]
    if began is not None:
        step = StepLine(t=began, part="respond", index=0, action="rollback", title="rollback", event="began")
        lines.append(step)
    finding = StayedGood(check="stayed_good", probe="every replica", until="rollback").judge(
        {}, Timeline([FIRST, *lines])
    )
    assert finding.result is result, finding.why

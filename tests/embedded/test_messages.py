"""What a real run says: to a real receiver, to one that hangs, and when a real incident ends it."""

from __future__ import annotations

from pathlib import Path

import pytest
from drill_root import wait_for
from embedded_root import DRILL, SmallPlace
from receiver import Receiver

from sevdrill.lines import MessageLine, Note, StepLine
from sevdrill.timeline import Timeline

pytestmark = pytest.mark.embedded

SAYS = DRILL.replace(
    "respond: [",
    "respond: [{action: declare}, {action: announce, status: investigating}, {action: escalate}, ",
)


@pytest.fixture
def place(tmp_path: Path) -> SmallPlace:
    place = SmallPlace(tmp_path)
    (tmp_path / "drills" / "web-down.yml").write_text(SAYS)
    return place


def the_timeline(folder: Path) -> Timeline:
    [path] = folder.glob("drill-runs/*/*/timeline.jsonl")
    return Timeline.load(path)


def test_a_drill_sends_what_it_says_and_bears_a_receiver_that_hangs(place: SmallPlace) -> None:
    with Receiver() as good, Receiver(hangs=True) as hangs:
        result = place.run("--drill-notify", good.url("T0KEN-4711-secret"), "--drill-notify", f"team={hangs.url()}")
        assert result.outcome == "passed", result.output
        timeline = the_timeline(place.folder)
        said = list(timeline.of(MessageLine))
        assert [line.status for line in said if line.status != "escalated"] == ["declared", "investigating"]
        # The SOP wants two of them at once, for severity and cause; the step brings in the last one.
        assert [line.to for line in said if line.status == "escalated"] == ["Dev Lead", "DevOps Lead", "Project Lead"]
        assert good.texts() == [line.text for line in said]
        assert len(hangs.got) == 1
    notes = [line.text for line in timeline.of(Note)]
    assert "the message investigating to status-page was sent by json (drill_notify 1)" in notes
    [late] = [text for text in notes if "NOT sent" in text]
    assert late.startswith("the message declared to team was NOT sent by json (drill_notify 2): ")
    # The receiver still hung when the next step had long begun, and the terminal says that it did.
    restart = next(line for line in timeline.of(StepLine) if line.action == "restart")
    assert restart.t < next(line.t for line in timeline.of(Note) if line.text == late)
    assert late in result.output
    everything = result.output + "".join(path.read_text() for path in result.folder.rglob("*.*") if path.is_file())
    assert "T0KEN-4711-secret" not in everything
    assert place.left() == []


def test_a_url_that_is_none_ends_the_run_before_anything_starts(place: SmallPlace) -> None:
    result = place.run("--drill-notify", "gopher://x")
    assert result.code == 4
    assert "gopher (drill_notify 1): Apprise does not know this kind of URL" in result.output
    assert not (place.folder / "drill-runs").exists()


def test_a_person_s_no_keeps_a_step_from_being_done(place: SmallPlace) -> None:
    drill = place.folder / "drills" / "web-down.yml"
    drill.write_text(DRILL.replace("service: web}]\nlimit: 15s", "service: web, approve: true}]\nlimit: 25s"))
    process = place.start("--drill-approval", "person")
    try:
        wait_for(lambda: asks(place.folder), "the step asks")
        said = place.cli("approve", "--as", "ann", "--no")
    finally:
        output, _ = process.communicate(timeout=300)
    assert said.returncode == 0, said.stderr + output
    assert process.returncode == 1
    timeline = the_timeline(place.folder)
    assert "restart web: refused by ann" in [line.text for line in timeline.of(Note)]
    step = next(line for line in timeline.of(StepLine) if line.event == "ended")
    assert (step.ok, step.why) == (False, "ann did not approve it")
    assert place.cli("approve", "--as", "ann").returncode == 2
    assert place.left() == []


def asks(folder: Path) -> bool:
    return any(folder.glob(".sevdrill/journal/*.asked"))

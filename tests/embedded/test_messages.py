"""What a real run says: to a real receiver, to one that hangs, and when a real incident ends it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from drill_root import wait_for
from embedded_root import DRILL, SmallPlace
from receiver import Receiver

from sevdrill.messages import OVER
from sevdrill.timeline import MessageLine, Note, PhaseLine, StepLine, Timeline

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


def test_a_real_incident_ends_a_drill_and_everybody_is_told(place: SmallPlace) -> None:
    # The alert never fires, so the drill waits for it.
    (place.folder / "drills" / "web-down.yml").write_text(SAYS.replace("alert: WebDown", "alert: Never"))
    with Receiver() as good, Receiver() as page:
        process = place.start("--drill-notify", good.url(), "--drill-notify", f"status-page={page.url()}")
        try:
            wait_for(lambda: "detect" in reached(place.folder), "the drill waits for its alert")
            stopped = place.cli("stop", "--real-incident")
        finally:
            output, _ = process.communicate(timeout=60)
        assert stopped.returncode == 0, stopped.stderr + output
        timeline = the_timeline(place.folder)
        said = [line.text for line in timeline.of(MessageLine) if line.status == OVER]
        assert said == good.texts() == page.texts()
        assert ["may be real" in said[0], "Everything that it broke is undone" in said[1]] == [True, True]
    assert "everything is undone" in stopped.stdout
    assert stopped.stdout.count("told everybody: [DRILL] This drill ") == 2
    assert stopped.stdout.count("was sent by json") == 4
    assert place.journals() == []
    assert place.left() == []


def reached(folder: Path) -> list[str]:
    paths = list(folder.glob("drill-runs/*/*/timeline.jsonl"))
    return [line.name for line in Timeline.load(paths[0]).of(PhaseLine)] if paths else []


def test_a_url_that_is_none_ends_the_run_before_anything_starts(place: SmallPlace) -> None:
    result = place.run("--drill-notify", "gopher://x")
    assert result.code == 4
    assert "gopher (drill_notify 1): Apprise does not know this kind of URL" in result.output
    assert not (place.folder / "drill-runs").exists()


def test_a_person_s_yes_is_waited_for_and_a_no_stops_the_step(place: SmallPlace) -> None:
    drill = place.folder / "drills" / "web-down.yml"
    drill.write_text(DRILL.replace("service: web}]\nlimit: 15s", "service: web, approve: true}]\nlimit: 60s"))
    outcomes = {}
    for extra in ([], ["--no"]):
        process = place.start("--drill-approval", "person", "--drill-runs", "drill-runs")
        try:
            wait_for(lambda: asks(place.folder), "the step asks")
            said = place.cli("approve", "--as", "ann", *extra)
        finally:
            output, _ = process.communicate(timeout=120)
        assert said.returncode == 0, said.stderr + output
        timeline = the_timeline(place.folder)
        notes = [line.text for line in timeline.of(Note)]
        step = next(line for line in timeline.of(StepLine) if line.event == "ended")
        outcomes[bool(extra)] = (process.returncode, [text for text in notes if "by ann" in text], step.ok)
        for path in place.folder.glob("drill-runs/*"):
            shutil.rmtree(path)
    assert outcomes[False] == (0, ["restart web: approved by ann"], True)
    assert outcomes[True] == (1, ["restart web: refused by ann"], False)
    assert place.cli("approve", "--as", "ann").returncode == 2
    assert place.left() == []


def asks(folder: Path) -> bool:
    return any(folder.glob(".sevdrill/journal/*.asked"))

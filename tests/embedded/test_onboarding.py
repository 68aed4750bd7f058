"""A new engineer's first way: read, shadow, and a live drill to its end, with the commands that the page names."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from drill_root import wait_for
from embedded_root import DRILL, SmallPlace

from sevdrill.history import History
from sevdrill.questions import questions
from sevdrill.severity import load_policy

pytestmark = pytest.mark.embedded

HINTS = 'hints: [Does anything listen?, "Restart web."]\ntags: [onboarding]\nsteady_state:'


@pytest.fixture
def place(tmp_path: Path) -> SmallPlace:
    place = SmallPlace(tmp_path)
    (tmp_path / "drills" / "web-down.yml").write_text(DRILL.replace("steady_state:", HINTS))
    return place


def status(place: SmallPlace) -> dict[str, object]:
    done = place.cli("status", "--json")
    return dict(json.loads(done.stdout)) if done.returncode == 0 else {}


def onboard(place: SmallPlace, *arguments: str, answers: str = "") -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "sevdrill", "onboard", "Ann", *arguments],
        cwd=place.folder,
        env=place.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdin is not None
    process.stdin.write(answers)
    process.stdin.close()
    process.stdin = None
    return process


def test_from_the_first_question_to_a_finished_drill(place: SmallPlace) -> None:
    # Every number in turn answers any question.
    most = 3 * max(len(question.choices) for question in questions(load_policy("sop-001"), 3, 1))
    read, _ = onboard(place, "read", "--questions", "1", answers="1\n2\n3\n4\n" * most).communicate(timeout=60)
    assert "  [x] Read this document" in read
    run = place.run()
    assert run.outcome == "passed", run.output
    shadow, _ = onboard(place, "shadow", "--speed", "max").communicate(timeout=60)
    assert "restart web: done" in shadow
    assert "  [x] Shadow incident response" in shadow
    process = onboard(place, "participate", "--with", "--drill-limit 10m")
    try:
        wait_for(lambda: bool(status(place).get("alerts")), "the alert fires")
        said = [
            place.cli("role", "Ben", "commander"),
            place.cli("ack", "--as", "Ann"),
            place.cli("hint", "--as", "Ann"),
            place.cli("service", "web", "restart"),
            place.cli("mitigated", "--as", "Ann"),
        ]
        output, _ = process.communicate(timeout=300)
    finally:
        if process.poll() is None:
            process.terminate()
            process.communicate(timeout=60)
    assert [each.returncode for each in said] == [0, 0, 0, 0, 0], [each.stderr for each in said] + [output]
    assert "Does anything listen?" in said[2].stdout
    assert "  [x] Participate in drill" in output
    assert "next: lead, in 91 days" in output
    lesson = History(place.folder / ".sevdrill" / "history.db").lessons("Ann")[-1]
    assert (lesson.step, lesson.hints, lesson.done) == ("participate", 1, True)
    assert lesson.what.startswith("Web down: passed, acknowledged ")
    assert lesson.what.endswith(", with 1 hint")
    suggested = place.cli("schedule", "--suggest").stdout
    assert "Web down: last run today" in suggested
    assert "passed, led by Ben" in suggested
    page = place.cli("onboard", "Ann", "export").stdout
    assert page.count("- [x] ") == 3
    assert place.left() == []


def test_whoever_leads_is_not_told_what_broke(place: SmallPlace) -> None:
    process = onboard(place, "lead", "--anyway", "--with", "--drill-limit 4s --drill-surprise 1s")
    shown: list[object] = []

    def asked() -> bool:
        shown.append(status(place).get("drill"))
        return shown[-1] == "a live drill" or process.poll() is not None

    wait_for(asked, "the drill to be under way")
    output, _ = process.communicate(timeout=120)
    assert "a live drill" in shown
    assert "Web down" not in shown
    before, after = output.split("it was: ")
    assert "A drill is chosen" in before
    assert "(hidden)" in before
    assert "Web down" not in before
    assert "web-down" not in before
    assert after.startswith("Web down\n")
    assert History(place.folder / ".sevdrill" / "history.db").leaders() == {"Web down": "Ann"}

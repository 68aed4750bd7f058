"""A whole drill that tells people: its receivers are real HTTP servers, and none of them can delay or fail it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from receiver import Receiver
from telling_run import TellingRun
from toy_run import DRILL
from toy_stack import ToyStack

from sevdrill.contacts import Contacts
from sevdrill.judge import Outcome
from sevdrill.lines import End, MessageLine, Note
from sevdrill.messages import OVER
from sevdrill.timeline import Timeline

HELPERS = Path(__file__).parents[1] / "helpers"
RESPOND = [{"action": "declare"}, *DRILL["respond"]]
CLOSE = [{"action": "announce", "status": "resolved", "to": "affected-users"}]


def notes(timeline: Timeline) -> list[str]:
    return [line.text for line in timeline.of(Note)]


def test_what_a_drill_says_is_sent_and_what_became_of_it_is_on_the_timeline(tmp_path: Path) -> None:
    with Receiver() as good, Receiver(500) as refuses:
        manager = Contacts.model_validate(
            {"manager": {"name": "Cleo", "is": ["Dev Lead"], "mail": good.url("cleo-4711")}}
        )
        urls = (f"team,status-page,affected-users={good.url()}", f"team={refuses.url()}")
        run = TellingRun(tmp_path, ToyStack(), *urls, contacts=manager, respond=RESPOND, close=CLOSE)
        run.tell(60)
        assert run.verdict().outcome is Outcome.PASSED
        said = list(run.timeline.of(MessageLine))
        # SOP-001 brings in two for severity and cause: whoever has no address is on the timeline all the same.
        brought = {line.to: line.text for line in said if line.status == "escalated"}
        assert sorted(brought) == ["Dev Lead", "DevOps Lead"]
        assert "Reached by: Cleo: mail" in brought["Dev Lead"]
        got = sorted(good.texts())
        assert got == sorted(line.text for line in said if line.to != "DevOps Lead")
        assert {message["path"] for message in good.got} == {"/hook", "/cleo-4711"}
    found = notes(run.timeline)
    assert "the message investigating to status-page was sent by json (drill_notify 1)" in found
    assert "the message escalated to Dev Lead was sent by json (mail of Cleo)" in found
    [trouble] = run.trouble
    assert trouble.startswith("run: the message declared to team was NOT sent by json (drill_notify 2): ")
    assert "500" in trouble
    assert "cleo-4711" not in run.writer.path.read_text()


def test_a_receiver_that_hangs_neither_delays_nor_fails_a_drill(tmp_path: Path) -> None:
    with Receiver(hangs=True) as hangs:
        run = TellingRun(tmp_path, ToyStack(), hangs.url(), contacts=Contacts(), respond=RESPOND)
        # The targets are 5 s each, and the receiver would hold whoever waits for it for a minute.
        run.tell(0.1)
        assert run.verdict().outcome is Outcome.PASSED
    late = [text for text in notes(run.timeline) if "NOT sent" in text]
    assert len(late) == len(list(run.timeline.of(MessageLine)))
    assert {text.rpartition(": ")[2] for text in late} == {"no answer yet when the drill was over"}
    assert len(run.trouble) == len(late)
    # All of it was over before anybody gave the receiver up.
    end = next(line.n for line in run.timeline.of(End))
    assert all(line.n > end for line in run.timeline.of(Note))


@pytest.fixture
def drill(tmp_path: Path) -> Iterator[tuple[Path, Receiver, Receiver, subprocess.Popen[str]]]:
    with Receiver() as team, Receiver() as page:
        command = [sys.executable, str(HELPERS / "telling_run.py"), str(tmp_path / "drill-runs" / "run")]
        process = subprocess.Popen(
            [*command, team.url(), f"status-page={page.url()}"],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(HELPERS)},
        )
        try:
            assert process.stdout is not None
            assert any(line.strip() == "detect" for line in process.stdout)
            yield tmp_path / "drill-runs", team, page, process
        finally:
            process.kill()
            process.communicate()


def stop(runs: Path, *more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sevdrill", "stop", "--state", str(runs / "run" / "state"), *more]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_a_real_incident_undoes_everything_and_everybody_is_told(
    drill: tuple[Path, Receiver, Receiver, subprocess.Popen[str]],
) -> None:
    runs, team, page, process = drill
    done = stop(runs, "--real-incident", "--runs", str(runs))
    assert done.returncode == 0, done.stderr
    timeline = Timeline.load(runs / "run" / "run" / "timeline.jsonl")
    said = [line.text for line in timeline.of(MessageLine) if line.status == OVER]
    # Whoever takes only what is for the status page is told as well.
    assert [text for text in team.texts() if "This drill" in text] == said == page.texts()
    assert said[0].startswith("[DRILL] This drill ends now: stopped because of a real incident, by `sevdrill stop`")
    assert "What you see from now on may be real." in said[0]
    assert "Everything that it broke is undone. What you see now is real." in said[1]
    assert "everything is undone" in done.stdout
    assert done.stdout.count("told everybody: [DRILL] This drill ") == 2
    assert done.stdout.count("was sent by json (drill_notify 1)") == 2
    assert process.wait(30) == 0


def test_nobody_is_told_when_it_was_no_real_incident_and_it_is_said_when_nobody_could_be(
    drill: tuple[Path, Receiver, Receiver, subprocess.Popen[str]], tmp_path: Path
) -> None:
    runs = drill[0]
    # Elsewhere there is no timeline of this run: whoever asked must tell people.
    done = stop(runs, "--real-incident", "--runs", str(tmp_path / "elsewhere"))
    assert done.returncode == 1
    assert "it told nobody that the drill is over, so tell everybody yourself" in done.stderr


def test_a_drill_that_is_only_stopped_says_nothing_more(
    drill: tuple[Path, Receiver, Receiver, subprocess.Popen[str]],
) -> None:
    runs, _, page, _ = drill
    assert stop(runs).returncode == 0
    assert page.got == []

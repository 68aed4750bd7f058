"""Speaking to a run from other processes: what is clear when there is none, and that nothing is lost or told twice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from under_way import Running, live_lines

from sevdrill.approving import Approving
from sevdrill.cli import main
from sevdrill.clock import SystemClock
from sevdrill.errors import RunError, UsageError
from sevdrill.following import saying_of
from sevdrill.inbox import MOST, Inbox, Saying, now_of, put, remove
from sevdrill.journal import Journal
from sevdrill.speaking import drilling, say


@pytest.fixture
def running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    monkeypatch.chdir(tmp_path)
    running = Running(tmp_path, live_lines())
    yield running
    running.close()


def test_no_run_is_a_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for command in (
        ["ack"],
        ["note", "x"],
        ["mitigated"],
        ["role", "ana", "scribe"],
        ["status"],
        ["service"],
        ["hint"],
    ):
        assert main(command) == 2
        said = capsys.readouterr().err
        assert said.startswith("no run is under way here (.sevdrill); start one with `pytest drills/NAME.yml"), said


def test_of_several_runs_one_must_be_chosen(running: Running, capsys: pytest.CaptureFixture[str]) -> None:
    other = Journal(running.state, f"another-{os.getpid()}", SystemClock(), {"project": "other"}, keep=True)
    try:
        assert main(["ack", "--as", "ana"]) == 2
        said = capsys.readouterr().err
        assert "several runs are under way here; choose one by its stack with --run STACK:" in said
        assert "stack toy" in said
        assert "stack other" in said
        assert main(["ack", "--as", "ana", "--run", "toy"]) == 0
        assert main(["ack", "--as", "ana", "--run", "nothing"]) == 2
        assert "no run or stack nothing is under way here" in capsys.readouterr().err
        assert main(["ack", "--run", "other"]) == 1
        assert "no drill is running at this moment" in capsys.readouterr().err
    finally:
        other.close()
    assert [said[:2] for said in running.said()] == [("ana", "ack")]


def test_each_command_is_on_the_timeline_with_the_name(running: Running, capsys: pytest.CaptureFixture[str]) -> None:
    for command in (
        ["ack", "--as", "ana"],
        ["note", "--as", "ben", "looks", "bad"],
        ["role", "cleo", "scribe", "--as", "ana"],
        ["announce", "identified", "--as", "dan", "--to", "stakeholders", "--text", "It is the db."],
        ["hint", "--as", "ana"],
        ["mitigated", "--as", "ana"],
    ):
        assert main(command) == 0
        assert capsys.readouterr().out.startswith("on the timeline: ")
    assert running.said() == [
        ("ana", "ack", "", ""),
        ("ben", "note", "", "looks bad"),
        ("cleo", "role", "scribe", "said by ana"),
        ("dan", "announce", "identified", "It is the db."),
        ("ana", "hint", "", "hint 1 of 1: Look at /health."),
        ("ana", "mitigated", "", ""),
    ]
    assert running.spoken.said == [("stakeholders", "identified", "It is the db.", "dan")]
    assert main(["status", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["roles"]["scribe"] == "cleo"
    assert {"acknowledged", "mitigated"} <= found["marks"].keys()
    assert main(["status"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("SEV-1 Database down (policy playbook, mode live): ")
    assert "alerts      DatabaseDown" in shown


def test_who_speaks_is_taken_from_the_environment(
    running: Running, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SEVDRILL_NAME", "bot")
    assert main(["ack"]) == 0
    assert [said[0] for said in running.said()] == ["bot"]
    assert main(["note", "  "]) == 2
    assert capsys.readouterr().err == "a note needs a text\n"
    assert main(["note", "x" * 5000]) == 2
    assert main(["ack", "--as", "x" * 61]) == 2


def test_many_speak_at_once_and_each_is_heard_once(running: Running) -> None:
    def speak(name: int) -> None:
        for number in range(20):
            sent = saying_of(by=f"p{name}", does="note", text=f"{number}", at=SystemClock().now())
            say(drilling(running.state), sent, SystemClock())

    threads = [threading.Thread(target=speak, args=(name,)) for name in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    said = running.said()
    assert len(said) == 120
    for name in range(6):
        assert [text for by, _, _, text in said if by == f"p{name}"] == [str(number) for number in range(20)]


def test_processes_speak_at_once(running: Running, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sevdrill", "ack", "--as"]
    processes = [subprocess.Popen([*command, f"p{n}"], cwd=tmp_path, stdout=subprocess.DEVNULL) for n in range(3)]
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    assert sorted(said[0] for said in running.said()) == ["p0", "p1", "p2"]


def test_what_cannot_be_done_for_one_does_not_silence_the_others(running: Running) -> None:
    def fails(*_: object, **__: object) -> None:
        raise RuntimeError("no template")

    running.spoken.announce = fails
    at = SystemClock().now()
    put(running.journal.path, saying_of(by="ana", does="announce", what="resolved", at=at))
    put(running.journal.path, saying_of(by="ben", does="ack", at=at))
    running.desk.close()
    running.desk = type("Closed", (), {"close": lambda self: None})()
    assert [said[:2] for said in running.said()] == [("ana", "announce"), ("ben", "ack")]
    assert any("what ana said could not be taken up: no template" in str(line) for line in running.writer.lines)


def test_what_is_no_saying_is_left_out(tmp_path: Path) -> None:
    journal = tmp_path / "run.jsonl"
    inbox = Inbox(journal)
    file = journal.with_suffix(".inbox")
    sent = saying_of(by="ana", does="ack", at=1.0)
    with file.open("ab") as opened:
        opened.write(b"\xff\n{}\n[1]\n" + b"[" * 5000 + b"\n" + b'{"by": "x", "does": "rm", "at": 1}\n\n')
    put(journal, sent)
    assert inbox.new() == [sent]
    # Half a line is not read before it is whole.
    text = sent.model_dump_json().encode()
    with file.open("ab", buffering=0) as opened:
        opened.write(text[:20])
        assert inbox.new() == []
        opened.write(text[20:] + b"\n")
        assert inbox.new() == [sent]
        # Nor does a line without an end stop the ones after it.
        opened.write(b"x" * (MOST + 10) + b"\n" + text + b"\n")
    found: list[Saying] = []
    for _ in range(4):
        found += inbox.new()
    assert found == [sent]
    inbox.close()
    approving, other = Approving(journal, lambda _: None), tmp_path / "run-2.inbox"
    approving.ask("restart db")
    other.touch()
    remove(journal)
    assert list(tmp_path.iterdir()) == [other]


def test_an_earlier_drills_words_are_not_for_the_next_one(tmp_path: Path) -> None:
    journal = tmp_path / "run.jsonl"
    first = Inbox(journal)
    put(journal, saying_of(by="ana", does="mitigated", at=1.0))
    first.close()
    second = Inbox(journal)
    assert second.new() == []
    second.close()


def test_a_drill_that_ends_meanwhile_says_so(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    found = drilling(running.state)
    running.desk.close()
    monkeypatch.setattr("sevdrill.speaking.put", lambda journal, saying: journal.with_suffix(".now").unlink())
    with pytest.raises(RunError, match="the drill ended before this was taken up; it does not count"):
        say(found, saying_of(by="ana", does="ack", at=1.0), SystemClock())
    assert now_of(running.journal.path) is None
    running.desk = type("Closed", (), {"close": lambda self: None})()


def test_nobody_speaks_for_nobody() -> None:
    with pytest.raises(UsageError, match="nobody says who speaks"):
        saying_of(by="  ", does="ack", at=1.0)
    with pytest.raises(UsageError, match='there is no status "fine"; expected one of declared, '):
        saying_of(by="ana", does="announce", what="fine", at=1.0)


def test_nothing_is_left_when_the_run_is_over(running: Running) -> None:
    folder = running.journal.path.parent
    assert {path.suffix for path in folder.iterdir()} == {".jsonl", ".inbox", ".now"}
    running.journal.close()
    assert list(folder.iterdir()) == []

"""Units, timeline, journal, stretches, shield: the lowest floors."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import looked_at
import made_up
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from sevdrill.clock import SystemClock, boot_id
from sevdrill.errors import RunError
from sevdrill.faults.container import ContainerKill
from sevdrill.journal import Journal, JournalFile, journal_files, locked
from sevdrill.lines import End, Interval, Note, RunLine, Sample, Users
from sevdrill.shield import Interrupted, Shield
from sevdrill.stretches import became_true, last_stretch
from sevdrill.timeline import Timeline, TimelineWriter
from sevdrill.units import Bytes, Duration, Percent

RUN = RunLine(drill="d", severity="SEV-1", policy="sop-001", stack="s", wall="2026-01-01T00:00:00+00:00", scenario={})


@pytest.mark.parametrize(
    ("text", "seconds"), [("250ms", 0.25), ("30s", 30), ("5m", 300), ("1h30m", 5400), ("1w", 604800), ("1.5h", 5400)]
)
def test_durations(text: str, seconds: float) -> None:
    assert Duration.parse(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "5", "5 parsecs", "s", "-5s", "5s!", "1e3s"])
def test_durations_need_a_number_and_a_unit(text: str) -> None:
    with pytest.raises(ValueError, match="a duration with a unit"):
        Duration.parse(text)


@pytest.mark.parametrize("bare", [5, 0.5, True, None, ["5s"]])
def test_a_bare_number_is_an_error(bare: object) -> None:
    with pytest.raises(ValidationError, match="with a unit"):
        TypeAdapter(Duration).validate_python(bare)


@given(st.integers(0, 10**8))
def test_durations_read_back_what_they_print(milliseconds: int) -> None:
    duration = Duration(milliseconds / 1000)
    assert Duration.parse(str(duration)) == pytest.approx(duration, rel=1e-5, abs=1e-3)


def test_sizes_and_percentages() -> None:
    assert Bytes.parse("64MiB") == 64 * 1024**2
    assert str(Bytes.parse("64MiB")) == "64MiB"
    assert Percent.parse("10%") == pytest.approx(0.1)
    assert str(Percent.parse("0.5%")) == "0.5%"


def _sample(start: float, *, ok: bool | None, length: float = 0.05) -> Sample:
    return Sample(series="s", start=start, end=start + length, ok=ok)


def test_a_change_lies_between_the_last_sample_without_it_and_the_first_with_it() -> None:
    samples = [_sample(1.0, ok=False), _sample(1.2, ok=False), _sample(1.4, ok=True), _sample(1.6, ok=False)]
    assert became_true(samples, 0.0) == Interval(1.2, 1.45)
    assert became_true(samples, 1.3) == Interval(1.3, 1.45)
    assert became_true(samples, 1.5) is None


def test_unknown_is_not_good() -> None:
    samples = [_sample(1.0, ok=True), _sample(1.2, ok=None), _sample(1.4, ok=True)]
    stretch = last_stretch(samples, 0.2)
    assert stretch is not None
    assert stretch.first.start == 1.4
    assert stretch.began == Interval(1.05, 1.45)


def test_a_pause_of_more_than_twice_every_breaks_a_stretch() -> None:
    samples = [_sample(1.0, ok=True), _sample(1.2, ok=True), _sample(2.0, ok=True), _sample(2.2, ok=True)]
    stretch = last_stretch(samples, 0.2)
    assert stretch is not None
    assert stretch.first.start == 2.0


def test_the_last_sample_decides_whether_there_is_a_stretch() -> None:
    assert last_stretch([_sample(1.0, ok=True), _sample(1.2, ok=False)], 0.2) is None
    assert last_stretch([], 0.2) is None


def test_a_timeline_reads_back(tmp_path: Path) -> None:
    writer = TimelineWriter(tmp_path / "t.jsonl", SystemClock())
    writer.write(RUN)
    writer.write(Note(text="línea\nwith a break"))
    writer.write(End())
    writer.close()
    timeline = Timeline.load(writer.path)
    assert timeline.ended
    assert [note.text for note in timeline.of(Note)] == ["línea\nwith a break"]


def test_a_torn_last_line_is_left_out_and_a_torn_middle_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    whole, note = (line.model_dump_json() for line in made_up.numbered([RUN, Note(text="x")]))
    path.write_text(f"{whole}\n{note}\n{note[:20]}", encoding="utf-8")
    assert len(Timeline.load(path).lines) == 2
    path.write_text(f"{whole}\n{note[:20]}\n{note}\n", encoding="utf-8")
    with pytest.raises(RunError, match=r"t\.jsonl:2: not a line of a timeline"):
        Timeline.load(path)


@pytest.mark.parametrize("text", ["", "{}", '{"type": "note", "text": "x"}\n', "\x00\xff\n"])
def test_what_is_no_timeline_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(RunError):
        Timeline.load(path)


def test_a_timeline_of_another_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text(json.dumps({**RUN.model_dump(mode="json"), "version": 99}) + "\n", encoding="utf-8")
    with pytest.raises(RunError, match="version 99"):
        Timeline.load(path)
    # What another version adds is not taken for what somebody changed.
    path.write_text(path.read_text(encoding="utf-8").replace('"drill"', '"new": 1, "drill"'), encoding="utf-8")
    with pytest.raises(RunError, match=r"version 99.*use a newer sevdrill"):
        Timeline.load(path)


def test_a_timeline_of_the_first_version_is_read_and_its_users_too(tmp_path: Path) -> None:
    lines = looked_at.with_load(made_up.incident(looked_at.DRILL), 0.8)
    new = looked_at.case(lines).seen
    assert {seen.error_rate for seen in new} == {0.0, 0.8}
    path = made_up.recorded(tmp_path, lines) / "timeline.jsonl"
    old = []
    for text in path.read_text(encoding="utf-8").splitlines():
        line = json.loads(text)
        if line["type"] == "run":
            line["version"] = 1
        line.pop("users", None)
        old.append(json.dumps(line) + "\n")
    path.write_text("".join(old), encoding="utf-8")
    assert looked_at.case(list(Timeline.load(path).lines)).seen == new


def test_what_users_saw_is_read_from_numbers_not_from_words() -> None:
    lines = [
        line.model_copy(update={"why": "sehr schlecht"}) if isinstance(line, Sample) else line
        for line in looked_at.with_load(made_up.incident(looked_at.DRILL), 0.8)
    ]
    worst = looked_at.case(lines).worst
    assert worst is not None
    assert (worst.error_rate, worst.requests, worst.p95) == (0.8, 40, pytest.approx(0.11))


def test_numbers_within_a_line_are_kept_in_memory_and_on_disk(tmp_path: Path) -> None:
    writer = TimelineWriter(tmp_path / "t.jsonl", SystemClock())
    writer.write(RUN)
    writer.write(Sample(series="steady:0:x", start=0, end=1, ok=True, users=Users(requests=7, failures=2, p95=0.5)))
    writer.close()
    for timeline in (writer.timeline(), Timeline.load(writer.path)):
        assert next(timeline.of(Sample)).users == Users(requests=7, failures=2, p95=0.5)


def _journal(folder: Path) -> Journal:
    return Journal(folder, "run", SystemClock(), {"kind": "toy"}, keep=True)


def test_a_journal_remembers_what_is_owed(tmp_path: Path) -> None:
    journal = _journal(tmp_path)
    fault = ContainerKill(fault="container.kill", service="db", **{"for": Duration(5)})
    debt = journal.owe("a", fault, {"running": 1, "hit": ["db-1"]}, 60)
    journal.owe("b", fault, {"running": 1, "hit": ["db-1"]}, 60)
    journal.settled(debt)
    state = JournalFile.read(journal.path)
    assert state is not None
    assert list(state.debts) == ["b"]
    assert state.debts["b"].fault == fault
    assert state.debts["b"].record == {"running": 1, "hit": ["db-1"]}
    assert state.boot == boot_id()
    journal.close()
    assert journal_files(tmp_path) == [journal.path]


def test_a_journal_without_debts_is_removed(tmp_path: Path) -> None:
    journal = _journal(tmp_path)
    journal.settled(journal.owe("a", ContainerKill(fault="container.kill", service="db"), {}, 60))
    journal.close()
    assert journal_files(tmp_path) == []


def test_a_torn_last_line_never_took_effect(tmp_path: Path) -> None:
    journal = _journal(tmp_path)
    journal.owe("a", ContainerKill(fault="container.kill", service="db"), {}, 60)
    with journal.path.open("a", encoding="utf-8") as file:
        file.write('{"op": "owe", "id": "b", "cla')
    state = JournalFile.read(journal.path)
    assert state is not None
    assert list(state.debts) == ["a"]
    journal.close()


def test_only_one_may_pay_and_not_while_the_runner_lives(tmp_path: Path) -> None:
    journal = _journal(tmp_path)
    journal.owe("a", ContainerKill(fault="container.kill", service="db"), {}, 60)
    code = (
        "import sys; from pathlib import Path; from sevdrill.journal import locked\n"
        "with locked(Path(sys.argv[1])) as mine: print(mine)"
    )
    command = [sys.executable, "-c", code, str(journal.path)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "False\n"
    journal.close()
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "True\n"
    with locked(tmp_path / "nothing.jsonl") as mine:
        assert not mine


def test_a_flight_is_over_when_it_landed(tmp_path: Path) -> None:
    journal = _journal(tmp_path)
    with journal.flight(30):
        state = JournalFile.read(journal.path)
        assert state is not None
        assert state.flying_until > SystemClock().now() + 20
    state = JournalFile.read(journal.path)
    assert state is not None
    assert state.flying_until == 0
    journal.close()


def test_a_signal_waits_for_the_end_of_the_shield() -> None:
    shield, done = Shield(), []

    def work() -> None:
        with shield.shielded():
            with shield.shielded():
                signal.raise_signal(signal.SIGTERM)
                done.append("inner")
            done.append("outer")
        done.append("never")

    with shield.installed(), pytest.raises(Interrupted, match="SIGTERM"):
        work()
    assert done == ["inner", "outer"]


def test_without_a_shield_a_signal_interrupts_at_once() -> None:
    before = signal.getsignal(signal.SIGTERM)
    shield = Shield()
    with shield.installed(), pytest.raises(KeyboardInterrupt, match="Ctrl-C"):
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGTERM) == before

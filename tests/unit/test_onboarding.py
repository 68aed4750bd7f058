"""The onboarding track: questions from the policy, a run replayed, a drill of one's own, and what the mentor sees."""

from __future__ import annotations

import datetime as dt
import io
import re
from pathlib import Path

import pytest
from made_up import DATABASE_DOWN, incident, recorded, scenario, timeline

from sevdrill.cli import main
from sevdrill.history import History, Lesson
from sevdrill.lines import PersonLine
from sevdrill.onboarding import JOINED, explained, exported, track_lines, track_of
from sevdrill.questions import questions
from sevdrill.rejudging import case_of
from sevdrill.severity import load_policy, shipped_policies
from sevdrill.teaching import _lesson

JOIN = dt.datetime(2026, 8, 3, 9, tzinfo=dt.UTC)


@pytest.mark.parametrize("name", shipped_policies())
def test_questions_are_made_of_the_team_s_own_policy(name: str) -> None:
    policy = load_policy(name)
    for seed in range(20):
        asked = questions(policy, 50, seed)
        assert {"response times", "escalation", "rollback rules"} <= {question.about for question in asked}
        for question in asked:
            assert len(set(question.choices)) == len(question.choices) >= 2
            assert 0 <= question.right < len(question.choices)
            assert policy.cite in question.why
        assert asked == questions(policy, 50, seed)
    assert len(questions(policy, 5, 1)) == 5


def test_answers_are_what_the_sop_says() -> None:
    asked = {q.text: q.choices[q.right] for seed in range(30) for q in questions(load_policy("playbook"), 99, seed)}
    assert asked["How soon must somebody respond to a SEV-1 (Critical)?"] == "< 15 minutes"
    assert asked["A SEV-2 is unresolved for 30m. Who is brought in now?"] == "Engineering Manager"
    limit = "This is all you know: the share of requests that fail: above 10%. What does the SOP say?"
    assert asked[limit] == "roll back"
    assert asked['Which status comes after "Investigating"?'] == "Mitigating"
    own = {q.text: q.choices[q.right] for seed in range(9) for q in questions(load_policy("sv-sdk"), 99, seed)}
    assert own["How soon must somebody respond to a SEV-1 (Critical)?"] == "Immediate"


def test_the_track_says_what_is_next_and_why_and_leading_waits_three_months() -> None:
    track = track_of(load_policy("sop-001"))
    assert track.note.startswith("SOP-001 has no onboarding track; this one is from gpt-platform")
    assert track_of(load_policy("gpt-platform")).note == ""
    lessons = [Lesson(JOINED, JOIN, "began")]
    first = "\n".join(track_lines(track, "ann", lessons, JOIN.date()))
    assert "next: sevdrill onboard ann read\nwhy: whoever does not know the rules" in first
    lessons += [Lesson(step, JOIN, f"{step} it") for step in ("read", "shadow")]
    lessons.append(Lesson("participate", JOIN, "did nothing", done=False))
    assert "next: sevdrill onboard ann participate" in "\n".join(track_lines(track, "ann", lessons, JOIN.date()))
    lessons.append(Lesson("participate", JOIN, "Database down: passed, with 2 hints", hints=2))
    early = "\n".join(track_lines(track, "ann", lessons, dt.date(2026, 11, 1)))
    assert "next: lead, in 1 days, on 2026-11-02" in early
    assert "next: sevdrill onboard ann lead" in "\n".join(track_lines(track, "ann", lessons, dt.date(2026, 11, 2)))
    page = exported(track, "ann", lessons, dt.date(2026, 11, 2))
    assert page.count("- [x]") == 3
    assert "Database down: passed, with 2 hints" in page
    assert "Hints taken in all drills: 2." in page
    assert exported(track, "<script>*x*", lessons, JOIN.date()).startswith("# Onboarding of &lt;script&gt;\\*x\\*")


def test_a_run_is_replayed_as_it_happened_at_any_speed(tmp_path: Path) -> None:
    case = case_of(recorded(tmp_path / "run" / "drill", incident(scenario(DATABASE_DOWN))))
    waits: list[float] = []
    shown = list(explained(case, 10, waits.append))
    assert sum(waits) == pytest.approx((case.events[-1].at - case.zero) / 10, abs=0.01)
    text = "\n".join(shown)
    assert text.index("Fault injected") < text.index("Alert fires") < text.index("Mitigated") < text.index("Recovered")
    assert re.search(r"Alert fires\n +in time: .* of 30s \(the drill\)", text)
    assert "restart db: done" in text
    assert shown[-1].startswith("outcome: passed.")
    none: list[float] = []
    assert list(explained(case, 0, none.append)) == shown
    assert none == []


def answers(monkeypatch: pytest.MonkeyPatch, *given: str) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{each}\n" for each in given)))


def test_reading_asks_until_all_is_right_and_keeps_how_it_went(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = questions(load_policy("playbook"), 3, 4)
    monkeypatch.setattr("sevdrill.questions.questions", lambda policy, most: questions(policy, most, 4))
    wrong = asked[0].right % len(asked[0].choices) + 2
    wrong = 1 if wrong > len(asked[0].choices) else wrong
    answers(monkeypatch, "x", str(wrong), *(str(question.right + 1) for question in asked))
    state = ["--state", str(tmp_path), "--policy", "playbook"]
    assert main(["onboard", "ann", "read", "--questions", "3", *state]) == 0
    said = capsys.readouterr().out
    assert "a number from 1 to" in said
    assert "no. Once more:" in said
    assert "2 of 3 right at the first try" in said
    assert "next: sevdrill onboard ann shadow" in said
    [joined, lesson] = History(tmp_path / "history.db").lessons("ann")
    assert (joined.step, lesson.step, lesson.done) == (JOINED, "read", True)
    answers(monkeypatch, "1")
    assert main(["onboard", "bob", "read", *state]) == 2
    assert "the answers ended before the questions did" in capsys.readouterr().err
    assert [each.step for each in History(tmp_path / "history.db").lessons("bob")] == [JOINED]


def test_shadowing_takes_the_last_run_and_the_mentor_gets_a_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = ["--state", str(tmp_path / "state"), "--runs", str(tmp_path / "drill-runs")]
    assert main(["onboard", "ann", "shadow", *state]) == 2
    assert "no run to shadow yet" in capsys.readouterr().err
    recorded(tmp_path / "drill-runs" / "2026-11-21T01-40-12Z" / "db", incident(scenario(DATABASE_DOWN)))
    assert main(["onboard", "ann", "shadow", "--speed", "max", *state]) == 0
    assert "  [x] Shadow incident response" in capsys.readouterr().out
    page = tmp_path / "ann.md"
    assert main(["onboard", "ann", "export", "-o", str(page), *state]) == 0
    assert "(2026-11-21T01-40-12Z), passed" in page.read_text().replace("\\", "")
    assert main(["onboard", "nobody", "export", *state]) == 2
    assert main(["onboard", "ann", "shadow", "--speed", "fast", *state]) == 2
    assert main(["onboard", "ann", "lead", *state]) == 2
    assert re.search(r"ann leads from \d{4}-\d\d-\d\d on: Lead drill \(after 3 months\)", capsys.readouterr().err)


def test_who_only_watches_has_not_taken_part() -> None:
    run = incident(scenario(DATABASE_DOWN))
    asked = PersonLine(t=run[-1].t, id="1", by="bob", does="hint")
    watched = _lesson("participate", "ann", timeline([*run, asked]))
    assert (watched.done, watched.hints) == (False, 1)
    assert watched.what == f"{DATABASE_DOWN['drill']}: passed, with 1 hint, ann did nothing, so it does not count"
    did = _lesson("participate", "ann", timeline([*run, PersonLine(t=run[-1].t, id="2", by="ann", does="note")]))
    assert (did.done, did.what) == (True, f"{DATABASE_DOWN['drill']}: passed, without a hint")

"""The history: what every run leaves, what got worse, what is still to be done; and that it never fails a run."""

from __future__ import annotations

import datetime as dt
import json
import re
import sqlite3
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from made_up import DATABASE_DOWN, incident, recorded, scenario
from prometheus_client.parser import text_string_to_metric_families

from sevdrill.aftermath import finish_run
from sevdrill.cli import main
from sevdrill.history import Entry, FollowUp, History, HistoryError, got_worse
from sevdrill.rejudging import review
from sevdrill.reports.trend import BLOCKS, PLAIN, compared, prometheus, sparkline, trend_lines

NOON = dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC)


def drill(folder: Path, *, policy: str = "sop-001", **changes: Any) -> dict[str, Any]:
    """A drill that was run into this folder, and its summary."""
    lines = incident(scenario(DATABASE_DOWN), **changes)
    lines[0] = lines[0].model_copy(update={"policy": policy})
    return review(recorded(folder, lines)).summary


def entry(run: int, outcome: str = "passed", **times: float) -> Entry:
    began = f"2026-01-{run:02}T00:00:00+00:00"
    return Entry(f"run-{run}", "x", "Down", "SEV-1", "sop-001", "s", began, outcome, times, {"mttr": 90.0})


def test_every_run_is_kept_once(tmp_path: Path) -> None:
    history = History(tmp_path / "state" / "history.db")
    summary = drill(tmp_path / "one" / "down")
    history.record("one", [summary])
    history.record("one", [summary])
    history.record("two", [{**summary, "began": "2026-01-02T00:00:00+00:00", "outcome": "failed", "times": {}}])
    (runs,) = history.entries().values()
    assert [(run.run, run.outcome) for run in runs] == [("one", "passed"), ("two", "failed")]
    assert runs[0].times == pytest.approx({"mttd": 2.02, "mttm": 6.0, "mttr": 8.02})
    assert runs[0].targets == {"mttd": 30, "mttm": 60, "mttr": 90}
    assert runs[1].times == {}


def test_only_the_last_runs_are_shown_the_oldest_first(tmp_path: Path) -> None:
    history = History(tmp_path / "history.db")
    summary = drill(tmp_path / "one" / "down")
    for day in range(1, 10):
        history.record(f"run-{day}", [{**summary, "began": f"2026-01-0{day}T00:00:00+00:00"}])
    (runs,) = history.entries(last=3).values()
    assert [run.run for run in runs] == ["run-7", "run-8", "run-9"]


def test_runs_that_write_at_the_same_time_are_all_kept(tmp_path: Path) -> None:
    summary, failed = drill(tmp_path / "one" / "down"), []

    def write(number: int) -> None:
        try:
            History(tmp_path / "history.db").record(f"run-{number}", [summary])
        except HistoryError as error:
            failed.append(error)

    threads = [threading.Thread(target=write, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert len(History(tmp_path / "history.db").entries()["Database down"]) == 8


def test_worse_is_worse_than_the_median_of_the_last_runs_and_by_more_than_noise() -> None:
    usual = [entry(day, mttd=2.0, mttr=10.0) for day in range(1, 6)]
    assert got_worse({"Down": [*usual, entry(6, mttd=2.9, mttr=16.0)]}, "run-6") == [
        "Down: MTTR was 16.0 s, and 10.0 s in the median of the last 5 runs"
    ]
    assert got_worse({"Down": [*usual, entry(6, mttd=2.0, mttr=14.0)]}, "run-6") == []
    # Two runs make no habit, and a run is not held against later ones.
    assert got_worse({"Down": [*usual[:2], entry(6, mttr=60.0)]}, "run-6") == []
    assert got_worse({"Down": [entry(1, mttr=60.0), *usual[1:]]}, "run-1") == []


def test_containers_are_not_held_against_child_processes() -> None:
    quick = [replace(entry(day, mttr=10.0), stack=f"embedded, project p{day}") for day in range(1, 6)]
    slow = [replace(entry(day, mttr=30.0), stack=f"compose, project p{day}") for day in range(6, 9)]
    assert got_worse({"Down": [*quick, *slow]}, "run-8") == []
    slower = replace(entry(9, mttr=60.0), stack="compose, project p9")
    assert got_worse({"Down": [*quick, *slow, slower]}, "run-9") == [
        "Down: MTTR was 60.0 s, and 30.0 s in the median of the last 3 runs"
    ]


def test_sparklines() -> None:
    assert sparkline([1, 2, 3, None, 8]) == "▁▂▃·█"
    assert sparkline([5, 5]) == "▅▅"
    assert sparkline([None, None]) == "··"
    assert sparkline([1, 8], PLAIN).isascii()
    assert len(BLOCKS) == len(PLAIN)


def test_the_trend_against_targets() -> None:
    lines = list(trend_lines({"Down\x1b[31m": [entry(1, mttr=8.0), entry(2, "failed", mttr=100.0)]}))
    assert lines[0] == "Down [31m  (2 runs: PF)"
    assert lines[1] == "  MTTR     ▁█  last 100 s, median 54 s, target 90 s"


def test_prometheus_reads_the_last_run() -> None:
    odd = entry(1, mttr=1.0)
    odd = replace(odd, drill='A "b"\\\n')
    text = list(prometheus({"Down": [entry(1, mttr=8.0), entry(2, "failed", mttr=9.5)], odd.drill: [odd]}))
    assert 'sevdrill_time_seconds{drill="Down",severity="SEV-1",time="mttr"} 9.5' in text
    assert 'sevdrill_target_seconds{drill="Down",severity="SEV-1",time="mttr"} 90' in text
    assert 'sevdrill_outcome{drill="Down",severity="SEV-1",outcome="failed"} 1' in text
    assert 'sevdrill_outcome{drill="Down",severity="SEV-1",outcome="passed"} 0' in text
    line = re.compile(r'[a-z_]+\{([a-z]+="([^"\\\n]|\\.)*",?)+\} [\d.e+-]+')
    assert all(line.fullmatch(each) for each in text if not each.startswith("# "))
    # As Prometheus' own reader takes it.
    families = {family.name: family for family in text_string_to_metric_families("\n".join(text) + "\n")}
    drills = {sample.labels["drill"] for sample in families["sevdrill_outcome"].samples}
    assert drills == {"Down", odd.drill}
    assert all(family.type == "gauge" and family.documentation for family in families.values())


def test_two_runs_side_by_side(tmp_path: Path) -> None:
    one = drill(tmp_path / "one" / "down")
    two = drill(tmp_path / "two" / "down", detected=12.1, mitigated=30.0, recovered=None)
    lines = list(compared([one], [two, {**one, "drill": "Other"}]))
    assert lines[0] == "Database down: PASSED -> FAILED  <- changed"
    assert lines[1] == "  MTTD     2 s -> 2.2 s  (no difference that polling could see)"
    assert lines[2] == "  MTTM     6 s -> 20 s  (+14.0 s)"
    assert lines[3] == "  MTTR     8 s -> never"
    assert lines[4] == "Other: only in the second run"


# -- a run's end ------------------------------------------------------------------------------------------------------


def test_a_run_leaves_summary_history_and_page(tmp_path: Path) -> None:
    run, state = tmp_path / "run", tmp_path / "state"
    said = finish_run(run, [drill(run / "down")], state, NOON)
    assert said == []
    assert json.loads((run / "summary.json").read_text(encoding="utf-8"))["drills"][0]["outcome"] == "passed"
    page = (run / "index.html").read_text(encoding="utf-8")
    assert 'href="down/report.html"' in page
    assert "Over the last runs" in page
    assert list(History(state / "history.db").entries()) == ["Database down"]


def test_what_got_worse_is_named_in_the_runs_summary(tmp_path: Path) -> None:
    state = tmp_path / "state"
    for day in range(1, 5):
        run = tmp_path / f"run-{day}"
        slow: dict[str, Any] = {"mitigated": 40.0, "recovered": 42.0} if day == 4 else {}
        summary = {**drill(run / "down", **slow), "began": f"2026-01-0{day}T00:00:00+00:00"}
        said = finish_run(run, [summary], state, NOON)
        assert bool(said) == (day == 4)
    assert any("MTTR was 32.0 s, and 8.0 s in the median of the last 3 runs" in line for line in said)
    assert "MTTR was 32.0 s" in json.loads((run / "summary.json").read_text(encoding="utf-8"))["worse"][1]
    assert "MTTR was 32.0 s" in (run / "index.html").read_text(encoding="utf-8")


def _locked(path: Path) -> sqlite3.Connection:
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("begin exclusive")
    return holder


@pytest.mark.parametrize("trouble", ["locked", "corrupt", "newer", "a folder", "no folder"])
def test_a_history_that_cannot_be_used_fails_no_run(
    tmp_path: Path, trouble: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sevdrill.history.PATIENCE", 0.1)
    run, state = tmp_path / "run", tmp_path / "state"
    summary, path, holder = drill(run / "down"), state / "history.db", None
    History(path).record("before", [summary])
    match trouble:
        case "locked":
            holder = _locked(path)
        case "corrupt":
            path.write_bytes(b"SQLite format 3\0" + b"nonsense" * 1000)
        case "newer":
            with sqlite3.connect(path) as database:
                database.execute("pragma user_version = 99")
            database.close()
        case "a folder":
            path.unlink()
            path.mkdir()
        case "no folder":
            path.unlink()
            state.rmdir()
            state.write_text("", encoding="utf-8")
    try:
        said = finish_run(run, [summary], state, NOON)
    finally:
        if holder is not None:
            holder.close()
    assert len(said) == 1
    assert "history" in said[0]
    assert json.loads((run / "summary.json").read_text(encoding="utf-8"))["said"] == said
    assert "Database down" in (run / "index.html").read_text(encoding="utf-8")


def test_a_history_on_a_read_only_disk_fails_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, state = tmp_path / "run", tmp_path / "state"
    summary = drill(run / "down")
    History(state / "history.db").record("before", [summary])
    real = sqlite3.connect

    # Whoever is root may write everything, so the disk says it, not the file's mode.
    def read_only(path: Path, **more: Any) -> sqlite3.Connection:
        return real(f"file:{path}?mode=ro", uri=True, **more)

    monkeypatch.setattr(sqlite3, "connect", read_only)
    said = finish_run(run, [summary], state, NOON)
    assert ["readonly" in line for line in said] == [True]
    assert (run / "index.html").exists()


def test_a_page_that_cannot_be_drawn_fails_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> str:
        raise KeyError("columns")

    monkeypatch.setattr("sevdrill.aftermath.run_page", broken)
    monkeypatch.setattr("sevdrill.reports.html.report_page", broken)
    run = tmp_path / "run"
    summary = drill(run / "down")
    assert "report.html of " in summary["trouble"][0]
    said = finish_run(run, [summary], tmp_path / "state", NOON)
    assert len(said) == 2
    assert (run / "summary.json").exists()


def test_half_a_character_and_a_full_disk_cost_no_verdict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from looked_at import case

    from sevdrill.lines import Note
    from sevdrill.reports.writing import write_reports

    made = case([*incident(scenario(DATABASE_DOWN)), Note(t=20, text="half: \udc80")], tmp_path)
    assert write_reports(made)["trouble"] == []
    assert "half: " in (tmp_path / "report.html").read_text(encoding="utf-8")

    def full(*_: object, **__: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    told = write_reports(made)
    assert len(told["trouble"]) == 2
    assert told["sentence"].startswith("Everything")


def test_github_gets_a_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    summary = tmp_path / "step.md"
    summary.write_text("before\n", encoding="utf-8")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    run = tmp_path / "run"
    bad = drill(run / "down", mitigated=None, recovered=None)
    finish_run(run, [bad, {**bad, "drill": "<b>@everyone</b> | [x](y)"}], tmp_path / "state", NOON)
    text = summary.read_text(encoding="utf-8")
    assert text.startswith("before\n## Incident drills")
    assert "| Database down | ❌ FAILED | SEV-1 | 2 s / 30 s | **never / 15 min missed** |" in text
    assert not re.search(r"<b>|(?<!\\)@every|(?<!\\)\](?:\\)?\(", text)


# -- follow-ups -------------------------------------------------------------------------------------------------------


def test_follow_ups_are_due_as_the_sop_says_and_only_after_what_failed(tmp_path: Path) -> None:
    assert drill(tmp_path / "good" / "down", policy="sv-sdk")["follow_ups"] == []
    # Injected ten seconds after midnight, and never recovered: counted from the end of the run.
    late = drill(tmp_path / "bad" / "down", policy="sv-sdk", mitigated=None, recovered=None)["follow_ups"]
    due = {up["what"]: up["due"] for up in late}
    assert due["Internal post-mortem meeting"].startswith("2026-01-02T00:01")
    assert due["Update runbooks"].startswith("2026-01-08T00:01")
    assert "Document timeline" not in due
    hour = drill(tmp_path / "ep" / "down", policy="emergency-procedures", detected=50.0)["follow_ups"]
    assert {up["what"]: up["due"] for up in hour}["Root cause identified"] == "2026-01-01T01:00:10+00:00"
    book = drill(tmp_path / "book" / "down", policy="playbook", detected=50.0, mitigated=51.0, recovered=52.0)
    assert [(up["what"], up["owner"], up["due"]) for up in book["follow_ups"]] == [
        ("Post-mortem", "Incident Commander", "2026-01-03T00:00:52+00:00")
    ]


def test_reviews_are_listed_until_they_are_done(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = tmp_path / "state"
    bad = drill(tmp_path / "run" / "down", policy="playbook", detected=50.0, mitigated=51.0, recovered=52.0)
    finish_run(tmp_path / "run", [bad], state, NOON)
    # The same drill fails again the next day: one review, not two.
    finish_run(tmp_path / "next", [bad], state, NOON)
    assert main(["reviews", "--state", str(state)]) == 0
    shown = capsys.readouterr().out
    assert shown.count("Post-mortem") == 1
    assert "due 2026-01-03 00:00 UTC" in shown
    assert "owner: Incident Commander" in shown
    later = finish_run(tmp_path / "later", [bad], state, NOON + dt.timedelta(days=7))
    assert any(line.startswith("overdue since 2026-01-03 00:00 UTC: Post-mortem") for line in later)
    assert main(["reviews", "done", "1", "--state", str(state)]) == 0
    assert main(["reviews", "--state", str(state)]) == 0
    assert "nothing is open" in capsys.readouterr().out
    assert main(["reviews", "done", "1", "--state", str(state)]) == 1
    assert "no open follow-up 1" in capsys.readouterr().err


def test_what_has_no_due_time_is_never_overdue(tmp_path: Path) -> None:
    history = History(tmp_path / "history.db")
    history.follow([FollowUp(0, "Down", "Post-mortem", "somebody", None, "run", "SOP")])
    assert history.open_follow_ups()[0].due is None
    run = tmp_path / "run"
    assert finish_run(run, [drill(run / "down")], tmp_path, NOON + dt.timedelta(days=9999)) == []


# -- the commands -----------------------------------------------------------------------------------------------------


def test_trend_and_compare_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = str(tmp_path / "state")
    assert main(["trend", "--state", state]) == 0
    assert "no drills" in capsys.readouterr().out
    assert not (tmp_path / "state").exists()
    drill(tmp_path / "one" / "down")
    drill(tmp_path / "two" / "down", mitigated=30.0, recovered=32.0)
    for run in ("one", "two"):
        assert main(["report", str(tmp_path / run), "--record", "--state", state]) == 0
    drill(tmp_path / "three" / "down")
    assert main(["report", str(tmp_path / "three"), "--state", state]) == 0
    assert "Over the last runs" in (tmp_path / "three" / "index.html").read_text(encoding="utf-8")
    assert main(["trend", "--state", state]) == 0
    assert "2 runs: PP" in capsys.readouterr().out
    assert main(["trend", "--prometheus", "--state", state]) == 0
    assert "sevdrill_outcome" in capsys.readouterr().out
    assert main(["compare", str(tmp_path / "one"), str(tmp_path / "two")]) == 0
    assert "MTTR     8 s -> 22 s  (+14.0 s)" in capsys.readouterr().out
    assert main(["compare", str(tmp_path / "one"), str(tmp_path)]) == 1
    assert "summary.json" in capsys.readouterr().err


def test_evidence_is_held_against_its_sums(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from sevdrill.reports.manifest import write_manifest

    folder = tmp_path / "run" / "down" / "evidence"
    folder.mkdir(parents=True)
    for name in ("a.log", "b.log", "c.log"):
        (folder / name).write_text(name, encoding="utf-8")
    write_manifest(folder, list(folder.iterdir()))
    assert main(["evidence", "verify", str(tmp_path / "run")]) == 0
    assert "3 files, all as they were collected" in capsys.readouterr().out
    (folder / "a.log").write_text("other", encoding="utf-8")
    (folder / "b.log").unlink()
    (folder / "d.log").write_text("", encoding="utf-8")
    assert main(["evidence", "verify", str(tmp_path / "run" / "down")]) == 1
    shown = capsys.readouterr().out
    assert all(text in shown for text in ("a.log was changed", "b.log is missing", "d.log was added"))
    (folder / "MANIFEST.sha256").write_text("0" * 64 + "  ../../../etc/passwd\n", encoding="utf-8")
    assert main(["evidence", "verify", str(tmp_path / "run" / "down")]) == 1
    assert "MANIFEST.sha256:1" in capsys.readouterr().err

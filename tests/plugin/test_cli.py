"""The command line, without a stack."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import made_up
import pytest
from made_up import DATABASE_DOWN, incident, scenario
from made_up import recorded as _record

from sevdrill.cli import main

WRONG = "drill: x\nseverity: SEV-1\nsteady_stat: {}\n"


def test_judge_reads_the_timeline_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    drill = scenario(DATABASE_DOWN)
    _record(tmp_path / "run" / "database-down", incident(drill))
    assert main(["judge", str(tmp_path / "run")]) == 0
    shown = capsys.readouterr().out
    assert "PASSED: Database down" in shown
    assert "SOP-001" in shown


def test_judge_under_another_policy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plain = scenario(DATABASE_DOWN, targets={})
    # Detected after seven minutes: within a quarter of an hour, but not within the five minutes of "immediate".
    slow = incident(plain, detected=430.0, mitigated=440.0, recovered=450.0)
    folder = _record(tmp_path / "run", slow)
    assert main(["judge", str(folder), "--policy", "sop-001"]) == 0
    assert main(["judge", str(folder), "--policy", "emergency-procedures"]) == 1
    assert "detect: the limit is 5m" in capsys.readouterr().out


def test_judge_says_what_is_wrong_with_the_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["judge", str(tmp_path)]) == 1
    assert "no timeline.jsonl" in capsys.readouterr().err
    (tmp_path / "timeline.jsonl").write_text("hello\n", encoding="utf-8")
    assert main(["judge", str(tmp_path)]) == 1
    assert "timeline" in capsys.readouterr().err


def test_judge_refuses_a_timeline_whose_drill_was_changed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    drill = scenario(DATABASE_DOWN)
    lines = incident(drill)
    lines[0] = lines[0].model_copy(update={"scenario": {"drill": "x"}})
    assert main(["judge", str(_record(tmp_path / "run", lines))]) == 1
    assert "drill" in capsys.readouterr().err


def test_report_writes_the_reports_again(tmp_path: Path) -> None:
    folder = _record(tmp_path / "run", incident(scenario(DATABASE_DOWN), ended=False))
    assert main(["report", str(folder)]) == 0
    text = (folder / "postmortem.md").read_text(encoding="utf-8")
    assert "# [DRILL] Incident Post-Mortem: Database down" in text
    assert "aborted" in text
    assert '"outcome": "aborted"' in (folder / "summary.json").read_text(encoding="utf-8")


@pytest.mark.parametrize("policy", ["sop-001", "playbook", "emergency-procedures", "sv-sdk", "gpt-platform"])
def test_the_post_mortem_has_the_shape_of_its_sop(tmp_path: Path, policy: str) -> None:
    from sevdrill.severity import load_policy

    lines = incident(scenario(DATABASE_DOWN, targets={}))
    lines[0] = lines[0].model_copy(update={"policy": policy})
    folder = _record(tmp_path / "run", lines)
    main(["report", str(folder)])
    text = (folder / "postmortem.md").read_text(encoding="utf-8")
    shape = load_policy(policy).postmortem
    assert shape is not None
    headings = [line[3:] for line in text.splitlines() if line.startswith("## ")]
    assert headings == [section.heading for section in shape.sections]
    assert "alert DatabaseDown fires" in text


def test_text_from_services_cannot_become_markup(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script> | [x](http://evil) \x1b[31m"
    lines = incident(scenario(DATABASE_DOWN, about=evil))
    folder = _record(tmp_path / "run", lines)
    main(["report", str(folder)])
    text = (folder / "postmortem.md").read_text(encoding="utf-8")
    assert "<script>" not in text
    assert re.search(r"(?<!\\)\]\(", text) is None
    assert "\x1b" not in text


def test_validate_reports_every_mistake(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "wrong.yml").write_text(WRONG, encoding="utf-8")
    assert main(["validate", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert 'wrong.yml:3:1: unknown key "steady_stat", did you mean "steady_state"?' in error
    assert "Traceback" not in error


def test_validate_of_nothing_is_not_fine(tmp_path: Path) -> None:
    assert main(["validate", str(tmp_path)]) == 2


def test_the_projects_own_drills_are_valid(capsys: pytest.CaptureFixture[str]) -> None:
    root = Path(made_up.__file__).parents[2]
    stack = str(root / "docker-compose.drill.yml")
    assert main(["validate", str(root / "drills"), "--stack", stack]) == 0
    assert "no mistakes" in capsys.readouterr().out


def test_heal_with_nothing_to_heal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["heal", "--state", str(tmp_path)]) == 0
    assert capsys.readouterr().out == "nothing to heal\n"


def test_a_reader_that_has_seen_enough_is_no_traceback() -> None:
    command = [sys.executable, "-m", "sevdrill", "schema"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.wait(60) == 1
        assert process.stderr.read() == b""

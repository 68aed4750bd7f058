"""Which log archives of a stack are evidence of a run: those that its own steps made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from made_up import DATABASE_DOWN, incident, recorded, scenario

from sevdrill.collecting import _archived
from sevdrill.lines import StepLine

URL = "http://edge:3300/admin/archive"
DRILL = {**DATABASE_DOWN, "respond": [*DATABASE_DOWN["respond"], {"action": "archive-logs", "url": URL}]}


def ended(**changes: Any) -> StepLine:
    index = len(DRILL["respond"]) - 1
    step = {
        "part": "respond",
        "index": index,
        "action": "archive-logs",
        "title": "archive",
        "event": "ended",
        "ok": True,
    }
    return StepLine.model_validate(step | changes)


@pytest.mark.parametrize(
    ("changes", "found"),
    [({}, [URL]), ({"ok": False}, []), ({"event": "began", "ok": None}, []), ({"part": "close"}, [])],
    ids=["made", "not made", "begun", "another step"],
)
def test_only_what_a_step_of_this_run_made_is_copied(tmp_path: Path, changes: dict[str, Any], found: list[str]) -> None:
    drill = scenario(DRILL)
    lines = [line for line in incident(drill) if not (isinstance(line, StepLine) and line.action == "archive-logs")]
    last = lines.pop()
    folder = recorded(tmp_path / "run", [*lines, ended(**changes).model_copy(update={"t": last.t}), last])
    assert _archived(drill, folder) == found


def test_a_run_without_a_timeline_has_none(tmp_path: Path) -> None:
    assert _archived(scenario(DRILL), tmp_path) == []

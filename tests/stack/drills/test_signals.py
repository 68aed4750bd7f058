"""However a run is killed, and whenever: the fault is gone afterwards, as seen on the stack itself."""

from __future__ import annotations

from pathlib import Path

import pytest
from drill_root import DrillRoot, interrupt, wait_for

pytestmark = pytest.mark.stack

# The alert is one that never fires, so that each moment lasts until the test has seen it.
NEVER = {
    "database-down.yml": [(r"alert: DatabaseDown", "alert: NeverFires")],
    "bad-release-rollback.yml": [(r"alert: HighErrorRate", "alert: NeverFires")],
}
MOMENTS = ["injected", "detect", "respond"]


def _reached(root: DrillRoot, path: Path, moment: str) -> bool:
    for line in root.lines(path):
        if line.get("type") == "mark" and line["name"] == moment:
            return True
        if line.get("type") == "phase" and line["name"] == moment:
            return True
    return False


@pytest.mark.parametrize("how", ["SIGINT", "SIGINT twice", "SIGTERM", "SIGKILL"])
@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("name", list(NEVER))
def test_a_killed_run_leaves_nothing_broken(whole_stack: DrillRoot, name: str, moment: str, how: str) -> None:
    root = whole_stack
    # Respond begins after half of the limit, as nothing is detected.
    limit = "4s" if moment == "respond" else "60s"
    path = root.drill(name, *NEVER[name], (r"^limit: .*", f"limit: {limit}"))
    before = root.timelines()
    process = root.start(path)
    try:
        wait_for(lambda: len(root.timelines() - before) == 1 or process.poll() is not None, "a timeline", 120)
        assert process.poll() is None, process.communicate()[0]
        timeline = (root.timelines() - before).pop()
        wait_for(lambda: _reached(root, timeline, moment) or process.poll() is not None, moment, 60)
        interrupt(process, how)
        result = root.finish(process)
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
    assert result.code != 0, result.output
    # A dead runner is healed by its watchdog; any other has healed before it ended.
    wait_for(root.whole, "the fault to be gone", 30 if how == "SIGKILL" else 1)
    wait_for(lambda: root.journals() == [], "every debt to be paid", 60)
    assert root.whole()
    assert root.cli("heal").stdout == "nothing to heal\n"
    again = root.cli("judge", str(timeline.parent))
    assert "ABORTED" in again.stdout, again.stdout + again.stderr


def test_a_run_is_stopped_from_another_terminal(whole_stack: DrillRoot) -> None:
    root = whole_stack
    path = root.drill("database-down.yml", *NEVER["database-down.yml"])
    before = root.timelines()
    process = root.start(path)
    try:
        wait_for(lambda: len(root.timelines() - before) == 1 or process.poll() is not None, "a timeline", 120)
        timeline = (root.timelines() - before).pop()
        wait_for(lambda: _reached(root, timeline, "detect") or process.poll() is not None, "detect", 60)
        done = root.cli("stop", root.project)
        assert root.whole()
        assert done.returncode == 0, done.stderr
        assert (
            f"run {timeline.parent.parent.name} (process {process.pid}, stack {root.project}): stopped" in done.stdout
        )
        result = root.finish(process)
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
    assert (result.code, result.outcome) == (2, "aborted"), result.output
    assert "sevdrill stop" in result.reasons


def test_a_stop_condition_ends_the_drill(whole_stack: DrillRoot) -> None:
    root = whole_stack
    stop = "stop: [{probe: load, name: users suffer, error_rate: {above: 20%}, over: 3s}]\nlimit: 60s"
    result = root.run(root.drill("database-down.yml", *NEVER["database-down.yml"], (r"^limit: .*", stop)))
    assert (result.code, result.outcome) == (1, "aborted"), result.output
    assert result.reasons.startswith("stop condition: users suffer: ")
    (timeline,) = result.folder.glob("*/timeline.jsonl")
    lines = root.lines(timeline)
    breach = next(line for line in lines if str(line.get("series")).startswith("stop:") and line["ok"])
    restore = next(line for line in lines if line.get("name") == "restore")
    between = [line for line in lines if breach["t"] < line["t"] < restore["t"]]
    # What is only seen, and the end of the call that was in flight: on a busy machine users suffer before it returns.
    ended = [line for line in between if line["type"] == "fault" and line["event"] == "injected"]
    acts = [line["type"] for line in between if line["type"] not in ("sample", "page") and line not in ended]
    assert acts == ["stopped"], "nothing stands between a breach and the undo"
    assert root.whole()

"""A drill is stopped: by a stop condition that comes true, or by somebody in another terminal."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from drill_root import wait_for
from made_up import scenario
from toy_run import DRILL, Run
from toy_stack import ToyStack

from sevdrill.actions.lifecycle import Restart
from sevdrill.clock import SystemClock
from sevdrill.diagnostics import load, load_stop, with_stop
from sevdrill.errors import DrillFileError
from sevdrill.journal import Journal
from sevdrill.judge import Outcome
from sevdrill.lines import Line, PhaseLine, Sample, StepLine, Stopped, Users
from sevdrill.ports import LoadWindow, Ports, Reading
from sevdrill.probes.load import LoadProbe
from sevdrill.watching import STOP_EVERY

HALF_FAIL = {"probe": "load", "name": "half fail", "error_rate": {"above": "50%"}}
NEVER = [{"alert": "NeverFires"}]


@pytest.fixture
def stack() -> ToyStack:
    return ToyStack()


def phases(run: Run) -> list[str]:
    return [line.name for line in run.timeline.of(PhaseLine)]


def test_a_stop_condition_aborts_and_undoes(tmp_path: Path, stack: ToyStack) -> None:
    stack.alert_fires = False
    run = Run(tmp_path, stack, stop=[HALF_FAIL], limit="60s", targets={})
    verdict = run.run()
    assert verdict.outcome is Outcome.ABORTED
    assert verdict.reasons[0] == "stop condition: half fail: 100.0% of 10 requests failed, p95 10 ms"
    assert phases(run) == ["prepare", "steady", "inject", "detect", "restore"] or phases(run)[-2:] == [
        "inject",
        "restore",
    ]
    assert stack.up
    assert run.debts() == set()
    assert not verdict.dirty


def test_the_breach_is_recorded_before_anybody_acts_on_it(tmp_path: Path, stack: ToyStack) -> None:
    run = Run(tmp_path, stack, stop=[HALF_FAIL], detect=NEVER, limit="60s", targets={})
    recorded = threading.Event()
    write = run.writer.write

    def late(line: Line) -> None:
        if isinstance(line, Sample) and line.series.startswith("stop:") and line.ok and not recorded.is_set():
            # Whoever acted on it by now would be ahead of the record.
            recorded.wait(0.3)
            recorded.set()
            assert not run.engine._watch.breach
        write(line)

    run.writer.write = late  # type: ignore[method-assign]
    assert run.run().outcome is Outcome.ABORTED
    lines = list(run.timeline.lines)
    breach = next(
        n for n, line in enumerate(lines) if isinstance(line, Sample) and line.series[:5] == "stop:" and line.ok
    )
    stopped = next(n for n, line in enumerate(lines) if isinstance(line, Stopped))
    assert recorded.is_set()
    assert breach < stopped


def test_one_that_never_comes_true_changes_nothing(tmp_path: Path, stack: ToyStack) -> None:
    unknown = {"probe": "http", "url": "http://nowhere:1/", "timeout": "100ms"}
    run = Run(tmp_path, stack, stop=[{**HALF_FAIL, "error_rate": {"above": "100%"}}, unknown])
    assert run.run().outcome is Outcome.PASSED


def test_one_that_is_true_before_the_fault_keeps_it_from_being_injected(tmp_path: Path, stack: ToyStack) -> None:
    quick = {"probe": "load", "p95": {"above": "1ms"}}
    run = Run(tmp_path, stack, stop=[quick])
    assert run.run().outcome is Outcome.ABORTED
    assert "kill" not in stack.calls


@pytest.mark.parametrize("part", ["respond", "investigate", "verify"])
def test_a_look_that_hangs_does_not_hold_the_undo_up(
    tmp_path: Path, stack: ToyStack, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    hanging, let_go, breach = threading.Event(), threading.Event(), threading.Event()

    def hang(*_: Any) -> Any:
        hanging.set()
        let_go.wait(30)
        return Reading(ok=True)

    def window(over: float) -> LoadWindow:
        # The condition comes true once the look hangs.
        if hanging.is_set() and not let_go.is_set():
            breach.set()
            return LoadWindow(10, 10, 9.0)
        bad = not stack.up
        return LoadWindow(10, 10 if bad else 0, 0.01)

    slow = {"probe": "load", "name": "slow", "p95": {"above": "5s"}}
    step = {"action": "restart", "service": "db", "timeout": "50s"}
    changes: dict[str, Any] = {"stop": [slow], "targets": {}, "limit": "60s"}
    if part == "investigate":
        monkeypatch.setattr(Restart, "proof", hang)
        changes |= {"investigate": [step], "respond": [{"action": "announce", "status": "identified"}]}
    elif part == "respond":
        monkeypatch.setattr(Restart, "proof", hang)
        changes |= {"respond": [step]}
    else:
        # What looks at users is not asked any more then; this one stands for a condition of another kind.
        monkeypatch.setattr("sevdrill.watching.Watching.end_load_probes", lambda self: None)
        monkeypatch.setattr("sevdrill.checks.writes.NoLostWrites.read", lambda self, ports: hang() and {})
    monkeypatch.setattr(stack, "window", window)
    run = Run(tmp_path, stack, **changes)
    seen: list[bool] = []

    def restored(line: object) -> None:
        if isinstance(line, PhaseLine) and line.name == "restore":
            seen.append(let_go.is_set())
            # What the judge reads afterwards would hang as well.
            let_go.set()

    run.writer._listener = restored
    verdict = run.run()
    assert breach.is_set()
    assert verdict.outcome is Outcome.ABORTED
    assert verdict.reasons[0].startswith("stop condition: slow")
    assert seen == [False]


def test_a_step_in_flight_is_not_cut_off(tmp_path: Path, stack: ToyStack, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    run = Run(tmp_path, stack, stop=[HALF_FAIL], targets={}, limit="60s")
    start = Restart.run

    def slow(self: Restart, ports: Ports, record: dict[str, Any]) -> None:
        wait_for(lambda: bool(run.engine._watch.breach), "the breach", 20)
        start(self, ports, record)
        done.append("restart")

    monkeypatch.setattr(Restart, "run", slow)
    # Nothing waits between the fault and the step, so that the step is in flight when the condition comes true.
    monkeypatch.setattr(type(run.engine), "_prove", lambda self, active: None)
    monkeypatch.setattr(type(run.engine), "_detected", lambda self: True)
    hidden = threading.Event()
    window = stack.window
    monkeypatch.setattr(stack, "window", lambda over: window(over) if hidden.is_set() else LoadWindow(9, 0, 0.01))

    def listen(line: object) -> None:
        if isinstance(line, StepLine) and line.action == "restart":
            hidden.set()

    run.writer._listener = listen
    assert run.run().outcome is Outcome.ABORTED
    assert done == ["restart"]


def test_a_stop_condition_is_looked_at_often_however_slow_the_others_are(tmp_path: Path, stack: ToyStack) -> None:
    slow = Run(tmp_path, stack, stop=[HALF_FAIL], steady_state={**DRILL["steady_state"], "every": "9s", "hold": "9s"})
    slow.engine._watch.begin_all()
    slow.engine._watch.end_all()
    assert slow.engine._watch.samplers["stop:0:half fail"].every == STOP_EVERY
    slow.writer.close()


# -- the probe and the files ------------------------------------------------------------------------------------------


def test_no_requests_are_unknown_to_what_looks_for_above(stack: ToyStack, monkeypatch: pytest.MonkeyPatch) -> None:
    from toy_stack import toy_ports

    monkeypatch.setattr(stack, "window", lambda over: LoadWindow(0, 0, None))
    above = LoadProbe.model_validate(HALF_FAIL)
    below = LoadProbe.model_validate({"probe": "load", "error_rate": {"below": "1%"}})
    assert above.read(toy_ports(stack)).ok is None
    assert below.read(toy_ports(stack)).ok is False
    assert above.read(toy_ports(stack)).users == below.read(toy_ports(stack)).users == Users(requests=0, failures=0)


def test_what_users_saw_is_on_the_timeline_in_numbers(tmp_path: Path, stack: ToyStack) -> None:
    run = Run(tmp_path, stack, stop=[])
    run.run()
    seen = [sample.users for sample in run.timeline.of(Sample) if sample.series.startswith("steady:") and sample.users]
    assert Users(requests=10, failures=0, p95=0.01) in seen
    assert Users(requests=10, failures=10, p95=0.01) in seen


@pytest.mark.parametrize("limit", [{}, {"above": "5%", "below": "9%"}])
def test_a_limit_is_above_or_below(limit: dict[str, str]) -> None:
    with pytest.raises(ValueError, match='either "below" or "above"'):
        LoadProbe.model_validate({"probe": "load", "error_rate": limit})


FILE = """
drill: Database down
severity: SEV-1
steady_state: {probes: [{probe: http, name: health, url: "http://app:3000/"}]}
inject: [{fault: container.kill, service: db}]
detect: [{alert: DatabaseDown}]
stop:
  - {probe: http, name: health, url: "http://ap:3000/", status: "5xx"}
  - {probe: load, error_rate: {abov: 50%}}
"""


def test_mistakes_in_a_drill_and_in_the_file_for_all_drills_are_told_alike(tmp_path: Path) -> None:
    drill, every = tmp_path / "drill.yml", tmp_path / "stop.yml"
    drill.write_text(FILE)
    with pytest.raises(DrillFileError) as in_drill:
        load(drill, services=["app", "db"], root=tmp_path)
    every.write_text(FILE[FILE.index("stop:") :])
    with pytest.raises(DrillFileError) as in_file:
        load_stop(every, services=["app", "db"], root=tmp_path)
    for text in (str(in_drill.value), str(in_file.value)):
        assert 'unknown service "ap", did you mean "app"?' in text
        assert 'unknown key "abov", did you mean "above"?' in text
    assert "stop.yml:2:38" in str(in_file.value)
    assert 'needs "load"' in str(in_drill.value)


def test_conditions_for_all_drills_are_added_where_they_can_be_looked_at(tmp_path: Path) -> None:
    drill, every = tmp_path / "drill.yml", tmp_path / "stop.yml"
    drill.write_text(FILE[: FILE.index("stop:")])
    every.write_text(
        'stop: [{probe: load, p95: {above: 5s}}, {probe: http, name: health, url: "http://app:3000/", status: "5xx"}]'
    )
    loaded = with_stop(load(drill), load_stop(every))
    # Without users there is nothing to say about them.
    assert [probe.probe for probe in loaded.scenario.stop] == ["http"]
    # As the judge reads it back from the timeline: its name is one that the drill itself has already.
    assert scenario(loaded.scenario.dump()).stop == loaded.scenario.stop
    users = with_stop(load(drill), ()).scenario.model_copy(update={"load": object()})
    assert len(with_stop(type(loaded)(users, drill, 1), load_stop(every)).scenario.stop) == 2


# -- sevdrill stop ----------------------------------------------------------------------------------------------------

RUNNER = """
import sys
from pathlib import Path
from toy_run import Run
from toy_stack import ToyStack
stack = ToyStack()
stack.alert_fires = False
run = Run(Path(sys.argv[1]), stack, limit="10m", targets={})
run.writer._listener = lambda line: print(getattr(line, "name", ""), flush=True)
try:
    with run.shield.installed():
        run.run()
except KeyboardInterrupt:
    assert stack.up
    print(run.verdict().outcome, run.verdict().reasons[0], flush=True)
if "owing" in sys.argv:
    run.journal.owe("x", run.scenario.inject[0], {}, 60)
run.journal.close()
"""


def sevdrill(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sevdrill", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def runner(tmp_path: Path, request: pytest.FixtureRequest) -> Any:
    more = getattr(request, "param", [])
    helpers = str(Path(__file__).parents[1] / "helpers")
    process = subprocess.Popen(
        [sys.executable, "-c", RUNNER, str(tmp_path), *more],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": helpers},
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.strip() == "detect":
            break
    yield process
    process.kill()
    process.communicate()


@pytest.mark.parametrize("name", ["", "run", "toy"])
def test_sevdrill_stop(tmp_path: Path, runner: Any, name: str) -> None:
    done = sevdrill("stop", *filter(None, [name]), "--state", str(tmp_path / "state"))
    assert done.returncode == 0, done.stderr
    who = f"run run (process {runner.pid}, stack toy)"
    assert done.stdout.splitlines() == [
        f"{who}: asked to stop; waiting until everything is undone",
        f"{who}: stopped; everything is undone",
    ]
    out, _ = runner.communicate(timeout=30)
    assert "aborted stopped by `sevdrill stop` (user " in out
    assert list((tmp_path / "state" / "journal").iterdir()) == []


def test_sevdrill_stop_names_what_runs_when_asked_for_another(tmp_path: Path, runner: Any) -> None:
    done = sevdrill("stop", "other", "--state", str(tmp_path / "state"))
    assert done.returncode == 2
    assert f"no run or stack other is under way here (under way: run run (process {runner.pid}" in done.stderr
    assert runner.poll() is None


@pytest.mark.parametrize("runner", [["owing"]], indirect=True)
def test_sevdrill_stop_says_when_not_everything_is_undone(tmp_path: Path, runner: Any) -> None:
    done = sevdrill("stop", "--within", "3s", "--state", str(tmp_path / "state"))
    assert done.returncode == 1
    assert "not everything is undone; run `sevdrill heal`" in done.stderr


def test_sevdrill_stop_without_a_run(tmp_path: Path) -> None:
    done = sevdrill("stop", "--state", str(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("no run is under way here")


def test_a_run_that_is_no_more_is_not_signalled(tmp_path: Path) -> None:
    # A journal whose runner is dead, and whose number another process has by now: it must not be hit.
    bystander = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    try:
        journal = Journal(tmp_path, "run", SystemClock(), {"project": "toy"}, keep=True)
        text = journal.path.read_text().replace(f'"pid": {os.getpid()}', f'"pid": {bystander.pid}')
        journal.path.write_text(text)
        done = sevdrill("stop", "--state", str(tmp_path))
        assert done.stdout.startswith("no run is under way here")
        assert bystander.poll() is None
        journal.close()
    finally:
        bystander.kill()
        bystander.communicate()

"""The whole matrix of sabotage, for real: every drill, with each of its parts broken in turn. `make sabotage`.

Of each drill: its alert's rule is removed, each step of its runbook is left out, its fault does nothing, nobody is
served after its recovery began, and what each of its checks asserts is made untrue. None of these may pass. A step
whose removal changes nothing is a finding: it needs a proof of its own, or goes.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from pathlib import Path
from typing import Any, NamedTuple

from drill_root import PROJECT, DrillRoot, Result
from embedded_root import EmbeddedRoot, without_rule
from mutants import Recorded
from recording import DRILLS, recording, unpacked
from sabotage import SabotagedRoot, without_alert
from saboteur import BREAKS

from sevdrill.calls import CALLS
from sevdrill.detectors import alerts_of
from sevdrill.diagnostics import load
from sevdrill.judge import Outcome, judge
from sevdrill.kinds import Kinds
from sevdrill.plan import checks_of
from sevdrill.scenario import Scenario, scenario_model
from sevdrill.severity import load_policy
from sevdrill.timeline import Timeline

SHORT, PATIENT = 15, 40
"""Limits in seconds: for what can never pass in time, and for what may."""


class Sabotage(NamedTuple):
    """One drill with one thing broken."""

    drill: str
    group: str
    """control, alert, step, fault, recovery or invariant."""
    what: str
    plan: dict[str, Any]
    alert: str = ""
    """The alert whose rule is removed meanwhile."""
    spoils: bool = False
    """Whether the stack is not to be used again."""


class Ran(NamedTuple):
    """A sabotage and what came of it."""

    sabotage: Sabotage
    outcome: str
    reasons: str
    seconds: float

    @property
    def survived(self) -> bool:
        return self.sabotage.group != "control" and self.outcome == "passed"


def scenario_of(name: str) -> Scenario | None:
    """The drill, from its file or, when Python makes it, from its recording."""
    if not DRILLS[name].function:
        return load(DRILLS[name].file).scenario
    if not recording(name).exists():
        return None
    with tempfile.TemporaryDirectory() as folder:
        run = Timeline.load(unpacked(name, Path(folder)) / "timeline.jsonl").run
    return scenario_model(Kinds.default().with_(CALLS)).model_validate(run.scenario)


def sabotages(name: str, scenario: Scenario, *, messages: bool = False) -> Iterator[Sabotage]:
    """Everything that is broken in one drill; messages are left out where recordings show the same (test_recorded)."""
    yield Sabotage(name, "control", "nothing", {})
    for alert in alerts_of(scenario.detect):
        yield Sabotage(name, "alert", f"the rule of {alert} is gone", {"limit": SHORT}, alert)
    for part in ("investigate", "respond", "close"):
        for index, step in enumerate(getattr(scenario, part)):
            if messages or not step.is_message:
                plan = {"without": [part, index], "limit": PATIENT}
                yield Sabotage(name, "step", f"without {part} {index}: {step.title}", plan)
    # Each of several faults, too: what the others do must not speak for it.
    every = list(range(len(scenario.inject)))
    for idle in ([every] if every else []) + ([[index] for index in every] if len(every) > 1 else []):
        what = "every fault does nothing" if idle == every else f"does nothing: {scenario.inject[idle[0]].title}"
        yield Sabotage(name, "fault", what, {"no_op": idle, "limit": SHORT})
    at = "quiet" if scenario.quiet is not None else "recover"
    yield Sabotage(name, "recovery", "nobody is served", {"at": at, "do": "kill-entry", "limit": SHORT}, spoils=True)
    for check in checks_of(scenario):
        if check.check in BREAKS:
            plan = {"at": "verify", "do": "break-check", "check": check.title}
            spoils = check.check == "no_duplicate_writes"
            yield Sabotage(name, "invariant", f"untrue: {check.title}", plan, spoils=spoils)


def idle_messages(name: str, scenario: Scenario) -> list[str]:
    """Messages of the drill without which its recorded run passes all the same."""
    if not recording(name).exists():
        return []
    policy = load_policy("sop-001")
    with tempfile.TemporaryDirectory() as folder:
        timeline = Timeline.load(unpacked(name, Path(folder)) / "timeline.jsonl")
    run = Recorded(list(timeline.lines), scenario, policy)
    return [
        f"{name}: {what}"
        for what, without, lines in run.unsaid()
        if judge(Timeline(lines), without, policy).outcome is Outcome.PASSED
    ]


def without_recipe(name: str, scenario: Scenario) -> list[str]:
    """Checks that the matrix does not know how to make untrue on a stack."""
    return [f"{name}: {check.title}" for check in checks_of(scenario) if check.check not in BREAKS]


class Place:
    """A folder with a stack on which sabotaged drills run, one after another."""

    def __init__(self, root: DrillRoot) -> None:
        self.root = root

    def run(self, sabotage: Sabotage) -> Ran:
        drill = DRILLS[sabotage.drill]
        text = drill.file.read_text(encoding="utf-8").replace("../fixtures", str(PROJECT / "fixtures"))
        path = self.root.folder / "drills" / drill.file.name
        path.write_text(text, encoding="utf-8")
        began = time.monotonic()
        os.environ["SABOTAGE_PLAN"] = json.dumps(sabotage.plan)
        try:
            with self._alert(sabotage):
                result: Result = self.root.run(path)
        except subprocess.TimeoutExpired:
            return Ran(sabotage, "hung", "the run did not end", time.monotonic() - began)
        finally:
            del os.environ["SABOTAGE_PLAN"]
            if sabotage.spoils:
                self.root.down()
        outcome = result.outcome.partition(":")[0]
        if outcome == "none" and "skipped" in result.output:
            outcome = "skipped"
        elif (outcome == "passed") != (result.code == 0) or "the run broke off" in result.reasons:
            # The sabotage itself did not work, or pytest and the report say two things.
            outcome = f"error: {outcome} with exit code {result.code}"
        reasons = result.reasons or ("" if outcome == "passed" else result.output[-400:])
        return Ran(sabotage, outcome, reasons, time.monotonic() - began)

    @contextlib.contextmanager
    def _alert(self, sabotage: Sabotage) -> Iterator[None]:
        alert = sabotage.alert
        if not alert:
            yield
        elif isinstance(self.root, EmbeddedRoot):
            scenario = scenario_of(sabotage.drill)
            # With all that the drill needs: for what it lacks a stack would be started anew, with its rule.
            if not self.root.stands() or (scenario is not None and scenario.profiles):
                self.root.prepare(*(scenario.profiles if scenario is not None else ()))
            with without_rule(self.root, alert):
                yield
        else:
            with without_alert(self.root, alert):
                yield


def report(ran: list[Ran], unknown: list[str], idle: list[str]) -> Iterator[str]:
    """The figures, as Markdown."""
    yield "| drill | sabotage | done | failed | invalid | aborted | passed |"
    yield "|---|---|---|---|---|---|---|"
    for name in dict.fromkeys(each.sabotage.drill for each in ran):
        for group in ("alert", "step", "fault", "recovery", "invariant"):
            mine = [each for each in ran if (each.sabotage.drill, each.sabotage.group) == (name, group)]
            if mine:
                counts = Counter(each.outcome for each in mine)
                shown = (str(counts[outcome]) for outcome in ("failed", "invalid", "aborted", "passed"))
                yield f"| {name} | {group} | {len(mine)} | {' | '.join(shown)} |"
    broken = [each for each in ran if each.sabotage.group != "control"]
    took = sum(each.seconds for each in ran)
    yield ""
    yield f"{len(broken)} sabotaged runs and {len(ran) - len(broken)} controls in {took / 60:.0f} min of runs."
    for title, found in (
        ("Steps whose removal changes nothing", [r for r in broken if r.survived and r.sabotage.group == "step"]),
        ("Sabotaged drills that passed", [r for r in broken if r.survived and r.sabotage.group != "step"]),
        ("Controls that did not pass", [r for r in ran if r.sabotage.group == "control" and r.outcome != "passed"]),
        ("Runs that ended otherwise", [r for r in broken if r.outcome not in ("failed", "invalid", "passed")]),
    ):
        yield ""
        yield f"{title}: {len(found) or 'none'}"
        yield from (f"* {r.sabotage.drill}: {r.sabotage.what}: {r.outcome}: {r.reasons[:200]}" for r in found)
    for title, names in (
        ("Messages whose removal changes nothing, as the recordings show", idle),
        ("Checks that nothing here makes untrue on a stack; the recordings show that they can break", unknown),
    ):
        yield ""
        yield f"{title}: {len(names) or 'none'}"
        yield from (f"* {each}" for each in names)


class Done(NamedTuple):
    """What the matrix found out about one drill."""

    ran: list[Ran]
    unknown: list[str]
    idle: list[str]


def break_all(name: str, stack: str, messages: bool) -> Done:
    """Break every part of one drill, one after another, on a stack of its own."""
    scenario = scenario_of(name)
    if scenario is None:
        print(f"{name}: is made by Python and has no recording; `make recordings` first", flush=True)
        return Done([], [], [])
    done = Done([], without_recipe(name, scenario), idle_messages(name, scenario))
    with tempfile.TemporaryDirectory(prefix="sevdrill-sabotage-") as folder:
        place = Place((EmbeddedRoot if stack == "embedded" else SabotagedRoot)(Path(folder) / "place"))
        try:
            for sabotage in sabotages(name, scenario, messages=messages):
                try:
                    each = place.run(sabotage)
                except Exception as error:  # the figures of hours must not be lost by one
                    each = Ran(sabotage, "error", f"{type(error).__name__}: {error}", 0.0)
                    place.root.down()
                done.ran.append(each)
                print(
                    f"{'!!' if each.survived else '  '} {each.seconds:5.0f} s  {name}: {sabotage.group}: "
                    f"{sabotage.what}: {each.outcome}: {each.reasons[:160]}",
                    flush=True,
                )
                if sabotage.group == "control" and each.outcome != "passed":
                    # What does not pass when all is right proves nothing when it does not pass.
                    break
        finally:
            place.root.down()
    return done


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("drills", nargs="*", help="names of drills; all when left out")
    parser.add_argument("--stack", choices=("embedded", "compose"), default="embedded")
    parser.add_argument("--messages", action="store_true", help="leave out messages, too")
    parser.add_argument("--jobs", type=int, default=1, help="drills at once, each on a stack of its own")
    parser.add_argument("--report", type=Path, default=PROJECT / "build" / "sabotage.md")
    options = parser.parse_args()
    names = options.drills or sorted(DRILLS)
    # Processes, as what is broken is told to a run by the environment.
    with ProcessPoolExecutor(options.jobs) as pool:
        every = list(pool.map(break_all, names, repeat(options.stack), repeat(options.messages)))
    ran = [each for done in every for each in done.ran]
    unknown, idle = ([each for done in every for each in done[part]] for part in (1, 2))
    text = "\n".join(report(ran, unknown, idle)) + "\n"
    options.report.parent.mkdir(exist_ok=True)
    options.report.write_text(text, encoding="utf-8")
    print(text)
    controls = [each for each in ran if each.sabotage.group == "control"]
    whole = all(each.outcome in ("passed", "skipped") for each in controls)
    broken = [each for each in ran if each.sabotage.group != "control"]
    return 0 if whole and all(each.outcome in ("failed", "invalid") for each in broken) else 1


if __name__ == "__main__":
    sys.exit(main())

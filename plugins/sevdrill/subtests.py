"""Running one drill for pytest: run it whole, judge it, and only then report its parts as subtests.

A drill in YAML and a drill in Python end here alike. Nothing is reported while the stack is broken: under ``-x`` a
failing subtest ends its test, and that must not tear a drill.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from sevdrill.detectors import missing
from sevdrill.diagnostics import LoadedDrill
from sevdrill.errors import SevdrillError, Unsupported
from sevdrill.escaping import block
from sevdrill.probes import Probe
from sevdrill.rejudging import RunResult
from sevdrill.reports.summary import properties
from sevdrill.reports.terminal import page
from sevdrill.scenario import Scenario
from sevdrill.state import PLAN, STATE, SUMMARY
from sevdrill.units import Duration

__all__ = ["DrillNotPassed", "Part", "parts", "run_drill"]

PHASE = {"detect": "detect", "recover": "recover"}
"""The phase that each target belongs to; all others belong to the answer."""


class DrillNotPassed(pytest.fail.Exception):  # type: ignore[name-defined,misc]  # how pytest names it
    """A drill did not pass, or could not be run; the text is the page that people read, and needs no traceback."""

    def __init__(self, text: str) -> None:
        super().__init__(text, pytrace=False)


@dataclass(frozen=True)
class Part:
    """One thing that a drill was held to."""

    name: str
    """Its phase and what it is, such as `detect: within 30s`."""
    ok: bool
    why: str = ""
    """What was found; says the phase as well, since JUnit files show nothing else of a subtest."""


def parts(scenario: Scenario, summary: dict[str, Any]) -> Iterator[Part]:
    """Everything that a drill was held to, in the order of its phases; nothing when it says nothing of the system."""
    if summary["outcome"] not in ("passed", "failed"):
        return
    reasons: list[str] = list(summary["reasons"])

    def part(name: str, ok: bool, *begins: str) -> Part:
        mine = [reason for reason in reasons if reason.startswith(begins)]
        for reason in mine:
            reasons.remove(reason)
        return Part(name, ok and not mine, "" if ok and not mine else f"{name}: {'; '.join(mine) or 'not so'}")

    for detector in scenario.detect:
        fires = "" if isinstance(detector, Probe) else " fires"
        yield part(f"detect: {block(detector.title)}{fires}", True, f"detect: {block(missing(detector))}")
    for target in summary["targets"]:
        if target["met"] is not None:
            key = target["target"]
            name = f"{PHASE.get(key, 'respond')}: {key} within {Duration(target['limit'])}"
            yield part(name, target["met"], f"{key}: the limit is")
    for step in summary["steps"]:
        yield part(f"{step['part']}: {step['step']}", step["ok"], f"{step['part']}: {step['step']}: ")
    for check in summary["checks"]:
        yield part(f"verify: {check['check']}", check["result"] == "holds", f"{check['check']}: ")
    for reason in reasons:
        yield Part(f"review: {reason.partition(': ')[0]}", ok=False, why=f"review: {reason}")


def run_drill(item: pytest.Item, loaded: LoadedDrill, subtests: pytest.Subtests | None) -> RunResult:
    """Run a drill as the work of a pytest item, report its parts, and return what it came to.

    Raises:
        DrillNotPassed: it did not pass.
    """
    state = item.config.stash[STATE]
    session = state.open_session()
    progress = state.progress()
    began = (time.monotonic(), time.process_time())
    try:
        if state.dry_run:
            from sevdrill.reports.plan import plan_page

            setattr(item, PLAN, list(plan_page(session.preview(loaded), loaded.shown)))
            pytest.skip("dry run: planned, not run")
        if progress is not None:
            progress.begin(loaded.scenario.drill, loaded.scenario, state.policy, state.mode)
        result = session.run(loaded, progress.line if progress is not None else None)
    except Unsupported as error:
        pytest.skip(str(error))
    except SevdrillError as error:
        raise DrillNotPassed(str(error)) from None
    except KeyboardInterrupt:
        # pytest makes no report of an item that was interrupted.
        if session.last is not None:
            state.summaries.append(json.dumps(session.last.summary))
        raise
    finally:
        if progress is not None:
            progress.end()
    state.spent.append((time.monotonic() - began[0], time.process_time() - began[1]))
    item.user_properties.extend(properties(result.verdict))
    if subtests is not None:
        _report(subtests, parts(loaded.scenario, result.summary))
    # Only now: the reports of subtests are made like the item's own, and a drill is to be summed up once.
    setattr(item, SUMMARY, json.dumps(result.summary))
    if result.verdict.outcome != "passed":
        raise DrillNotPassed("\n".join(page(result.summary, item.config.get_verbosity())))
    return result


def _report(subtests: pytest.Subtests, found: Iterator[Part]) -> None:
    for part in found:
        # Under -x pytest lets the exception through, to end the test; the parts that follow are known already.
        with contextlib.suppress(DrillNotPassed), subtests.test(part.name):
            if not part.ok:
                raise DrillNotPassed(part.why)

"""What pytest shows of drills: their outcomes, the table of a run, and whether the run failed.

Imports nothing but pytest and the standard library at its top, as the plugin does.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Generator, Mapping
from typing import Any

import pytest

from sevdrill.state import PLAN, STATE, SUMMARY, State

IS_DRILL = "sevdrill_drill"
"""What says on a test report that its test is a drill."""
KEYWORDS: pytest.StashKey[Mapping[str, Any]] = pytest.StashKey()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Put a drill's summary on its report: plain JSON, which crosses from xdist's workers."""
    report = yield
    if item.get_closest_marker("drill") is not None:
        _mask(report)
        setattr(report, IS_DRILL, True)
        # pytest keeps every report until its end, and each has a copy of them: one a drill is enough.
        kept = item.stash.setdefault(KEYWORDS, report.keywords)
        if kept == report.keywords:
            report.keywords = kept
        for name in (SUMMARY, PLAN):
            found = getattr(item, name, None)
            if call.when == "call" and found is not None:
                setattr(report, name, found)
    return report


def _mask(report: pytest.TestReport) -> None:
    """Take secrets and terminal escapes out of what pytest shows of a drill: its failure, and what it printed."""
    from sevdrill.escaping import block
    from sevdrill.masking import masked

    shown = str(report.longrepr) if report.failed else ""
    if masked(shown) != shown:
        report.longrepr = block(shown)
    report.sections = [(title, block(text)) for title, text in report.sections]


@pytest.hookimpl(tryfirst=True)
def pytest_report_teststatus(report: pytest.TestReport) -> tuple[str, str, str] | None:
    """Show INVALID and ABORTED as what they are, and count a drill that failed once, whatever its parts."""
    if report.when != "call" or not getattr(report, IS_DRILL, False):
        return None
    context = getattr(report, "context", None)
    if context is not None:
        return ("subtests failed", "u", f"SUBFAILED[{context.msg}]") if report.failed else None
    found = getattr(report, SUMMARY, None)
    outcome = json.loads(found)["outcome"] if found else ""
    if outcome in ("invalid", "aborted"):
        return outcome, outcome[0].upper(), outcome.upper()
    if hasattr(report, PLAN):
        return "planned", "p", "PLANNED"
    return None


class Collector:
    """Takes up what the reports of drills say, whoever else shows them: there may be no terminal."""

    def __init__(self, state: State) -> None:
        self._state = state

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take up one report."""
        if not getattr(report, IS_DRILL, False):
            return
        self._state.selected.add(report.nodeid)
        if hasattr(report, SUMMARY):
            self._state.summaries.append(getattr(report, SUMMARY))
        if hasattr(report, PLAN):
            self._state.plans.append(getattr(report, PLAN))


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Sum the run up. A stack that could not be healed fails it, and so do drills in CI of which none was run."""
    state = session.config.stash.get(STATE, None)
    if state is None:
        return
    if hasattr(session.config, "workeroutput"):
        # Only what no report carries: the controller has the others.
        lost = [text for text in state.summaries if json.loads(text)["outcome"] == "aborted"]
        carried = {"said": state.said, "summaries": lost, "unhealed": state.unhealed, "spent": state.spent}
        session.config.workeroutput[SUMMARY] = carried
        return
    if state.summaries:
        from sevdrill.aftermath import finish_run
        from sevdrill.clock import SystemClock

        now, kept = SystemClock().wall(), state.config.rootpath / ".sevdrill"
        state.said += finish_run(state.run_folder, state.drills(), kept, now)
    if state.unhealed and exitstatus == 0:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
    if _in_ci() and state.selected and not state.summaries and not state.dry_run:
        count = f"{len(state.selected)} drill{'s were' if len(state.selected) > 1 else ' was'}"
        state.said.append(
            f"{count} selected and none was run, so this run proves nothing: with CI set that is a failure. "
            "The reasons are with each drill above (-rs shows why one was skipped)"
        )
        if exitstatus in (0, pytest.ExitCode.NO_TESTS_COLLECTED):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
    if not session.config.pluginmanager.hasplugin("terminalreporter"):
        from sevdrill.escaping import block

        for text in state.said:
            print(block(text), file=sys.stderr)  # noqa: T201 - there is no reporter to say it


def _in_ci() -> bool:
    return os.environ.get("CI", "").lower() not in ("", "0", "false", "no")


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """The table of the run, and a page on each drill that is invalid or was aborted."""
    state = config.stash[STATE]
    drills = state.drills()
    for plan in state.plans:
        terminalreporter.section("plan", sep="_")
        for line in plan:
            terminalreporter.write_line(line)
    if drills:
        from sevdrill.reports.terminal import page, painted, waited

        for drill in drills:
            if drill["outcome"] in ("invalid", "aborted"):
                terminalreporter.section(f"{drill['outcome'].upper()}: {drill['drill']}", sep="_")
                for line in page(drill, config.get_verbosity()):
                    terminalreporter.write_line(line)
        terminalreporter.ensure_newline()
        terminalreporter.section("drills")
        for line, colour in painted(drills):
            terminalreporter.write_line(line, **colour)
        if len(state.spent) > 1:
            terminalreporter.write_line(waited(state.spent))
        terminalreporter.write_line(f"reports: {os.path.relpath(state.run_folder)}")
    if state.said:
        from sevdrill.escaping import block

        for text in state.said:
            terminalreporter.write_line(block(text))

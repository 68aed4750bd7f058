"""What a recorded run says, from its timeline alone: judged, and reported on, again."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from sevdrill.calls import CALLS
from sevdrill.errors import RunError
from sevdrill.judge import Verdict, judge
from sevdrill.reports.case import Case
from sevdrill.reports.summary import summary
from sevdrill.reports.writing import write_reports
from sevdrill.scenario import Kinds, Scenario, scenario_model
from sevdrill.severity import load_policy
from sevdrill.timeline import TIMELINE, Timeline

__all__ = [
    "RunResult",
    "case_of",
    "judged",
    "rejudge",
    "review",
]


@dataclass(frozen=True)
class RunResult:
    """One drill that was run and judged."""

    verdict: Verdict
    summary: dict[str, Any]
    folder: Path


def _scenario_of(timeline: Timeline, folder: Path, kinds: Kinds | None) -> Scenario:
    run = timeline.run
    try:
        scenario = scenario_model((kinds or Kinds.default()).with_(CALLS)).model_validate(run.scenario)
    except ValidationError as error:
        mistake = error.errors(include_url=False)[0]
        raise RunError(
            f"{folder / TIMELINE}:1: the drill in it cannot be read "
            f"({'.'.join(map(str, mistake['loc'])) or 'drill'}: {mistake['msg']}); the file was changed, "
            "or its drill uses kinds that are not here (--conftest FILE names the conftest.py that has them)"
        ) from None
    if (scenario.drill, scenario.severity) != (run.drill, run.severity):
        raise RunError(f"{folder / TIMELINE}:1: the drill in it is not the one that it names; the file was changed")
    return scenario


def rejudge(folder: Path, policy_name: str | None = None, kinds: Kinds | None = None) -> RunResult:
    """Judge a run again from its timeline alone, under the policy it ran with or another.

    Raises:
        RunError: the timeline cannot be read.
        PolicyError: there is no such policy.
    """
    timeline = Timeline.load(folder / TIMELINE)
    policy = load_policy(policy_name or timeline.run.policy)
    verdict = judge(timeline, _scenario_of(timeline, folder, kinds), policy)
    result = summary(verdict, timeline)
    result["policy"] = policy.policy
    return RunResult(verdict, result, folder)


def review(folder: Path, kinds: Kinds | None = None) -> RunResult:
    """Judge a run by its own policy and write its reports, from its timeline alone.

    Raises:
        RunError: the timeline cannot be read, or the reports cannot be written.
        PolicyError: its policy is not there any more.
    """
    timeline = Timeline.load(folder / TIMELINE)
    policy = load_policy(timeline.run.policy)
    scenario = _scenario_of(timeline, folder, kinds)
    verdict = judge(timeline, scenario, policy)
    result = RunResult(verdict, summary(verdict, timeline), folder)
    try:
        result.summary.update(write_reports(Case(timeline, scenario, policy, verdict, folder)))
        (folder / "summary.json").write_text(json.dumps(result.summary, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise RunError(f"the reports cannot be written into {folder}: {error.strerror or error}") from None
    return result


def judged(timeline: Timeline) -> Verdict:
    """The verdict on a run by its own policy.

    Raises:
        RunError: its drill cannot be read.
        PolicyError: its policy is not there any more.
    """
    return judge(
        timeline, _scenario_of(timeline, Path(timeline.run.file).parent, None), load_policy(timeline.run.policy)
    )


def case_of(folder: Path) -> Case:
    """A recorded run with its verdict by its own policy; writes nothing.

    Raises:
        RunError: the timeline cannot be read.
        PolicyError: its policy is not there any more.
    """
    timeline = Timeline.load(folder / TIMELINE)
    policy, scenario = load_policy(timeline.run.policy), _scenario_of(timeline, folder, None)
    return Case(timeline, scenario, policy, judge(timeline, scenario, policy), folder)

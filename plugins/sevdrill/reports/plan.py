"""What a drill would do, for people: the page of a dry run."""

from __future__ import annotations

from collections.abc import Iterator

from sevdrill.blast import WATCHDOG_AFTER
from sevdrill.escaping import line
from sevdrill.plan import Plan, demanded, played
from sevdrill.severity import LIMITS
from sevdrill.units import Duration

__all__ = ["plan_page"]


WHO = {
    "live": "people respond; it ends when one of them has said `mitigated` and the steady state is back",
    "observe": "nobody acts; the system must heal itself",
}


def plan_page(plan: Plan, shown: str) -> Iterator[str]:
    """Services, faults, blast radius, steps, targets with their sources, and the time that it may take."""
    yield from map(line, _page(plan, shown))


def _page(plan: Plan, shown: str) -> Iterator[str]:
    scenario, policy = plan.scenario, plan.policy
    yield f"{scenario.drill} ({shown}; {scenario.severity}, policy {policy.policy})"
    parts = {part: played(scenario, part, plan.mode).values() for part in ("investigate", "respond", "close")}
    services = sorted({name for steps in parts.values() for step in steps for name in step.services})
    hit = ", ".join(f"{name} ({what})" for name, what in plan.hits.items())
    yield f"  blast radius: {hit or 'nothing is broken'}"
    if plan.mode == "auto":
        yield f"  the runbook acts on: {', '.join(services) or 'nothing'}"
    else:
        yield f"  mode {plan.mode}: {WHO[plan.mode]}"
    if scenario.profiles:
        yield f"  profiles of the stack: {', '.join(scenario.profiles)}"
    if scenario.load is not None:
        yield f"  load: {scenario.load.users} users of {scenario.load.locustfile}"
    steady = scenario.steady_state
    yield f"  steady state: {', '.join(p.title for p in steady.probes)}; for {steady.hold}, every {steady.every}"
    if scenario.quiet is not None:
        yield f"  quiet: nothing may page for {scenario.quiet.for_}"
    for fault in scenario.inject:
        times = [f"after {fault.after}"] if fault.after else []
        times += [f"for {fault.for_}"] if fault.for_ is not None else []
        latest = fault.max if fault.max is not None else Duration(plan.limit + WATCHDOG_AFTER)
        yield f"  fault: {' '.join([fault.title, *times])}; undone at the latest after {latest}"
    yield from (f"  effect: {probe.title}" for probe in scenario.effect)
    yield from (f"  stop: {probe.title}" for probe in scenario.stop)
    yield from (f"  detect: {detector.title}" for detector in scenario.detect)
    for part in parts:
        yield from (f"  {part}: {step.title} (at most {step.timeout})" for step in parts[part])
    yield from (f"  verify: {check.title}" for check in plan.checks)
    renewing = [step.title for steps in parts.values() for step in steps if step.renews]
    if renewing:
        yield f"  afterwards the stack is made anew: {', '.join(renewing)} cannot be put back"
    if scenario.quiet is None:
        wanted = demanded(scenario, plan.mode)
        for key, target in plan.targets.items():
            if key in LIMITS and key in wanted:
                derived = ", derived from the response time" if target.derived else ""
                note = f"; {target.note}" if target.note else ""
                yield f"  target: {key} within {target.limit} ({target.source}{derived}{note})"
    yield f"  time budget: at most {_budget(plan)} from the injection"


def _budget(plan: Plan) -> Duration:
    scenario = plan.scenario
    # Each step has its own patience, so a runbook that hangs may go beyond the limit.
    parts = [played(scenario, part, plan.mode).values() for part in ("respond", "close")]
    steps = sum(step.timeout for part in parts for step in part)
    checks = max((check.within for check in plan.checks), default=Duration(0))
    quiet = scenario.quiet.for_ if scenario.quiet is not None else Duration(0)
    return Duration((plan.limit if scenario.quiet is None else quiet) + steps + checks)

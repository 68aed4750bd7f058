"""From drill, policy and stack to a plan, or the reason why there is none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sevdrill.actions import Action
from sevdrill.blast import Hit, hits
from sevdrill.checks import Check
from sevdrill.checks.alerts import AlertResolved, NotPaged
from sevdrill.errors import Unsupported
from sevdrill.faults import Fault
from sevdrill.ports import Load, Messages, Monitoring, Ports, Undos
from sevdrill.probes import Probe
from sevdrill.scenario import AlertDetector, Scenario
from sevdrill.severity import LIMITS, Policy, Target
from sevdrill.units import Duration

__all__ = [
    "Plan",
    "alert_series",
    "checks_of",
    "demanded",
    "effect_series",
    "make_plan",
    "steady_series",
    "stop_series",
    "targets_of",
]


def steady_series(scenario: Scenario) -> dict[str, Probe]:
    """The steady-state probes by the name of their series in the timeline."""
    return {f"steady:{n}:{probe.title}": probe for n, probe in enumerate(scenario.steady_state.probes)}


def effect_series(scenario: Scenario) -> dict[str, Probe]:
    """The probes of what users feel, by the name of their series in the timeline."""
    return {f"effect:{n}:{probe.title}": probe for n, probe in enumerate(scenario.effect)}


def stop_series(scenario: Scenario) -> dict[str, Probe]:
    """The stop conditions, by the name of their series in the timeline."""
    return {f"stop:{n}:{probe.title}": probe for n, probe in enumerate(scenario.stop)}


def alert_series(scenario: Scenario) -> dict[str, AlertDetector]:
    """The alerts that must fire, by the name of their series in the timeline."""
    return {f"alert:{n}:{detector.alert}": detector for n, detector in enumerate(scenario.detect)}


def targets_of(scenario: Scenario, policy: Policy) -> dict[str, Target]:
    """The limits that bind this drill: the policy's, made stricter by the drill's own (looser only by a waiver)."""
    targets = policy.targets(scenario.severity)
    for key, limit in scenario.targets.items():
        note = next((f"waived: {w.because}" for w in scenario.waive if w.target == key), "")
        targets[key] = Target(key, limit, "the drill", derived=False, note=note)
    return targets


def demanded(scenario: Scenario) -> set[str]:
    """Keys of the targets whose mark this drill must set: leaving one out is a miss, not a blank.

    Everything that the drill itself limits, what its own steps mark, and the marks that every incident has.
    """
    keys = {str(key) for key in scenario.targets}
    if scenario.quiet is not None:
        return keys
    keys.add("recover")
    if scenario.detect:
        keys.add("detect")
    if any(not step.is_message for step in scenario.respond):
        keys |= {"respond", "mitigate"}
    marks = {step.marks for step in (*scenario.respond, *scenario.close)}
    keys |= {key for key, mark in LIMITS.items() if mark in marks}
    if any(step.action == "announce" for step in (*scenario.respond, *scenario.close)):
        keys.add("announce")
    return keys


def checks_of(scenario: Scenario) -> tuple[Check, ...]:
    """The drill's own checks, and those that go without saying."""
    checks = list(scenario.verify)
    named = {check.alert for check in checks if isinstance(check, AlertResolved)}
    if scenario.quiet is not None:
        if not any(isinstance(check, NotPaged) for check in checks):
            checks.append(NotPaged(check="not_paged"))
    else:
        checks += [
            AlertResolved(check="alert_resolved", alert=detector.alert, labels=detector.labels)
            for detector in scenario.detect
            if detector.alert not in named
        ]
    return tuple(checks)


@dataclass(frozen=True)
class Plan:
    """A drill that this stack can run, judged by this policy."""

    scenario: Scenario
    policy: Policy
    targets: Mapping[str, Target]
    checks: tuple[Check, ...]

    hits: Mapping[str, Hit]
    """The blast radius: what the faults hit, by service."""

    @property
    def limit(self) -> Duration:
        """Overall limit of the drill, in seconds from injected."""
        return self.scenario.limit


def _needs(scenario: Scenario, checks: tuple[Check, ...]) -> Iterator[tuple[str, type]]:
    parts: list[tuple[str, Fault | Action | Check]] = [(f.title, f) for f in scenario.inject]
    parts += [(a.title, a) for a in (*scenario.investigate, *scenario.respond, *scenario.close)]
    parts += [(c.title, c) for c in checks]
    for title, part in parts:
        for port in part.needs:
            yield title, port
    for probe in (*scenario.steady_state.probes, *scenario.effect, *scenario.stop):
        for port in probe.needs:
            yield probe.title, port
    if scenario.detect or scenario.quiet:
        yield "detection", Monitoring


def make_plan(scenario: Scenario, policy: Policy, ports: Ports, replicas: Mapping[str, int] | None = None) -> Plan:
    """Plan the drill; ``replicas`` is how many each service has.

    Raises:
        Unsupported: the stack lacks a capability; the text names it and what needs it.
    """
    checks = checks_of(scenario)
    brought = {Messages, Undos} | ({Load} if scenario.load else set())
    missing: dict[str, str] = {}
    for title, port in _needs(scenario, checks):
        if port not in ports and port not in brought:
            missing.setdefault(port.__name__, f"(for: {title}){ports.why_not(port)}")
    if missing:
        wanted = "; ".join(f"{name} {said}" for name, said in sorted(missing.items()))
        raise Unsupported(f"this stack lacks {wanted}; it has {', '.join(ports.names)}")
    return Plan(scenario, policy, targets_of(scenario, policy), checks, hits(scenario, replicas or {}))

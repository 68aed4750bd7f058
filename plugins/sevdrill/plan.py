"""From drill, policy and stack to a plan, or the reason why there is none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sevdrill.actions import Action
from sevdrill.blast import Hit, hits
from sevdrill.checks import Check
from sevdrill.checks.alerts import AlertResolved, NotPaged
from sevdrill.detectors import AlertDetector, Detector, alerts_of
from sevdrill.errors import Unsupported, UsageError
from sevdrill.faults import Fault
from sevdrill.lines import Mode
from sevdrill.people import Messages
from sevdrill.ports import Load, Monitoring, Ports, Undos
from sevdrill.probes import Probe
from sevdrill.scenario import Scenario
from sevdrill.severity import LIMITS, Policy, Target
from sevdrill.units import Duration

__all__ = [
    "Plan",
    "checks_of",
    "demanded",
    "detect_series",
    "effect_series",
    "given_time",
    "make_plan",
    "played",
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


def detect_series(scenario: Scenario) -> dict[str, Detector]:
    """What must tell of the incident, by the name of its series in the timeline."""
    return {
        f"alert:{n}:{each.alert}" if isinstance(each, AlertDetector) else f"detect:{n}:{each.title}": each
        for n, each in enumerate(scenario.detect)
    }


def targets_of(scenario: Scenario, policy: Policy, mode: Mode = "auto") -> dict[str, Target]:
    """The limits that bind this drill: the policy's, made stricter by the drill's own (looser only by a waiver).

    A drill's own limits are made for machines. What waits for people (all but the detection, in mode `live`) is held
    against the SOP alone.
    """
    targets = policy.targets(scenario.severity)
    for key, limit in scenario.targets.items():
        if mode == "live" and key != "detect":
            continue
        note = next((f"waived: {w.because}" for w in scenario.waive if w.target == key), "")
        targets[key] = Target(key, limit, "the drill", derived=False, note=note)
    return targets


def demanded(scenario: Scenario, mode: Mode = "auto") -> set[str]:
    """Keys of the targets whose mark this drill must set: leaving one out is a miss, not a blank.

    Everything that the drill itself limits, what its own steps mark, and the marks that every incident has. People must
    respond and say when it is mitigated; of nobody nothing is asked, but the system must heal.
    """
    keys = {str(key) for key in scenario.targets}
    if scenario.quiet is not None:
        return keys
    keys.add("recover")
    if scenario.detect:
        keys.add("detect")
    if mode == "observe":
        return (keys | {"mitigate"}) & {"detect", "mitigate", "recover"}
    if mode == "live":
        # What was rolled back by hand nobody saw; the time until it helped is the time to mitigate.
        keys = (keys | {"respond", "mitigate"}) & {"detect", "respond", "mitigate", "recover"}
        steps = {step.action for step in (*scenario.respond, *scenario.close)}
        return keys | ({"announce"} & steps) | ({"assess"} if "declare" in steps else set())
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
            AlertResolved(check="alert_resolved", alert=alert, labels=labels)
            for detector in scenario.detect
            for alert, labels in alerts_of((detector,)).items()
            if alert not in named
        ]
    return tuple(checks)


def played(scenario: Scenario, part: str, mode: Mode) -> dict[int, Action]:
    """The steps of a part of the drill that the tool does itself, by their place: with people, or nobody, only those
    of the world outside, once it is over."""
    steps: dict[int, Action] = dict(enumerate(getattr(scenario, part)))
    if mode == "auto":
        return steps
    return {n: step for n, step in steps.items() if part == "close" and step.outside}


PEOPLES = ("respond", "announce", "mitigate", "recover")
"""Targets that wait for people."""
LEEWAY = 60.0
"""Seconds that a drill goes on after the last of these targets, so that a late answer is measured, too."""


def given_time(scenario: Scenario, policy: Policy, mode: Mode, longest: float, limit: float | None = None) -> Scenario:
    """The drill with the overall limit of this run: the one that was asked for (``limit``, in seconds), or else in mode
    `live` the time that the SOP gives to people, up to the longest that any drill may take.

    Raises:
        UsageError: that is shorter than one of the drill's targets.
    """
    if limit is None and mode == "live":
        targets = policy.targets(scenario.severity)
        wanted = max((targets[key].limit + LEEWAY for key in PEOPLES if key in targets), default=0.0)
        limit = max(scenario.limit, min(wanted, longest))
    if limit is None:
        return scenario
    longer = [f"{key} ({time})" for key, time in scenario.targets.items() if time > limit]
    if longer:
        raise UsageError(
            f'the drill "{scenario.drill}" limits {", ".join(longer)}, which is longer than the {Duration(limit)} that '
            "this run gives it; ask for a longer --drill-limit"
        )
    return scenario.model_copy(update={"limit": Duration(limit)})


@dataclass(frozen=True)
class Plan:
    """A drill that this stack can run, judged by this policy."""

    scenario: Scenario
    policy: Policy
    targets: Mapping[str, Target]
    checks: tuple[Check, ...]

    hits: Mapping[str, Hit]
    """The blast radius: what the faults hit, by service."""
    mode: Mode = "auto"
    """Who responds."""

    @property
    def limit(self) -> Duration:
        """Overall limit of the drill, in seconds from injected."""
        return self.scenario.limit


def _needs(scenario: Scenario, checks: tuple[Check, ...], mode: Mode) -> Iterator[tuple[str, type]]:
    parts: list[tuple[str, Fault | Action | Check]] = [(f.title, f) for f in scenario.inject]
    for part in ("investigate", "respond", "close"):
        parts += [(step.title, step) for step in played(scenario, part, mode).values()]
    parts += [(c.title, c) for c in checks]
    for title, each in parts:
        for port in each.needs:
            yield title, port
    for probe in (*scenario.steady_state.probes, *scenario.effect, *scenario.stop):
        for port in probe.needs:
            yield probe.title, port
    for detector in scenario.detect:
        for port in detector.needs:
            yield detector.title, port
    if scenario.quiet:
        yield "detection", Monitoring


def make_plan(
    scenario: Scenario, policy: Policy, ports: Ports, replicas: Mapping[str, int] | None = None, mode: Mode = "auto"
) -> Plan:
    """Plan the drill; ``replicas`` is how many each service has.

    Raises:
        Unsupported: the stack lacks a capability; the text names it and what needs it.
    """
    checks = checks_of(scenario)
    brought = {Messages, Undos} | ({Load} if scenario.load else set())
    missing: dict[str, str] = {}
    for title, port in _needs(scenario, checks, mode):
        if port not in ports and port not in brought:
            missing.setdefault(port.__name__, f"(for: {title}){ports.why_not(port)}")
    if missing:
        wanted = "; ".join(f"{name} {said}" for name, said in sorted(missing.items()))
        raise Unsupported(f"this stack lacks {wanted}; it has {', '.join(ports.names)}")
    return Plan(scenario, policy, targets_of(scenario, policy, mode), checks, hits(scenario, replicas or {}), mode)

"""Messages to people, in the words of the policy. Every one begins with ``[DRILL]``."""

from __future__ import annotations

from typing import cast

from sevdrill.clock import Clock
from sevdrill.errors import ActionError
from sevdrill.level import Escalation
from sevdrill.scenario import Scenario
from sevdrill.severity import Policy
from sevdrill.sop import Status
from sevdrill.timeline import MessageLine, TimelineWriter

__all__ = ["ESCALATED", "PREFIX", "Announcer"]

PREFIX = "[DRILL]"
ESCALATED = "escalated"
"""The status of a message that brings somebody in."""


class Announcer:
    """Says things by writing them on the timeline (implements the port `Messages`)."""

    def __init__(self, scenario: Scenario, policy: Policy, timeline: TimelineWriter, clock: Clock) -> None:
        self._scenario, self._policy, self._timeline, self._clock = scenario, policy, timeline, clock
        self._began = clock.wall()

    def announce(self, to: str, status: str, text: str) -> None:
        """Say how things stand, by the SOP's template for this status and these readers where it has one."""
        scenario, policy = self._scenario, self._policy
        if status == "declared":
            said = f"Incident declared: {scenario.drill}, {scenario.severity}."
        else:
            word = policy.status_word(cast("Status", status))
            template = policy.message(cast("Status", status), to, scenario.severity)
            values = {
                "status": word,
                "severity": scenario.severity,
                "started": f"{self._began:%H:%M} UTC",
                "time": f"{self._clock.wall():%H:%M}",
                "description": scenario.about or scenario.drill,
                "affected": scenario.about or scenario.drill,
            }
            said = template.fill(values) if template is not None else f"{word}: {scenario.about or scenario.drill}"
        lines = [f"{PREFIX} {said}"] + ([text] if text else [])
        self._timeline.write(MessageLine(to=to, status=status, text="\n".join(lines)))

    def escalate(self, to: str, why: str) -> None:
        """Tell a level of the SOP's path, or the next one that was not told yet.

        Raises:
            ActionError: the SOP has no such level for this severity, or none is left.
        """
        step = self._level(to)
        reason = why or step.sop
        said = (
            f"{PREFIX} Escalation to {step.to} (level {step.level}): {self._scenario.drill}, {self._scenario.severity}."
        )
        self._timeline.write(MessageLine(to=step.to, status=ESCALATED, text=f"{said}\nReason: {reason}"))

    def _level(self, to: str) -> Escalation:
        path = self._policy.level(self._scenario.severity).escalation
        with self._timeline.changed:
            told = {
                line.to for line in self._timeline.lines if isinstance(line, MessageLine) and line.status == ESCALATED
            }
        # Level 1 is who answers already.
        open_ = [step for step in path if (step.to == to if to else step.level > 1 and step.to not in told)]
        if not open_:
            named = ", ".join(step.to for step in path) or "nobody"
            what = f'no level "{to}"' if to else "no level left to tell"
            raise ActionError(f"{self._policy.cite} has {what} for {self._scenario.severity}; its path: {named}")
        return min(open_, key=lambda step: step.level)

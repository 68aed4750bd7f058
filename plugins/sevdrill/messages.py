"""Messages to people, in the words of the policy. Every one begins with ``[DRILL]``."""

from __future__ import annotations

from typing import cast

from sevdrill.clock import Clock
from sevdrill.scenario import Scenario
from sevdrill.severity import Policy
from sevdrill.sop import Status
from sevdrill.timeline import MessageLine, TimelineWriter

__all__ = ["PREFIX", "Announcer"]

PREFIX = "[DRILL]"


class Announcer:
    """Says things by writing them on the timeline (implements the port `Messages`)."""

    def __init__(self, scenario: Scenario, policy: Policy, timeline: TimelineWriter, clock: Clock) -> None:
        self._scenario, self._policy, self._timeline, self._clock = scenario, policy, timeline, clock
        self._began = clock.wall()

    def announce(self, to: str, status: str, text: str, by: str = "sevdrill") -> None:
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
        self._timeline.write(MessageLine(to=to, status=status, text="\n".join(lines), by=by))

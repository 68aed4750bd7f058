"""How much a drill may break, and for how long: what is refused before anything is started."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pydantic import ValidationError

from sevdrill.errors import Refused, UsageError
from sevdrill.scenario import BlastRadius, Scenario
from sevdrill.units import Duration, Percent

__all__ = ["Hit", "hits", "parse", "refuse_beyond", "refuse_too_long"]

WATCHDOG_AFTER = 600.0
"""Seconds beyond a drill's limit after which the watchdog undoes a fault that says nothing else."""


@dataclass(frozen=True)
class Hit:
    """What the faults of a drill do to one service."""

    taken: int
    """How many of its replicas they take out of action; 0 where they act on the service as a whole."""
    replicas: int
    """How many replicas it has."""

    def __str__(self) -> str:
        return f"{self.taken} of {self.replicas} replicas" if self.taken else "the service as a whole"

    def most(self, share: Percent) -> int:
        """How many of its replicas are at most this share of them, rounded up."""
        return math.ceil(self.replicas * share - 1e-9)


def hits(scenario: Scenario, replicas: Mapping[str, int]) -> dict[str, Hit]:
    """What the faults hit, by service; ``replicas`` is how many each service has (one, where that is not known)."""
    taken: dict[str, int] = {}
    for fault in scenario.inject:
        for service in fault.services:
            there = replicas.get(service, 1)
            more = there if fault.takes is None else fault.takes
            taken[service] = min(there, taken.get(service, 0) + more)
    return {service: Hit(taken[service], replicas.get(service, 1)) for service in sorted(taken)}


def parse(text: str) -> BlastRadius:
    """Read ``services=2,replicas=100%``; what is left out is the default.

    Raises:
        UsageError: it is not of that form.
    """
    pairs: dict[str, object] = {}
    for part in filter(None, re.split(r"[,\s]+", text)):
        key, _, value = part.partition("=")
        pairs[key] = int(value) if value.isascii() and value.isdigit() else value
    try:
        return BlastRadius.model_validate(pairs)
    except ValidationError:
        raise UsageError(f'blast radius "{text}": expected such as services=2,replicas=100%') from None


def refuse_beyond(scenario: Scenario, allowed: BlastRadius, replicas: Mapping[str, int]) -> None:
    """Refuse a drill that breaks more than it says, or more than this run allows.

    Raises:
        Refused: it does; the text says what it hits and what would allow it.
    """
    hit = hits(scenario, replicas)
    own = scenario.blast_radius
    listed = ", ".join(f"{name} ({what})" for name, what in hit.items())
    for limit, is_own in ((own, True), (allowed, False)):
        wanted = []
        if len(hit) > limit.services:
            wanted.append(("services", str(len(hit)), f"{len(hit)} services", str(limit.services)))
        over = [(name, what) for name, what in hit.items() if what.taken > what.most(limit.replicas)]
        if over:
            share = max(what.taken / what.replicas for _, what in over)
            needed = f"{math.ceil(share * 100)}%"
            name, what = over[0]
            wanted.append(("replicas", needed, f"{what} of {name}", f"{what.most(limit.replicas)}, {limit.replicas}"))
        if wanted:
            found = "; ".join(f"its faults hit {what}, and at most {most} may be hit" for _, _, what, most in wanted)
            in_file = ", ".join(f"{key}: {needed}" for key, needed, _, _ in wanted)
            option = ",".join(f"{key}={needed}" for key, needed, _, _ in wanted)
            say = f"say so in the drill (blast_radius: {{{in_file}}}) and " if is_own else ""
            raise Refused(
                f'the blast radius of the drill "{scenario.drill}" is {listed}: {found}. '
                f"If that is meant, {say}allow it: --drill-blast-radius {option}, or ini key drill_blast_radius"
            )


def refuse_too_long(scenario: Scenario, longest: Duration) -> None:
    """Refuse a drill that may take longer than this run allows.

    Raises:
        Refused: it may; the text says which time is too long.
    """
    for what, time in _times(scenario):
        if time > longest:
            raise Refused(
                f'the drill "{scenario.drill}" may take too long: {what} is {time}, and at most {longest} are '
                "allowed. If that is meant, raise ini key drill_max_limit"
            )
    for fault in scenario.inject:
        _refuse_late_watchdog(scenario, f"{fault.title}: max", fault.max, longest)
    for step in (*scenario.investigate, *scenario.respond, *scenario.close):
        _refuse_late_watchdog(scenario, f"{step.title}: max", getattr(step, "max", None), longest)


def _refuse_late_watchdog(scenario: Scenario, what: str, time: Duration | None, longest: Duration) -> None:
    if time is not None and time > longest + WATCHDOG_AFTER:
        raise Refused(
            f'the drill "{scenario.drill}" keeps its watchdog waiting for too long: {what} is {time}, and at most '
            f"{Duration(longest + WATCHDOG_AFTER)} are allowed (ten minutes more than ini key drill_max_limit)"
        )


def _times(scenario: Scenario) -> Iterator[tuple[str, Duration]]:
    yield "limit", scenario.limit
    yield "steady_state.hold", scenario.steady_state.hold
    for fault in scenario.inject:
        yield f"{fault.title}: after", fault.after
        if fault.for_ is not None:
            yield f"{fault.title}: for", fault.for_
    for step in (*scenario.investigate, *scenario.respond, *scenario.close):
        yield f"{step.title}: timeout", step.timeout
    for check in scenario.verify:
        yield f"{check.title}: within", check.within

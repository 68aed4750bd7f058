"""A drill under way as lines of text: for `sevdrill status` and the console."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

__all__ = ["clock", "due", "sparkline", "status_lines"]

BARS = "▁▂▃▄▅▆▇█"


def clock(seconds: float | None) -> str:
    """A length of time as a clock shows it: `4:07`, `-0:12` or `1:02:03`."""
    if seconds is None:
        return "-:--"
    whole = int(abs(seconds))
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    sign = "-" if seconds < 0 and whole else ""
    return f"{sign}{hours}:{minutes:02}:{rest:02}" if hours else f"{sign}{minutes}:{rest:02}"


def sparkline(rates: Sequence[float | None], width: int) -> str:
    """Shares from 0 to 1 as bars, the newest last; a dot where nothing was seen."""
    shown = list(rates)[-width:]
    return "".join("·" if rate is None else BARS[min(len(BARS) - 1, int(rate * len(BARS)))] for rate in shown)


def due(seconds: float | None, nothing: str = "no time set by the SOP") -> str:
    """When something is due."""
    if seconds is None:
        return nothing
    return f"in {clock(seconds)}" if seconds >= 0 else f"OVERDUE by {clock(-seconds)}"


def status_lines(view: dict[str, Any]) -> Iterator[str]:
    """How a drill stands, line by line; ``view`` is a snapshot."""
    if not view["drill"]:
        yield "the drill is starting"
        return
    yield f"{view['severity']} {view['drill']} (policy {view['policy']}, mode {view['mode']}): {view['phase']}"
    yield f"clock       {clock(view['elapsed'])} since the fault" if view["elapsed"] is not None else "clock       -"
    for target in view["targets"]:
        measured = clock(target["measured"]) if target["measured"] is not None else "-"
        yield f"{target['target']:<11} {measured} of {clock(target['limit'])}  {target['state']}"
    yield f"alerts      {', '.join(view['alerts']) or 'none fires'}"
    for light in view["lights"]:
        word = {True: "good", False: "BAD", None: "unknown"}[light["ok"]]
        yield f"{word:<11} {light['probe']}{': ' + light['why'] if light['why'] else ''}"
    for role, name in view["roles"].items():
        yield f"{name or '-':<11} {role}"
    yield f"message     {due(view['message_due_in'])}"
    coming = view["escalation"]["next"]
    yield f"escalation  {due(coming['in']) + ' to ' + coming['to'] if coming else 'nobody else is due'}"

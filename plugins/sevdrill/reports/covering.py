"""What of the SOPs is drilled, for the terminal and as JSON."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sevdrill.coverage import Covered, DrillName
from sevdrill.severity import Policy

__all__ = ["as_json", "coverage_lines", "passed_at"]

WIDTH = 100
STATES = {"drilled": "drilled", "planned": "not drilled yet", "reason": "with a reason instead"}


def passed_at(drills: Mapping[str, DrillName], history: Mapping[tuple[str, str], str]) -> dict[str, str]:
    """When each drill last passed, by name; ``history`` has it by file and title. One that never did is left out."""
    found: dict[str, str] = {}
    for name, drill in drills.items():
        times = [began for (file, title), began in history.items() if drill.is_of(file, title)]
        if times:
            found[name] = max(times)
    return found


def as_json(policy: Policy, lines: Sequence[Covered], passed: Mapping[str, str]) -> dict[str, Any]:
    """One SOP as JSON."""
    return {
        "sop": policy.policy,
        "document": policy.document.file,
        "sections": [
            {
                "section": line.section,
                "part": line.part,
                "state": line.state,
                "drills": [{"drill": name, "last_passed": passed.get(name)} for name in line.drills],
                "planned": list(line.planned),
                "reason": line.reason,
            }
            for line in lines
        ],
    }


def coverage_lines(
    sops: Sequence[tuple[Policy, Sequence[Covered]]],
    drills: Mapping[str, DrillName],
    passed: Mapping[str, str],
    *,
    missing: bool = False,
) -> Iterator[str]:
    """Section by section, and the figures; with ``missing`` only what no drill has ever passed for."""
    for policy, lines in sops:
        yield f"{policy.cite}: {policy.document.title}"
        section = ""
        for line in lines:
            if missing and not _is_open(line, passed):
                continue
            if line.part and line.section != section:
                yield f"  {line.section}"
            section = line.section
            indent = "    " if line.part else "  "
            yield from _wrapped(f"{indent}{line.part or line.section}: {_said(line, passed)}", f"{indent}    ")
        yield ""
    for policy, lines in sops:
        counts = (f"{sum(line.state == key for line in lines)} {words}" for key, words in STATES.items())
        yield f"{policy.cite}: {len(lines)} sections and parts: {', '.join(counts)}"
    never = [name for name in drills if name not in passed]
    used = {name for _, lines in sops for line in lines for name in line.drills}
    planned = dict.fromkeys(name for _, lines in sops for line in lines for name in line.planned)
    for words, names in (
        ("never passed here", never),
        ("not written yet", planned),
        ("in no section", [name for name in drills if name not in used]),
    ):
        if names:
            yield from _wrapped(f"{words}: {', '.join(names)}", "  ")


def _wrapped(text: str, indent: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def _is_open(line: Covered, passed: Mapping[str, str]) -> bool:
    return line.state == "planned" or (line.state == "drilled" and not any(name in passed for name in line.drills))


def _said(line: Covered, passed: Mapping[str, str]) -> str:
    said = [f"{name} ({_day(passed.get(name))})" for name in line.drills]
    if line.planned:
        said.append(f"{'' if line.drills else 'NOT DRILLED YET, '}planned: {', '.join(line.planned)}")
    if line.reason:
        said.append(line.reason if not said else f"also: {line.reason}")
    return "; ".join(said)


def _day(began: str | None) -> str:
    return f"passed {began[:10]}" if began else "never passed here"

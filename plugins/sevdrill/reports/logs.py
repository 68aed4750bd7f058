"""The log lines in the evidence that say why: errors of the services, between the injection and the recovery."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sevdrill.reports.case import Case

__all__ = ["LogLine", "errors_in_logs"]

# A line of a container's log begins with its time, as the engine wrote it; Python reads microseconds only.
_LINE = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?(Z|[+-]\d\d:\d\d)\s(.*)")
_BAD = re.compile(
    r"\b(error|fatal|panic|exception|refused|timed? ?out|no space left|out of memory|killed|denied)", re.IGNORECASE
)
_CODES = re.compile(r'(" 5\d\d |status=5\d\d)')
WIDTH = 200
"""Characters of a line that are shown at most."""


@dataclass(frozen=True)
class LogLine:
    """A line of a log that speaks of trouble."""

    at: float
    """Seconds since the run began."""
    source: str
    """The container that wrote it."""
    text: str
    count: int = 1
    """How many lines of this source say the same but for their numbers."""


def errors_in_logs(case: Case, most: int = 8) -> list[LogLine]:
    """The first of each kind of trouble that the logs tell of after the injection, in time order."""
    until = case.verdict.marks["recovered"].hi if "recovered" in case.verdict.marks else case.end
    found: dict[tuple[str, str], LogLine] = {}
    folder = case.folder / "evidence"
    names = _names(folder)
    for path in sorted(folder.glob("*.log")) if folder.is_dir() else ():
        source = names.get(path.stem, path.stem)
        if source is None:
            # The proxies are sevdrill's own: that a client or a server went away is told by those who know why.
            continue
        for at, text in _lines(path, case.began):
            if not case.zero <= at <= until or not (_BAD.search(text) or _CODES.search(text)):
                continue
            key = (source, re.sub(r"\d+", "0", text)[:80])
            known = found.get(key)
            found[key] = (
                LogLine(at, source, text[:WIDTH])
                if known is None
                else LogLine(known.at, known.source, known.text, known.count + 1)
            )
    # Who says one thing a thousand times must not hide what another said once: each source's first line comes first.
    by_source: dict[str, list[LogLine]] = {}
    for line in sorted(found.values(), key=lambda line: line.at):
        by_source.setdefault(line.source, []).append(line)
    ranked = [(rank, line) for lines in by_source.values() for rank, line in enumerate(lines)]
    ranked.sort(key=lambda each: (each[0], each[1].at))
    return sorted((line for _, line in ranked[:most]), key=lambda line: line.at)


def _names(folder: Path) -> dict[str, str | None]:
    """What to call each container's log: its service and number; None for a proxy of sevdrill's."""
    try:
        known = json.loads((folder / "containers.json").read_text(encoding="utf-8"))
        return {
            str(each["name"]): None if each["proxy"] else f"{each['service']}-{str(each['name']).rpartition('-')[2]}"
            for each in known
        }
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _said(text: str) -> str:
    """What a line says: of one that is JSON its message alone, with its level."""
    try:
        found = json.loads(text) if text.startswith("{") else None
    except ValueError:
        found = None
    if isinstance(found, dict) and isinstance(message := found.get("message", found.get("msg")), str):
        level = found.get("level", "")
        text = f"{level}: {message}" if level else message
    return "".join(c if c.isprintable() else " " for c in text)


def _lines(path: Path, began: dt.datetime) -> Iterator[tuple[float, str]]:
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return
    for line in text.splitlines():
        match = _LINE.match(line)
        if match is None:
            continue
        zone = "+00:00" if match[3] == "Z" else match[3]
        when = dt.datetime.fromisoformat(f"{match[1]}{(match[2] or '.0')[:7].ljust(7, '0')}{zone}")
        yield (when - began).total_seconds(), _said(match[4])

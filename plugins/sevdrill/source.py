"""Plain data, of drills and policies, that remembers its places: what is where, and what is wrong there."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

__all__ = [
    "MOST_NESTED",
    "MOST_VALUES",
    "Place",
    "Problem",
    "Source",
    "Span",
    "given",
    "quote",
]

MOST_NESTED = 50
"""The deepest nesting that is read, in levels."""
MOST_VALUES = 20_000
"""The most values that a file may hold, each alias counted as what it stands for."""

Place = tuple[str | int, ...]
"""The way from the top of a file to a value: keys and list indexes."""


class Span(NamedTuple):
    """Where something begins in the text."""

    line: int
    """From 1."""
    column: int
    """From 1, in characters."""


class Problem(NamedTuple):
    """A mistake, and where it is."""

    span: Span
    text: str


@dataclass
class Source:
    """The data of one file and the place of everything in it."""

    lines: tuple[str, ...]
    """The text, line by line, as YAML counts lines."""
    what: str = "drill"
    """What the file should hold, in a word that is also its first key: `drill` or `policy`."""
    data: Any = None
    """Plain data: dict, list, str, int, float, bool and None; dicts and lists are never shared between places."""
    keys: dict[Place, Span] = field(default_factory=dict)
    """Where each key stands, by the place of its value."""
    values: dict[Place, Span] = field(default_factory=dict)
    """Where each value begins."""
    written: dict[Place, str] = field(default_factory=dict)
    """The text of values that are numbers, truth values or null, as it was written."""
    paths: dict[Span, str] = field(default_factory=dict)
    """For data that was never a file: what to say instead of line and column, such as `inject[0].service`."""
    problems: list[Problem] = field(default_factory=list)
    """What YAML allows and such a file must not contain, and what is no YAML."""
    complete: bool = False
    """Whether the text could be read to its end; if not, `data` is None."""

    def span(self, place: Place) -> Span:
        """Where to point for what is at ``place``: a scalar itself, the key of anything larger, else what is around."""
        value = self.values.get(place)
        if value is None:
            return self.span(place[:-1]) if place else Span(1, 1)
        if place and isinstance(at(self.data, place), dict | list):
            return self.keys.get(place, value)
        return value


def given(data: Any, what: str = "drill") -> Source:
    """Plain data that Python made, as `read` would give it. Never raises; its places are told as paths of keys."""
    source = Source((), what, complete=True)
    source.data = _take(data, (), source)
    return source


def _take(value: Any, place: Place, source: Source) -> Any:
    span = Span(len(source.values) + 1, 1)
    source.values[place] = source.keys[place] = span
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).lstrip(".")
    source.paths[span] = path or source.what
    if len(source.values) > MOST_VALUES or len(place) > MOST_NESTED:
        if source.complete:
            source.problems.append(Problem(span, f"this is too much for a {source.what}"))
            source.complete = False
        return None
    if isinstance(value, str | int | float | None):
        # A subclass, such as of an enum, must not look like its base and print like something else.
        return value if type(value) in (str, int, float, bool, type(None)) else str(value)
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, list | tuple):
        return [_take(each, (*place, index), source) for index, each in enumerate(value)]
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                source.problems.append(Problem(span, f"the key {key!r} is not text"))
        return {key: _take(each, (*place, key), source) for key, each in value.items() if isinstance(key, str)}
    source.problems.append(
        Problem(span, f"expected text, a number, a list or keys and values, not {quote(type(value).__name__)}")
    )
    return ""


def at(data: Any, place: Place) -> Any:
    """The value at a place of plain data; None where there is none."""
    for part in place:
        try:
            data = data[part]
        except (KeyError, IndexError, TypeError):
            return None
    return data


def quote(text: object) -> str:
    """Something that was found in a file, in quotes, cut and escaped so that it can be printed on one line."""
    shown = str(text)
    shown = shown if len(shown) <= 60 else shown[:57] + "..."
    escaped = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in shown)
    return f'"{escaped}"'

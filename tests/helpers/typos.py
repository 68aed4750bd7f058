"""Typing mistakes in the project's own drills: one letter swapped, left out, doubled or replaced, always the same."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

from sevdrill.diagnostics import schema
from sevdrill.reading import read
from sevdrill.shape import Shape
from sevdrill.source import Place, Source, Span, at

KEYBOARD = ["qwertyuiop", "asdfghjkl", "zxcvbnm", "1234567890"]


@dataclass(frozen=True)
class Typo:
    """One mistake in one file."""

    file: Path
    line: int
    right: str
    wrong: str
    text: str
    """The whole file with the mistake in it."""

    def __str__(self) -> str:
        return f"{self.file.name}:{self.line} {self.right} -> {self.wrong}"


def typos(files: list[Path], services: list[str], *, seed: int) -> Iterator[Typo]:
    """A mistake in every key, kind, service, host and word of a choice of these drills, in four ways in turn."""
    chosen, shape, ways = random.Random(seed), Shape(schema()), cycle((_swap, _drop, _double, _replace))
    for file in files:
        source = read(file.read_bytes())
        for span, right, known in _words(source, shape, services):
            wrong = next(ways)(right, chosen)
            text = _put(source, span, right, wrong)
            if wrong not in (right, "", *known) and text is not None:
                yield Typo(file, span.line, right, wrong, text)


def _words(source: Source, shape: Shape, services: list[str]) -> Iterator[tuple[Span, str, set[str]]]:
    for place, span in source.keys.items():
        if isinstance(place[-1], str):
            _, node = shape.locate(source.data, _loc(source.data, place[:-1], shape))
            known = set(shape.keys(node))
            if place[-1] in known:
                yield span, place[-1], known
    for place, span in source.values.items():
        value = at(source.data, place)
        if not place or not isinstance(value, str):
            continue
        _, node = shape.locate(source.data, _loc(source.data, place, shape))
        _, around = shape.locate(source.data, _loc(source.data, place[:-1], shape, inner=False))
        if place[-1] == shape.tag(around):
            yield span, value, set(shape.kinds(around))
        elif value.startswith("http://"):
            host = value.removeprefix("http://").partition(":")[0]
            yield Span(span.line, span.column + len("http://")), host, set(services)
        elif place[-1] == "service":
            yield span, value, set(services)
        elif value in shape.choices(node):
            yield span, value, set(shape.choices(node))


def _loc(data: Any, place: Place, shape: Shape, *, inner: bool = True) -> list[str | int]:
    """A place with the kinds on its way, as pydantic names it."""
    loc: list[str | int] = []
    for length in range(len(place) + 1):
        if length:
            loc.append(place[length - 1])
        here = at(data, place[:length])
        if isinstance(here, dict) and (inner or length < len(place)):
            _, node = shape.locate(data, loc)
            kind = here.get(shape.tag(node))
            if kind is not None:
                loc.append(str(kind))
    return loc


def _put(source: Source, span: Span, right: str, wrong: str) -> str | None:
    lines = list(source.lines)
    line, column = lines[span.line - 1], span.column - 1
    column += line[column : column + 1] in "\"'"
    if line[column : column + len(right)] != right:
        return None
    lines[span.line - 1] = line[:column] + wrong + line[column + len(right) :]
    return "\n".join(lines)


def _swap(word: str, chosen: random.Random) -> str:
    at = chosen.randrange(max(1, len(word) - 1))
    return word[:at] + word[at + 1 : at + 2] + word[at] + word[at + 2 :]


def _drop(word: str, chosen: random.Random) -> str:
    at = chosen.randrange(len(word))
    return word[:at] + word[at + 1 :]


def _double(word: str, chosen: random.Random) -> str:
    at = chosen.randrange(len(word))
    return word[: at + 1] + word[at:]


def _replace(word: str, chosen: random.Random) -> str:
    """By a letter beside it on the keyboard, as a finger does it."""
    at = chosen.randrange(len(word))
    row = next((row for row in KEYBOARD if word[at].lower() in row), "abcdefghij")
    near = row.find(word[at].lower())
    letters = [row[n] for n in (near - 1, near + 1) if 0 <= n < len(row)]
    return word[:at] + chosen.choice(letters) + word[at + 1 :]
